"""Does this short turn only say "go on" ("mm-hm", "okay")?

This module judges words that are already known; `bursts` judges the first 200 ms by sound.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_PHRASES: Final = (
    *("mm", "mhm", "mm-?hmm?", "mmhmm?", "hmm?", "uh", "uh-?huh", "uhuh", "huh", "um", "ah", "aha"),
    *("oh", "yeah", "ya", "yes", "yep", "yup", "okay", "ok", "kay", "right", "sure", "alright"),
    *("all right", "i see", "i know", "i got it", "got it", "gotcha", "of course", "well"),
    *("good", "very good", "great", "fine", "cool", "nice", "true", "exactly", "really", "perfect"),
    *("absolutely", "definitely", "thanks", "that's (?:right|true|good|fine)"),
    *("(?:sounds|makes) (?:good|sense)",),
)
_PHRASE: Final = f"(?:{'|'.join(_PHRASES)})"
_ONLY: Final = re.compile(f"{_PHRASE}(?: {_PHRASE}){{0,2}}")  # three of them at most


def is_backchannel(hypotheses: Sequence[str]) -> bool:
    """Tells whether the words only say "go on"; no words at all say nothing, which is the same."""
    if not hypotheses:
        return True
    words = re.findall(r"[a-z']+(?:-[a-z]+)*", hypotheses[0].lower().replace("\u2019", "'"))
    return _ONLY.fullmatch(" ".join(words)) is not None
