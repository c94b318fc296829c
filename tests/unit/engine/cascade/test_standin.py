"""The dialogue of a persona that has none."""

from datetime import UTC, datetime

import pytest

from engine.cascade.dialogue import Conversation
from engine.cascade.matching import Matcher, word_llama
from engine.cascade.standin import stand_in


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    """The stand-in's own, with the embeddings that the engine uses."""
    return Matcher(stand_in("anything").examples(), word_llama())


@pytest.mark.timeout(60)  # the embeddings are read from disk
@pytest.mark.parametrize(
    "words",
    [
        "are you open on saturday mornings",
        "how much is a wire transfer",
        "can you book me a table for two tonight",
        "my internet is down",
        "have you got anything cheaper",
    ],
)
def test_an_honest_question_is_no_goodbye(matcher: Matcher, words: str) -> None:
    """It is regretted or asked back, and the call goes on."""
    talk = Conversation(stand_in("anything"), matcher)
    reply = talk.heard([words], talk.rank([words]), datetime(2026, 11, 22, tzinfo=UTC))
    assert reply.action == ""
    assert reply.intent in ("question", "did_you_mean", "")


@pytest.mark.parametrize(
    ("words", "action"),
    [("okay goodbye", "hangup"), ("thanks bye", "hangup"), ("get me a real person", "handoff")],
)
def test_what_is_meant_is_done(matcher: Matcher, words: str, action: str) -> None:
    """Goodbye ends the call, a wish for a person is passed on."""
    assert stand_in("anything").intents[matcher.rank([words])[0].intent].action == action
