"""Intents are ranked by likeness to their examples."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.cascade.matching import Matcher, plain, word_llama
from engine.cascade.script import parse
from tests.unit.engine.cascade.scripts import SECTION

EXAMPLES = parse(SECTION).examples()


def no_meaning(texts: Sequence[str]) -> NDArray[np.float32]:
    """An embedding that says nothing: leaves letters and words."""
    return np.zeros((len(texts), 4), np.float32)


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    """With the packaged embeddings."""
    return Matcher(EXAMPLES, word_llama())


@pytest.mark.parametrize(("example", "intent"), EXAMPLES)
def test_examples_find_themselves(matcher: Matcher, example: str, intent: str) -> None:
    """An example is always its own intent, whatever its case and punctuation."""
    best = matcher.rank([f"{example.upper()}!"])[0]
    assert best.intent == intent
    assert best.score > 0.35


@pytest.mark.parametrize(
    ("heard", "intent"),
    [
        ("Could you tell me until when you're open?", "hours"),
        ("can I leave my car somewhere", "parking"),
        ("I'd like to reserve for this evening", "table"),
        ("let me talk to a person", "human"),
    ],
)
def test_paraphrases(matcher: Matcher, heard: str, intent: str) -> None:
    """Words that no example has still find the intent."""
    assert matcher.rank([heard])[0].intent == intent


def test_hypotheses_are_averaged(matcher: Matcher) -> None:
    """A second hypothesis that is right outweighs a first that is noise."""
    ranked = matcher.rank(["where can i bark", "where can i park"])
    assert ranked[0].intent == "parking"


def test_letters_alone_bridge_bent_words() -> None:
    """Without embeddings, near-homographs still match."""
    assert Matcher(EXAMPLES, no_meaning).rank(["opening ours"])[0].intent == "hours"


def test_unrelated_speech_scores_low(matcher: Matcher) -> None:
    """Nothing fits, and the score says so."""
    assert matcher.rank(["quantum chromodynamics lattice"])[0].score < 0.3


def test_no_words_no_ranking(matcher: Matcher) -> None:
    """Punctuation alone is nothing to match."""
    assert matcher.rank(["...", ""]) == []


def test_plain() -> None:
    """Letters and apostrophes remain."""
    assert plain("Don’t -- PANIC, 42!") == "don't panic"
