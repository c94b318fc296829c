"""Values for slots out of recognised words, put so that they can be read back.

Dates and times are `when`'s; here are numbers, digits, names, options and free text. This module
does not know who asks, and keeps no state.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from difflib import SequenceMatcher
from typing import Final

from text_to_num import alpha2digit

from engine.cascade.spelling import digits, spoken
from engine.cascade.when import first, read_date, read_time, without_times

_FILLERS: Final = (
    r"(?:(?:oh|uh|um|er|yes|yeah|sure|okay|ok|hi|hello|so|well|no|sorry|actually|i mean)\b[ ,.]*)*"
)
_NAME_LEAD: Final = re.compile(
    rf"^{_FILLERS}"
    r"(?:(?:my|the|his|her|our) (?:last |first |full |sur)?name(?: is|'s| was)|name is|"
    r"(?:it|this|that|he|she|name)(?:(?: is|'s| will be| would be))|i am|i'm|"
    r"(?:put|book|make) it (?:under|on|for|in)|you can (?:put|book|use)(?: it)?(?: under| for)?|"
    r"under|for|call me|please|the patient(?: is|'s)?|the passenger(?: is|'s)?)?[ ,]*"
    r"(?:(?:the )?name(?: of)?\b)?[ ,]*",
    re.IGNORECASE,
)
_NAMED: Final = re.compile(
    r"\b(?:my name is|my name's|the name is|under the name(?: of)?)\s+(.+)", re.IGNORECASE
)
_NAME_TAIL: Final = re.compile(
    r"[ ,]*\b(?:please|thanks|thank you|is my name|is the name|here|speaking)\b.*$", re.I
)
_TEXT_LEAD: Final = re.compile(
    rf"^{_FILLERS}(?:(?:it's|it is|that's|that is|this is|the address is|my address is|i live at|"
    r"i live on|i live in|i'm at|i am at|we are at|we're at|i'm on|at|i'd like|i would like|i want|"
    r"i need|i'll have|i'll take|we'd like|can i have|can i get|could i have|could i get|"
    r"could you bring(?: me| us)?|can you bring(?: me| us)?|bring(?: me| us)?)\b[ ,]*)?",
    re.IGNORECASE,
)
_NOT_IN_NAMES: Final = frozenset(
    re.findall(
        r"\S+",
        "on at in the and of to for with what when where why how is are was do does did can could "
        "would will want need have people person table room car book change cancel not don't "
        "monday tuesday wednesday thursday friday saturday sunday tomorrow today o'clock "
        "yes no yeah nope wrong right correct okay that this it i you we they my your",
    )
)
_MAX_NAME_WORDS: Final = 4
_FEWEST_LETTERS: Final = 2  # of a name that is spelled
_ALIKE: Final = 0.72  # of an option and what was heard

# What digits and small numbers sound like to a recogniser that expects words.
_SOUNDS: Final = {
    "oh": "zero", "o": "zero", "won": "one", "to": "two", "too": "two", "tree": "three",
    "free": "three", "for": "four", "fore": "four", "ate": "eight", "tin": "ten",
}  # fmt: skip
_COUNTS: Final = (
    (r"\b(?:just|only) (?:me|myself)\b|\bby myself\b|\bone person\b", "1"),
    (r"\b(?:the )?(?:two|2|both) of us\b|\b(?:me|i) and my \w+\b|\bmy \w+ and (?:me|i)\b", "2"),
    (r"\ba couple\b|\ba pair\b", "2"),
    (r"\ba (?:single )?(?:night|day|week)\b", lambda found: "7" if "week" in found[0] else "1"),
    (r"\bone week\b|\b1 week\b", "7"),
    (r"\b(?:a )?dozen\b", "12"),
)
_COUNTED: Final = re.compile(
    r"(?:\b(?:for|we are|we're|there are|be) (\d+)\b(?! ?%))|\b(\d+)(?: \w+)? "
    r"(?:people|persons?|guests?|of us|nights?|days?|adults|seats|more|in total)\b"
)
_LETTER: Final = {
    "bee": "b", "cee": "c", "see": "c", "sea": "c", "dee": "d", "gee": "g", "jay": "j", "kay": "k",
    "el": "l", "ell": "l", "em": "m", "en": "n", "oh": "o", "pee": "p", "queue": "q", "cue": "q",
    "are": "r", "ess": "s", "tea": "t", "tee": "t", "you": "u", "why": "y", "zee": "z", "zed": "z",
    "ay": "a", "eye": "i", "ex": "x", "eh": "a", "ar": "r", "ef": "f", "aitch": "h", "vee": "v",
}  # fmt: skip


def read_slot(
    kind: str, heard: str, now: datetime, *, asked: bool, options: Sequence[str] = ()
) -> str:
    """Finds one value of the given kind.

    Args:
        kind: one of `script.SLOT_KINDS`.
        heard: what the recogniser wrote.
        now: the caller's present; "tomorrow" hangs on it.
        asked: True when the question stood open: then a bare "seven" is a time, a bare "Anna" a
            name. Unasked, only what names itself counts ("at seven p m", "my name is Anna").
        options: of a choice.

    Returns:
        The value as it is read back, or "".
    """
    if kind == "choice":
        return _read_choice(heard, options, asked)
    return _READERS[kind](heard, now, asked)


def read_any(
    kind: str, hypotheses: Sequence[str], now: datetime, *, asked: bool, options: Sequence[str] = ()
) -> str:
    """As `read_slot`, from the first hypothesis that has a value; free text is the best one's."""
    heard = hypotheses[:1] if kind in ("name", "text") else hypotheses
    return first(read_slot(kind, text, now, asked=asked, options=options) for text in heard)


def introduces_name(hypotheses: Sequence[str]) -> bool:
    """Tells whether the words say themselves that a name follows."""
    return bool(hypotheses) and _NAMED.search(hypotheses[0]) is not None


def read_letters(heard: str) -> str:
    """Returns a name that was spelled letter by letter, or ""."""
    text = re.sub(r"\b([a-z])\b,? (?:as in|like|for) \w+", r"\1", heard.lower())
    text = re.sub(r"\bdouble[ -]?(?:u|you)\b", "w", text)
    text = re.sub(r"\bdouble,? ([a-z])\b", r"\1 \1", text)
    text = re.sub(r"(?<=\b[a-z])[-.](?=[a-z]\b)", " ", text)
    words = re.findall(r"[a-z]+", text)
    letters = [word if len(word) == 1 else _LETTER.get(word, "") for word in words]
    if sum(map(bool, letters)) < max(_FEWEST_LETTERS, 0.6 * len(words)):
        return ""
    run = "".join(letter or word for letter, word in zip(letters, words, strict=True))
    return run.capitalize()


def _read_number(heard: str, now: datetime, asked: bool) -> str:
    text = without_times(heard)
    for pattern, count in _COUNTS:
        text = re.sub(pattern, count, text)
    if counted := _COUNTED.search(text):
        return spoken(counted[1] or counted[2])
    if not asked:
        return ""
    if found := re.search(r"\d+(?:\.\d+)?", text):
        return spoken(found[0])
    words = re.findall(r"[a-z]+", text)
    if len(words) <= 2:
        sounds = [alpha2digit(_SOUNDS[word], "en", 0) for word in words if word in _SOUNDS]
        return spoken(sounds[-1]) if sounds else ""
    return ""


def _read_digits(heard: str, now: datetime, asked: bool) -> str:
    text = re.sub(r"[,.-]", " ", heard.lower())
    text = re.sub(r"\b(?:oh|o)\b", "zero", text)
    text = re.sub(
        r"\b(double|triple) (\w+)", lambda f: " ".join([f[2]] * (3 if f[1][0] == "t" else 2)), text
    )
    if asked and _mostly_numbers(text):
        text = " ".join(_SOUNDS.get(word, word) for word in text.split())
    figures = re.sub(r"\D", "", alpha2digit(text, "en", 0))
    return digits(figures) if len(figures) >= (2 if asked else 4) else ""


def _mostly_numbers(text: str) -> bool:
    words = alpha2digit(text, "en", 0).split()
    return 2 * sum(word.isdigit() for word in words) > len(words)


def _read_name(heard: str, now: datetime, asked: bool) -> str:
    text = heard.strip(" .!?")
    if asked and (spelled := read_letters(text)):
        return spelled
    lead = _NAME_LEAD.match(text)
    named = _NAMED.search(text)
    if not named and not asked:
        return ""
    rest = named[1] if named else text[lead.end() if lead else 0 :]
    words = re.findall(r"[A-Za-zÀ-ÿ][A-Za-zÀ-ÿ'’-]*", _NAME_TAIL.sub("", rest))
    if not 0 < len(words) <= _MAX_NAME_WORDS or {word.lower() for word in words} & _NOT_IN_NAMES:
        return ""
    return " ".join(word[:1].upper() + word[1:] for word in words)


def _read_choice(heard: str, options: Sequence[str], asked: bool) -> str:
    """The option that was named: by its own words, or by its place in the row where asked."""
    text = re.sub(r"\b([a-z])[. ]+([a-z])[. ]+([a-z])\b", r"\1\2\3", heard.lower())
    words = re.findall(r"[a-z0-9]+", text)
    shared = set.intersection(*(set(option.lower().split()) for option in options))
    scores = [_likeness(option, words, shared) for option in options]
    best = max(range(len(options)), key=scores.__getitem__)
    others = [score for index, score in enumerate(scores) if index != best]
    if scores[best] >= (_ALIKE if asked else 1.0) and scores[best] > max(others, default=0.0):
        return options[best]
    places = {"first": 0, "second": 1, "third": 2, "last": len(options) - 1}
    if (
        asked
        and (place := next((places[word] for word in words if word in places), None)) is not None
    ):
        return options[place] if place < len(options) else ""
    return ""


def _likeness(option: str, heard: Sequence[str], shared: set[str]) -> float:
    own = [word for word in re.findall(r"[a-z0-9]+", option.lower()) if word not in shared]
    words = [word for word in own if word not in ("a", "an", "the", "car", "room")] or own
    pairs = ((word, said) for word in words for said in (*heard, *(f"{said}s" for said in heard)))
    return max((SequenceMatcher(None, *pair).ratio() for pair in pairs), default=0.0)


def _read_text(heard: str, now: datetime, asked: bool) -> str:
    if not asked:
        return ""
    text = heard.strip(" .!?")
    lead = _TEXT_LEAD.match(text)
    return text[lead.end() if lead else 0 :].strip(" .!?,") or text


_READERS: Final[Mapping[str, Callable[[str, datetime, bool], str]]] = {
    "date": read_date,
    "time": read_time,
    "number": _read_number,
    "digits": _read_digits,
    "name": _read_name,
    "text": _read_text,
}
