"""Dates and times of day out of recognised words, put so that they can be read back.

Libraries do the reading: text2num for number words, parsedatetime for dates. The rewriting here
bridges speech ("half past six", "the third of May") and a recogniser's spelling ("730") to what
they know. This module does not know who asks, and keeps no state; the present is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Final

import parsedatetime
from text_to_num import alpha2digit

from engine.cascade.spelling import clock, ordinal

_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY: Final = "|".join(_DAYS)
_MONTHS: Final = (
    "january|february|march|april|may|june|july|august|september|october|november|december"
)
_MINUTES: Final = {"half": 30, "quarter": 15}
# What speakers say -> what parsedatetime reads, in this order; number words are figures by then.
_BRIDGES: Final = (
    (r"\bnoon\b|\bmidday\b", "12 pm"),
    (r"\bmidnight\b", "12 am"),
    (r"(?<=\d)-(?=\d)", " "),
    (r"\b(?:a )?(half|quarter|\d{1,2})(?: minutes?)? past (\d{1,2})\b", lambda f: _past(f)),
    (r"\b(?:a )?(quarter|\d{1,2})(?: minutes?)? (?:to|of|before) (\d{1,2})\b(?! \d)",
     lambda f: _before(f)),
    (r"\bhalf (\d{1,2})\b", r"\1:30"),
    (r"(?<=\d) ?o'? ?clock\b", ":00"),
    (r"\b(\d{1,2})[ .]0?(\d\d)\b", r"\1:\2"),
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
_CLOCK: Final = re.compile(r"\b(\d{1,2}):([0-5]\d)\b")
_RUN_TOGETHER: Final = re.compile(r"\b(?:(at|around|about|by|for|to) )?(\d{1,2})([0-5]\d)\b(?! ?%)")
_HOUR: Final = re.compile(r"\b(?:(at|around|about|by|until) )?(\d{1,2})\b(?! ?%)(?: ?(am|pm)\b)?")
_HALF: Final = re.compile(r"\b(am|pm)\b|(?<=\d)(am|pm)\b")
_DAY_OF_MONTH: Final = re.compile(
    r"\b(?:the )?(\d{1,2})(st|nd|rd|th)?\b(?! (?:people|persons|of us))"
)
_NEXT_WEEK: Final = re.compile(rf"\b({_DAY})(?: of)? next week\b|\bnext week(?: on)? ({_DAY})\b")
_SPAN: Final = re.compile(r"(?:for )?\d+ (?:day|week|month)s?")  # how long, not when

_FEWEST_TIME_WORDS: Final = 3  # of an answer that is nothing but a time
_DAY_LIKENESS: Final = 0.62  # of a bent weekday ("unthirsty"), and its lead before the next
_DAY_LEAD: Final = 0.08


@lru_cache(maxsize=1)
def _calendar() -> parsedatetime.Calendar:
    return parsedatetime.Calendar(version=parsedatetime.VERSION_CONTEXT_STYLE)


def bridged(heard: str) -> str:
    """Returns the words in the form that the readers know: figures, `7:30`, `am`."""
    text = alpha2digit(heard.lower().replace(",", " ").replace("’", "'"), "en", 0)
    for pattern, replacement in _BRIDGES:
        text = re.sub(pattern, replacement, text)
    return re.sub(r"\s+", " ", text.strip(" .!?"))


def read_date(heard: str, now: datetime, asked: bool) -> str:
    """Finds a day, from today on; as it is read back, or ""."""
    text = bridged(heard)
    if re.search(r"\btoday\b|\btonight\b", heard.lower()):
        return "today"
    if week := _NEXT_WEEK.search(text):
        monday = now - timedelta(days=now.weekday()) + timedelta(weeks=1)
        return _say_date(monday + timedelta(days=_DAYS.index(week[1] or week[2])), now)
    for moment, context, _, _, found in _calendar().nlp(text, sourceTime=now) or ():
        if (
            context.hasDate
            and not _SPAN.fullmatch(found)
            and re.search(rf"{_MONTHS}|{_DAY}|day|week|month|tomorrow|/", found)
        ):
            return _say_date(moment if moment.date() >= now.date() else _later(moment), now)
    if day := _day_of_month(text, now, asked):
        return _say_date(day, now)
    return _bent_weekday(text, now) if asked else ""


def read_time(heard: str, now: datetime, asked: bool) -> str:
    """Finds a time of day; as it is read back, or ""."""
    text = bridged(heard)
    half = _HALF.search(text)
    if exact := _CLOCK.search(text):
        if int(exact[1]) <= 24:
            return _say_time(int(exact[1]), int(exact[2]), half and half[0])
        return ""
    short = len(text.split()) <= _FEWEST_TIME_WORDS
    dated = re.search(_MONTHS + r"|from now|in |people|\d(?:st|nd|rd|th)\b", text)
    for run in _RUN_TOGETHER.finditer(text):
        if (run[1] in ("at", "around", "about", "by") or half or (asked and short)) and int(
            run[2]
        ) <= 24:
            return _say_time(int(run[2]), int(run[3]), half and half[0])
    for hour in _HOUR.finditer(text):
        alone = asked and short and not dated
        if (hour[1] or hour[3] or alone) and 0 < int(hour[2]) <= 24:
            return _say_time(int(hour[2]), 0, half and half[0])
    return ""


def without_times(heard: str) -> str:
    """Returns the words as `bridged`, without what is a time or a date in them."""
    text = bridged(heard)
    text = re.sub(r"\b(?:at|around|about|by|until) \d{1,2}(?::?\d\d)?(?: ?[ap]m)?\b", " ", text)
    text = re.sub(r"\b\d{1,2}(?::\d\d)(?: ?[ap]m)?\b|\b\d{1,2} ?[ap]m\b", " ", text)
    text = re.sub(rf"\b(?:{_MONTHS}) \d{{1,2}}(?:st|nd|rd|th)?\b", " ", text)
    text = re.sub(r"\b\d{1,2}(?:st|nd|rd|th)\b|\b\d+ days from now\b", " ", text)
    return re.sub(r"\s+", " ", text).strip()


def _past(found: re.Match[str]) -> str:
    minute = _MINUTES.get(found[1]) or int(found[1])
    return f"{found[2]}:{minute:02d}" if minute < 60 else found[0]


def _before(found: re.Match[str]) -> str:
    minute = _MINUTES.get(found[1]) or int(found[1])
    hour = (int(found[2]) - 2) % 12 + 1
    return f"{hour}:{60 - minute:02d}" if 0 < minute < 60 else found[0]


def _day_part(said: str, half: str) -> str:
    return f"{'tomorrow ' if said.startswith('tomorrow') else ''}{half}"


def _later(moment: datetime) -> datetime:
    """The same day of the next year: nobody books into the past."""
    try:
        return moment.replace(year=moment.year + 1)
    except ValueError:  # the 29th of February
        return moment + timedelta(days=365)


def _day_of_month(text: str, now: datetime, asked: bool) -> datetime | None:
    """The next 23rd, of "the 23rd"; a bare "23" only where a day was asked for."""
    for found in _DAY_OF_MONTH.finditer(text):
        day = int(found[1])
        alone = asked and re.fullmatch(r"(?:on )?(?:the )?\d{1,2}", text) is not None
        if not (found[2] or alone) or not 1 <= day <= 31 or _CLOCK.search(text):
            continue
        moment = now
        for _ in range(62):
            if moment.day == day:
                return moment
            moment += timedelta(days=1)
    return None


def _bent_weekday(text: str, now: datetime) -> str:
    """A weekday that the recogniser bent: one short word or two that sound like it."""
    if not 0 < len(text.split()) <= 3 or re.search(r"\d", text):
        return ""
    squeezed = text.replace(" ", "")
    forms = ((day, form) for day in _DAYS for form in (day, f"on{day}"))
    scores: dict[str, float] = {}
    for day, form in forms:
        likeness = SequenceMatcher(None, squeezed, form).ratio()
        scores[day] = max(likeness, scores.get(day, 0.0))
    best, second = sorted(scores, key=lambda day: -scores[day])[:2]
    if scores[best] < _DAY_LIKENESS or scores[best] - scores[second] < _DAY_LEAD:
        return ""
    ahead = (_DAYS.index(best) - now.weekday() - 1) % 7 + 1
    return _say_date(now + timedelta(days=ahead), now)


def _say_date(moment: datetime, now: datetime) -> str:
    distance = (moment.date() - now.date()).days
    if distance in (0, 1):
        return ("today", "tomorrow")[distance]
    return f"{moment:%A}, {moment:%B} {ordinal(moment.day)}"


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


def first(values: Iterable[str]) -> str:
    """The first that is not empty."""
    return next((value for value in values if value), "")
