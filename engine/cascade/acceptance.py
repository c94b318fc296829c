"""How sure is sure: from ranked intents to "answer", "ask back" or "not understood".

Thresholds of `matching.Match` scores, chosen on tests/data/cascade_callers/dev.yaml and
dev_unforeseen.yaml. Pure: it knows scores and words, and no state.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from engine.cascade.matching import Match
from engine.cascade.script import NO, YES

_SURE: Final = 0.33  # answer at once, if the second intent is
_LEAD: Final = 0.02  # so far behind
_SURE_OF_TALK: Final = 0.43  # the same of small talk, which any sentence resembles a little
_GUESS: Final = 0.22  # ask "is this about"
_COMPLETE: Final = 0.5  # surely a whole request
_OTHER: Final = 0.6  # surely no answer to a question of ours
_ENDS: Final = 0.6  # surely a goodbye

_GOODBYE: Final = re.compile(
    r"\b(?:good ?bye|bye(?: ?bye)?|have a (?:nice|good|great|lovely) (?:day|one|evening|weekend)|"
    r"that(?:'s| is| was| will be) (?:all|everything|it)|talk to you later|see you)\b"
)
_FEW_WORDS: Final = 8  # a goodbye among more may be told, and not said
_YES: Final = re.compile(
    r"(?:yes|yeah|yep|yup|yah|correct|right|exactly|sure|absolutely|definitely|of course|perfect|"
    r"okay|ok|indeed|please do|go ahead|that's (?:right|correct|it|fine|good)|"
    r"that is (?:right|correct)|that would be \w+|sounds good|all right|alright)\b"
)
_NO: Final = re.compile(
    r"(?:no|nope|nah|not (?:really|quite|right|correct)|wrong|incorrect|never|"
    r"that's (?:wrong|not)|that is (?:wrong|not)|i don't think so|nothing|don't)\b"
)
_LEAD_IN: Final = re.compile(r"^(?:(?:oh|uh|um|ah|well|hmm?|so|and)\b ?)*")
_BUT: Final = re.compile(r"\b(?:but|except|only that|make it|make that|instead|not)\b")
_ANSWER_WORDS: Final = 6  # of a plain yes or no


def is_sure(ranking: Sequence[Match]) -> bool:
    """Tells whether the best intent may be answered without asking."""
    if not ranking:
        return False
    best = ranking[0].score
    lead = best - (ranking[1].score if len(ranking) > 1 else 0.0)
    return best >= _SURE and lead >= _LEAD


def is_sure_of_talk(ranking: Sequence[Match]) -> bool:
    """The same for intents that are about the conversation itself and can't be asked about."""
    return is_sure(ranking) and ranking[0].score >= _SURE_OF_TALK


def is_guess(ranking: Sequence[Match]) -> bool:
    """Tells whether "is this about ...?" is worth asking."""
    return bool(ranking) and ranking[0].score >= _GUESS


def is_whole_request(ranking: Sequence[Match]) -> bool:
    """Tells whether these words are surely a complete request: no need to wait for more."""
    return bool(ranking) and ranking[0].score >= _COMPLETE


def is_other_request(best: Match) -> bool:
    """Tells whether these words, said to an open question, are surely no answer to it."""
    return best.score >= _OTHER


def ends_call(hypotheses: Sequence[str], best: Match) -> bool:
    """Tells whether a goodbye is clear enough to end the call: it scores high, and says so."""
    text = _plain(hypotheses)
    said = _GOODBYE.search(text) is not None and len(text.split()) <= _FEW_WORDS
    return best.score >= _ENDS and said


def yes_or_no(hypotheses: Sequence[str], ranking: Sequence[Match] = ()) -> str:
    """`YES`, `NO` or "": by the first words of a short answer, else by a sure match."""
    text = _LEAD_IN.sub("", _plain(hypotheses))
    few = len(text.split()) <= _ANSWER_WORDS
    if _NO.match(text) and (few or text.startswith("no ")):
        return NO
    if _YES.match(text) and few and not _BUT.search(text):
        return YES
    if is_sure(ranking) and ranking[0].intent in (YES, NO) and few:
        return ranking[0].intent
    return ""


def _plain(hypotheses: Sequence[str]) -> str:
    text = hypotheses[0].lower().replace("’", "'") if hypotheses else ""
    return " ".join(re.findall(r"[a-z']+", text))
