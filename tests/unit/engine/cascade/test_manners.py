"""Which words only say "go on"."""

import pytest

from engine.cascade.manners import is_backchannel


@pytest.mark.parametrize(
    "heard",
    ["Mm-hmm.", "Mm-hm", "Okay.", "Yeah, right.", "Uh-huh", "I see.", "Got it!", "That's right."],
)
def test_backchannels(heard: str) -> None:
    """Short signs of listening."""
    assert is_backchannel([heard])


@pytest.mark.parametrize(
    "heard",
    ["Stop.", "No.", "Okay, but when?", "Wait", "yeah yeah yeah yeah", "all of it", "I got a bill"],
)
def test_words_that_want_something(heard: str) -> None:
    """One word with a meaning suffices; so does going on and on."""
    assert not is_backchannel([heard])


def test_no_words_say_nothing() -> None:
    """A cough is no interruption."""
    assert is_backchannel([])
