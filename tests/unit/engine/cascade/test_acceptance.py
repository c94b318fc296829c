"""What is sure, what is a goodbye, and what is a yes."""

import pytest

from engine.cascade.acceptance import ends_call, is_sure, yes_or_no
from engine.cascade.matching import Match


@pytest.mark.parametrize(
    ("scores", "sure"), [((0.5, 0.1), True), ((0.5, 0.49), False), ((0.2, 0.0), False), ((), False)]
)
def test_sure_needs_a_score_and_a_lead(scores: tuple[float, ...], sure: bool) -> None:
    """A high score with another one right behind is a doubt."""
    assert is_sure([Match(f"intent{i}", score) for i, score in enumerate(scores)]) is sure


@pytest.mark.parametrize(
    ("words", "score", "ends"),
    [
        ("Okay, goodbye.", 0.9, True),
        ("Goodbye.", 0.4, False),
        ("I said goodbye to my old school on the last day of June", 0.9, False),
        ("Talk louder, please.", 0.9, False),
    ],
)
def test_only_a_clear_goodbye_ends_the_call(words: str, score: float, ends: bool) -> None:
    """It scores high, says so, and is short."""
    assert ends_call([words], Match("goodbye", score)) is ends


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ("Yes, that's right.", "yes"),
        ("Um, yeah.", "yes"),
        ("No.", "no"),
        ("No, make it eight o'clock.", "no"),
        ("Yes, but at nine.", ""),
        ("Where can I park?", ""),
    ],
)
def test_yes_and_no(words: str, verdict: str) -> None:
    """A yes with a "but" is none."""
    assert yes_or_no([words]) == verdict
