"""Is this short sound over our own speech a backchannel ("mm-hm", "okay") or an interruption?

This module judges words that are already known; `bursts` judges the first 200 ms by sound.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_BACKCHANNELS: Final = frozenset(
    [
        "mm",
        "mhm",
        "mmhm",
        "mmhmm",
        "hmm",
        "hm",
        "uhhuh",
        "uhuh",
        "uh",
        "huh",
        "um",
        "ah",
        "oh",
        "aha",
        "yeah",
        "yes",
        "yep",
        "yup",
        "ya",
        "okay",
        "ok",
        "kay",
        "right",
        "sure",
        "alright",
        "good",
        "great",
        "fine",
        "cool",
        "nice",
        "thanks",
        "true",
        "exactly",
        "gotcha",
        "see",
        "i",
        "got",
        "it",
        "all",
        "of",
        "course",
        "well",
        "mm-hmm",
        "mm-hm",
        "uh-huh",
    ]
)
_MAX_WORDS: Final = 3


def is_backchannel(hypotheses: Sequence[str]) -> bool:
    """Tells whether the words only say "go on"; no words at all say nothing, which is the same."""
    if not hypotheses:
        return True
    words = re.findall(r"[a-z']+(?:-[a-z]+)?", hypotheses[0].lower())
    return len(words) <= _MAX_WORDS and all(word in _BACKCHANNELS for word in words)
