"""Values are found in recognised speech and come back ready to be read out."""

from datetime import UTC, datetime

import pytest

from engine.cascade.slots import read_letters, read_slot

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)  # a Sunday


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        ("Tomorrow at seven thirty", "tomorrow"),
        ("next tuesday please", "Tuesday, November twenty fourth"),
        ("the twenty fifth of november", "Wednesday, November twenty fifth"),
        ("the 1st of December", "Tuesday, December first"),
        ("the day after tomorrow", "Tuesday, November twenty fourth"),
        ("uh maybe on this Friday", "Friday, November twenty seventh"),
        ("tonight", "today"),
        ("I may come on monday", "tomorrow"),
        ("in two weeks", "Sunday, December sixth"),
        ("the 23rd", "tomorrow"),
        ("On the twenty fifth.", "Wednesday, November twenty fifth"),
        ("Thursday next week", "Thursday, November twenty sixth"),
        ("Unthirsty", "Thursday, November twenty sixth"),
        ("six days", ""),
        ("four people", ""),
    ],
)
def test_dates(heard: str, said: str) -> None:
    """Relative and absolute days, and none where none was said."""
    assert read_slot("date", heard, NOW, asked=True) == said


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        ("at seven thirty in the evening", "seven thirty in the evening"),
        ("Tomorrow evening at eight.", "eight in the evening"),
        ("half past six", "six thirty"),
        ("quarter to nine", "eight forty five"),
        ("quarter past two", "two fifteen"),
        ("3 p.m.", "three in the afternoon"),
        ("noon", "noon"),
        ("at 19:00", "seven in the evening"),
        ("eight o'clock", "eight"),
        ("At 730.", "seven thirty"),
        ("730", "seven thirty"),
        ("7:30", "seven thirty"),
        ("half seven", "seven thirty"),
        ("ten to eight", "seven fifty"),
        ("twenty past six", "six twenty"),
        ("seven", "seven"),
        ("a table for four tomorrow night", ""),
        ("in two weeks", ""),
    ],
)
def test_times(heard: str, said: str) -> None:
    """The time is read back as it was said: no half of the day is invented."""
    assert read_slot("time", heard, NOW, asked=True) == said


def test_a_bare_number_is_a_time_only_when_asked() -> None:
    """Unasked, "seven" may be anything."""
    assert read_slot("time", "seven", NOW, asked=False) == ""
    assert read_slot("time", "at seven", NOW, asked=False) == "seven"


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        ("My name is John Smith.", "John Smith"),
        ("It's Anna Lopez, please.", "Anna Lopez"),
        ("uh this is Maria", "Maria"),
        ("Peterson", "Peterson"),
        ("I would like to book a table for two", ""),
    ],
)
def test_names(heard: str, said: str) -> None:
    """The words around a name fall away; a sentence is no name."""
    assert read_slot("name", heard, NOW, asked=True) == said


def test_a_name_counts_unasked_only_if_it_says_so() -> None:
    """The words "my name is" volunteer a name; a bare word does not."""
    assert read_slot("name", "a table, my name is Lee", NOW, asked=False) == "Lee"
    assert read_slot("name", "Peterson", NOW, asked=False) == ""


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        ("four zero seven two", "four zero seven two"),
        ("It's 4, 0, 7, 2.", "four zero seven two"),
        ("double five oh one", "five five zero one"),
        ("I don't know", ""),
    ],
)
def test_digits(heard: str, said: str) -> None:
    """Digits are read back one by one, however they were said."""
    assert read_slot("digits", heard, NOW, asked=True) == said


def test_numbers_and_text() -> None:
    """An amount is said as one number; free text counts only when asked for."""
    assert read_slot("number", "we are twenty five people", NOW, asked=True) == "twenty five"
    assert read_slot("number", "some", NOW, asked=True) == ""
    assert read_slot("text", "The tap drips.", NOW, asked=True) == "The tap drips"
    assert read_slot("text", "The tap drips.", NOW, asked=False) == ""


@pytest.mark.parametrize(
    ("heard", "asked", "said"),
    [
        ("A table for four at seven thirty", False, "four"),
        ("tomorrow at eight", False, ""),
        ("Just me.", True, "one"),
        ("Tin.", True, "ten"),
        ("For three nights.", False, "three"),
        ("eight o'clock", True, ""),
    ],
)
def test_numbers(heard: str, asked: bool, said: str) -> None:
    """What is a time or a date is no amount; a short word is what it sounds like."""
    assert read_slot("number", heard, NOW, asked=asked) == said


OPTIONS = ("compact car", "SUV", "van")


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        ("A compact car.", "compact car"),
        ("An S U V, please.", "SUV"),
        ("the last one", "van"),
        ("something red", ""),
    ],
)
def test_choices(heard: str, said: str) -> None:
    """An option is named by its own word or by its place."""
    assert read_slot("choice", heard, NOW, asked=True, options=OPTIONS) == said


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        ("K-R-Z-Y", "Krzy"),
        ("B as in boy, O, double L", "Boll"),
        ("double u, e, s, t", "West"),
        ("Peterson", ""),
    ],
)
def test_spelled_names(heard: str, said: str) -> None:
    """Letters, with words that help to hear them."""
    assert read_letters(heard) == said
