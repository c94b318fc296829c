"""Written English as it is spoken: figures, sums, times, percentages and symbols become words.

Persona lines are written as spoken already; this is for read-back of slots and for lines that a
language model wrote. It does not know phonemes, and reads no language but English.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import inflect

_SYMBOLS: Final = {
    "&": " and ",
    "%": " percent",
    "@": " at ",
    "+": " plus ",
    "=": " equals ",
    "°": " degrees",
}
_ABBREVIATIONS: Final = {
    "Mr.": "Mister", "Mrs.": "Missus", "Ms.": "Miz", "Dr.": "Doctor", "St.": "Street",
    "Ave.": "Avenue", "e.g.": "for example", "i.e.": "that is", "etc.": "et cetera",
    "vs.": "versus", "No.": "number",
}  # fmt: skip
_ABBREVIATION: Final = re.compile(
    r"(?<![A-Za-z])(?:(?<=\d)|(?<=\d )|\b)(?P<clock>a\.m\.|p\.m\.|am|pm|AM|PM)(?![A-Za-z])"
    r"|(?<![A-Za-z])(?:Mr|Mrs|Ms|Dr|St|Ave|e\.g|i\.e|etc|vs|No)\."
)
_MONEY: Final = re.compile(r"\$\s?(\d[\d,]*)(?:\.(\d\d))?")
_CLOCK: Final = re.compile(r"\b(\d{1,2}):(\d\d)\b")
_LONG_NUMBER: Final = re.compile(r"\b\d[\d-]*\d{2}-\d[\d-]*|\b\d{5,}\b|\b0\d+\b")
_ORDINAL: Final = re.compile(r"\b(\d+)(?:st|nd|rd|th)\b")
_YEAR: Final = re.compile(r"\b(?:19|20)\d\d\b")
_NUMBER: Final = re.compile(r"\d[\d,]*(?:\.\d+)?")
_CLOCK_WORDS: Final = {"a": "A M", "p": "P M"}


@lru_cache(maxsize=1)
def _words() -> inflect.engine:
    return inflect.engine()


def cardinal(figures: str | int | float) -> str:
    """Returns `1250` as "one thousand two hundred fifty"."""
    said = _words().number_to_words(str(figures), andword="", comma="")
    return re.sub(r"\s+", " ", str(said).replace("-", " ")).strip()


def ordinal(number: int) -> str:
    """Returns `21` as "twenty first"."""
    figures = str(_words().ordinal(str(number)))  # "21st"
    said = _words().number_to_words(figures, andword="", comma="")
    return str(said).replace("-", " ")


def digits(figures: str) -> str:
    """Returns "4072" as "four zero seven two": how one reads an account number."""
    return " ".join(cardinal(figure) for figure in figures if figure.isdigit())


def clock(hour: int, minute: int) -> str:
    """Returns a time on the twelve-hour clock without its half of the day."""
    hours = cardinal((hour - 1) % 12 + 1)
    if minute == 0:
        return hours
    return f"{hours} {'oh ' if minute < 10 else ''}{cardinal(minute)}"


def spoken(text: str) -> str:
    """Writes out everything in `text` that is not a word or punctuation."""
    if text.isascii() and not re.search(r"[\d$&%@+=.]", text):
        return text
    text = _ABBREVIATION.sub(_spell_abbreviation, text)
    text = _MONEY.sub(_spell_money, text)
    text = _CLOCK.sub(lambda found: clock(int(found[1]), int(found[2])), text)
    text = _LONG_NUMBER.sub(lambda found: digits(found[0]), text)
    text = _ORDINAL.sub(lambda found: ordinal(int(found[1])), text)
    text = _YEAR.sub(_spell_year, text)
    text = _NUMBER.sub(lambda found: cardinal(found[0].replace(",", "")), text)
    for symbol, words in _SYMBOLS.items():
        text = text.replace(symbol, words)
    return re.sub(r"\s+", " ", text.replace("—", ", ").replace("–", " to ")).strip()


def _spell_abbreviation(found: re.Match[str]) -> str:
    if found["clock"]:
        return " " + _CLOCK_WORDS[found["clock"][0].lower()]
    return _ABBREVIATIONS[found[0]]


def _spell_money(found: re.Match[str]) -> str:
    dollars = found[1].replace(",", "")
    said = f"{cardinal(dollars)} {'dollar' if dollars == '1' else 'dollars'}"
    if found[2] and found[2] != "00":
        cents = int(found[2])
        said += f" and {cardinal(cents)} {'cent' if cents == 1 else 'cents'}"
    return said


def _spell_year(found: re.Match[str]) -> str:
    year = int(found[0])
    if 2000 <= year <= 2009:
        return cardinal(year)
    century, rest = divmod(year, 100)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"
