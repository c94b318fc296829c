"""Dates, times, numbers and names out of recognised words, put so that they can be read back.

Libraries do the reading: text2num for number words, parsedatetime for dates and times. The little
rewriting here only bridges speech ("half past six", "the third of May") to what they know.
This module does not know who asks, and keeps no state; today's date is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final

import parsedatetime
from text_to_num import alpha2digit

from engine.cascade.spelling import clock, digits, ordinal, spoken

_MONTHS: Final = (
    "january|february|march|april|may|june|july|august|september|october|november|december"
)
# What speakers say -> what parsedatetime reads, in this order; number words are figures by then.
_BRIDGES: Final = (
    (r"\bnoon\b|\bmidday\b", "12 pm"),
    (r"\bmidnight\b", "12 am"),
    (r"\bhalf past (\d{1,2})\b", r"\1:30"),
    (r"\b(?:a )?quarter past (\d{1,2})\b", r"\1:15"),
    (r"(?<=\d) ?o'?clock\b", ":00"),
    (r"\b(\d{1,2})[ .](\d\d)\b", r"\1:\2"),
    (r"\b([ap])\.? ?m\b\.?", r"\1m"),
    (r"\b(?:in the|this|tomorrow|today) morning\b", lambda found: _day_part(found[0], "am")),
    (
        r"\b(?:in the|this|tomorrow|today) (?:afternoon|evening)\b",
        lambda found: _day_part(found[0], "pm"),
    ),
    (r"\b(?:at|tomorrow) night\b|\btonight\b", lambda found: _day_part(found[0], "pm")),
    (r"(:\d\d)\s+((?!am|pm).*\b)?(am|pm)\b", r"\1 \3 \2"),
    (rf"\b(?:the )?(\d{{1,2}})(?:st|nd|rd|th)? (?:of )?({_MONTHS})\b", r"\2 \1"),
    (r"\b(?:the )?day after tomorrow\b", "2 days from now"),
    (r"\bthis (?=(?:mon|tues|wednes|thurs|fri|satur|sun)day)", ""),
    (r"\bmay\b(?! \d)", ""),
)  # fmt: skip
_CLOCK: Final = re.compile(r"\b(\d{1,2}):(\d\d)\b")
_HOUR: Final = re.compile(r"\b(?:(at|around|about|by) )?(\d{1,2})\b(?! ?%)(?: ?(am|pm)\b)?")
_HALF: Final = re.compile(r"\b(am|pm)\b|(?<=\d)(am|pm)\b")
_QUARTER_TO: Final = re.compile(r"\b(?:a )?quarter to (\d{1,2})\b")
_NAME_LEAD: Final = re.compile(
    r"^(?:(?:oh|uh|um|yes|yeah|sure|okay|hi|hello|so|well)\b[ ,]*)*"
    r"(?:(?:my|the) (?:last |first |full )?name(?: is|'s)|it(?: is|'s)|this is|i am|i'm|that is|"
    r"that's|under|for|put it under|call me|please)?[ ,]*",
    re.IGNORECASE,
)
_NAME_TAIL: Final = re.compile(
    r"[ ,]*\b(?:please|thanks|thank you|is my name|here|speaking)\b.*$", re.I
)
_MAX_NAME_WORDS: Final = 4


@lru_cache(maxsize=1)
def _calendar() -> parsedatetime.Calendar:
    return parsedatetime.Calendar(version=parsedatetime.VERSION_CONTEXT_STYLE)


def read_slot(kind: str, heard: str, now: datetime, *, asked: bool) -> str:
    """Finds one value of the given kind.

    Args:
        kind: one of `script.SLOT_KINDS`.
        heard: what the recogniser wrote.
        now: the caller's present; "tomorrow" hangs on it.
        asked: True when the question stood open: then a bare "seven" is a time, a bare "Anna" a
            name. Unasked, only what names itself counts ("at seven p m", "my name is Anna").

    Returns:
        The value as it is read back, or "".
    """
    return _READERS[kind](heard, now, asked)


def _bridged(heard: str) -> str:
    text = alpha2digit(heard.lower().replace(",", " "), "en", 0)
    text = _QUARTER_TO.sub(lambda found: f"{(int(found[1]) - 2) % 12 + 1}:45", text)
    for pattern, replacement in _BRIDGES:
        text = re.sub(pattern, replacement, text)
    return re.sub(r"\s+", " ", text.strip(" .!?"))


def _day_part(said: str, half: str) -> str:
    return f"{'tomorrow ' if said.startswith('tomorrow') else ''}{half}"


def _read_date(heard: str, now: datetime, asked: bool) -> str:
    text = _bridged(heard)
    if re.search(r"\btoday\b|\btonight\b", heard.lower()):
        return "today"
    for moment, context, *_ in _calendar().nlp(text, sourceTime=now) or ():
        if context.hasDate:
            return _say_date(moment, now)
    return ""


def _say_date(moment: datetime, now: datetime) -> str:
    distance = (moment.date() - now.date()).days
    if distance in (0, 1):
        return ("today", "tomorrow")[distance]
    return f"{moment:%A}, {moment:%B} {ordinal(moment.day)}"


def _read_time(heard: str, now: datetime, asked: bool) -> str:
    text = _bridged(heard)
    half = _HALF.search(text)
    exact = _CLOCK.search(text)
    if exact:
        return _say_time(int(exact[1]), int(exact[2]), half and half[0])
    for hour in _HOUR.finditer(text):
        alone = asked and len(text.split()) <= 3 and not re.search(_MONTHS + "|from now|in ", text)
        if (hour[1] or hour[3] or alone) and int(hour[2]) <= 24:
            return _say_time(int(hour[2]), 0, half and half[0])
    return ""


def _say_time(hour: int, minute: int, half: str | None) -> str:
    if half is None and hour > 12:
        half, hour = "pm", hour - 12
    if (hour, minute, half) == (12, 0, "pm"):
        return "noon"
    if half == "am":
        return f"{clock(hour, minute)} in the morning"
    if half == "pm":
        return f"{clock(hour, minute)} in the {'afternoon' if hour % 12 < 6 else 'evening'}"
    return clock(hour, minute)


def _read_number(heard: str, now: datetime, asked: bool) -> str:
    found = re.search(r"\d[\d,]*(?:\.\d+)?", alpha2digit(heard.lower(), "en", 0))
    return spoken(found[0].rstrip(",")) if found else ""


def _read_digits(heard: str, now: datetime, asked: bool) -> str:
    text = re.sub(r"\b(?:oh|o)\b", "zero", heard.lower())
    text = re.sub(r"\bdouble (\w+)", r"\1 \1", text)
    figures = re.sub(r"\D", "", alpha2digit(text, "en", 0))
    return digits(figures) if len(figures) >= (2 if asked else 4) else ""


def _read_name(heard: str, now: datetime, asked: bool) -> str:
    text = heard.strip(" .!?")
    lead = _NAME_LEAD.match(text)
    named = re.search(r"\b(?:my name is|my name's|under the name(?: of)?)\s+(.+)", text, re.I)
    if not named and not asked:
        return ""
    rest = named[1] if named else text[lead.end() if lead else 0 :]
    words = re.findall(r"[A-Za-z][A-Za-z'-]*", _NAME_TAIL.sub("", rest))
    if not 0 < len(words) <= _MAX_NAME_WORDS:
        return ""
    return " ".join(word[:1].upper() + word[1:] for word in words)


def _read_text(heard: str, now: datetime, asked: bool) -> str:
    return heard.strip(" .!?") if asked else ""


_READERS: Final[Mapping[str, Callable[[str, datetime, bool], str]]] = {
    "date": _read_date,
    "time": _read_time,
    "number": _read_number,
    "digits": _read_digits,
    "name": _read_name,
    "text": _read_text,
}
