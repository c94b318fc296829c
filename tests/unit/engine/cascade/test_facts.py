"""Sentences of the role text answer questions about what they state, and nothing else."""

import pytest

from engine.cascade.facts import Facts
from engine.cascade.matching import word_llama

ROLE = (
    "You work for Molar House which is a dental practice. Information: A cleaning costs ninety "
    "dollars. The practice is open Monday to Thursday from eight to five; emergencies are seen at "
    "once. Never give medical advice. Answer in one or two short sentences."
)


@pytest.fixture(scope="module")
def facts() -> Facts:
    """Of a persona that somebody edited."""
    return Facts(ROLE, word_llama())


@pytest.mark.timeout(60)  # the embeddings are read from disk
@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How much is a cleaning?", "A cleaning costs ninety dollars."),
        (
            "When is the practice open?",
            "The practice is open Monday to Thursday from eight to five.",
        ),
        ("Do you sell bicycles?", ""),
        ("Can you give me medical advice?", ""),
        ("", ""),
    ],
)
def test_a_sentence_answers(facts: Facts, question: str, answer: str) -> None:
    """Prices and hours are found; orders to the agent are never said."""
    assert facts.answer([question] if question else []) == answer


@pytest.mark.timeout(60)
def test_knows_what_is_stated(facts: Facts) -> None:
    """Whatever the case of its letters."""
    assert facts.states("Ninety dollars")
    assert not facts.states("eighty dollars")
