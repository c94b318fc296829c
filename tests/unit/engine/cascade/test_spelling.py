"""Figures and symbols are written as they are spoken."""

import pytest

from engine.cascade.spelling import cardinal, clock, digits, ordinal, spoken


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("It costs $6 a month.", "It costs six dollars a month."),
        ("$1,250.50 is due", "one thousand two hundred fifty dollars and fifty cents is due"),
        ("$1.01", "one dollar and one cent"),
        ("Come at 3:05 p.m.", "Come at three oh five P M"),
        ("open 9am to 5 pm", "open nine A M to five P M"),
        ("the 23rd of May 2026", "the twenty third of May twenty twenty six"),
        ("in 2005 and 1900", "in two thousand five and nineteen hundred"),
        ("10% off", "ten percent off"),
        ("Dr. Gray, 12 Elm St.", "Doctor Gray, twelve Elm Street"),
        ("call 555-0100", "call five five five zero one zero zero"),
        ("account 40721", "account four zero seven two one"),
        ("3.2 percent", "three point two percent"),
    ],
)
def test_writes_out(written: str, said: str) -> None:
    """Sums, times, dates, shares and numbers become words."""
    assert spoken(written) == said


@pytest.mark.parametrize("line", ["We open at nine.", "I am here, and you?", "Don't worry!"])
def test_leaves_words_alone(line: str) -> None:
    """A line written as spoken is not touched."""
    assert spoken(line) == line


def test_pieces() -> None:
    """The parts that read-back uses."""
    assert cardinal(105) == "one hundred five"
    assert ordinal(21) == "twenty first"
    assert digits("4-072") == "four zero seven two"
    assert clock(0, 0) == "twelve"
    assert clock(19, 30) == "seven thirty"
