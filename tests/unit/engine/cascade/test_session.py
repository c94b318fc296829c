"""A call's manners in simulated time: real voice activity, scripted words."""

import logging

import numpy as np
import pytest

from engine.interface import FRAME_SAMPLES
from tests.unit.engine.cascade.rooms import Room, ask_endpoint, recording
from tests.unit.engine.cascade.test_llm import endpoint, events

QUESTION = recording("manners/question")
BARGE_IN = recording("manners/interruption-00")
NOD = recording("manners/backchannel-02")


def test_greets_first() -> None:
    """The greeting is the first sound of the call."""
    room = Room(greeting="Welcome to the test.")
    assert room.wait(0.4)[0]
    assert room.lines == ["Welcome to the test."]


def test_answers_a_question_soon() -> None:
    """Within a second after the caller's last word."""
    room = Room()
    room.speak(QUESTION, "where can i park")
    sounded = room.wait(1.5)
    assert sounded.index(True) * 0.08 < 1.0
    assert room.lines == ["You can park behind the house."]


def test_falls_silent_when_interrupted() -> None:
    """The frame after the verdict is silent, and the new question is answered."""
    room = Room()
    room.turn(QUESTION, "where can i park", 0.9)
    sounded = room.speak(BARGE_IN, "when are you open")
    assert sounded[0]
    assert not any(sounded[7:14])
    room.wait(1.2)
    assert room.lines[-1] == "We open at nine."


def test_talks_on_over_a_backchannel() -> None:
    """An "mm-hm" stops nothing for longer than a breath, and is not answered."""
    room = Room(backchannel=5.0)
    room.turn(QUESTION, "where can i park", 0.4)
    sounded = room.speak(NOD, "Mm-hmm.") + room.wait(0.4)
    assert sounded.count(False) <= 3
    assert sounded[-1]
    assert room.lines == ["You can park behind the house."]


@pytest.mark.parametrize("backchannel", [-5.0, -0.5])
def test_a_stop_empties_the_far_end(backchannel: float) -> None:
    """With the frame that falls silent, and once only."""
    room = Room(backchannel=backchannel)
    room.turn(QUESTION, "where can i park", 0.4)
    room.speak(BARGE_IN, "when are you open")
    assert room.actions == ["yield"]


def test_nobody_yields_who_is_silent() -> None:
    """A turn without an agent in it asks the call for nothing."""
    room = Room()
    room.turn(QUESTION, "where can i park", 0.2)
    assert room.actions == []


def test_a_short_word_with_a_meaning_stops_the_agent() -> None:
    """What sounded like a nod was "stop": known a moment later."""
    room = Room(backchannel=5.0)
    room.turn(QUESTION, "where can i park", 0.6)
    room.speak(NOD, "goodbye")
    room.wait(0.8)
    assert room.lines[-1] == "Goodbye!"


def test_resumes_after_an_interruption_without_content() -> None:
    """It stopped for nothing: the broken sentence is said again."""
    room = Room()
    room.turn(QUESTION, "where can i park", 0.8)
    room.speak(BARGE_IN, "okay")
    room.wait(1.5)
    assert room.lines == ["You can park behind the house."] * 2


def test_the_action_waits_for_the_last_word() -> None:
    """Nobody is cut off in the middle of "goodbye"."""
    room = Room()
    room.speak(QUESTION, "i want to speak to a human")
    for _ in range(100):
        output = room.frame()
        if output.action:
            break
        assert room.actions == []
    assert room.actions == ["handoff"]
    assert not output.pcm[-100:].any()


def test_the_own_echo_is_not_a_caller() -> None:
    """At -25 dB and 200 ms late, the agent speaks to its end."""
    room = Room()
    room.turn(QUESTION, "where can i park", 0.0)
    voice = recording("heldout/bank-001").astype(np.int16)
    room.voice._lines["We open at nine."] = np.tile(voice, 2)
    room.speak(QUESTION, "when are you open")
    room.words.clear()
    played = [np.zeros(FRAME_SAMPLES, np.int16)] * 3
    while not room.lines or room.lines[-1] != "We open at nine.":
        played.append(room.frame().pcm)
    for _ in range(20):
        echo = (played[-3] * 10 ** (-25 / 20)).astype(np.int16)
        played.append(room.frame(echo).pcm)
    assert all(frame.any() for frame in played[-20:])


def test_says_mm_hm_in_a_long_turn() -> None:
    """Once a caller who thinks aloud for long pauses."""
    room = Room(finished=0.0)
    long_turn = np.tile(recording("heldout/bank-001"), 3)[: 24_000 * 6]
    room.speak(long_turn, "well you see")
    room.wait(0.9)
    assert room.lines == ["mm-hm"]


def test_personal_words_stay_out_of_plain_log_fields(caplog: pytest.LogCaptureFixture) -> None:
    """What was heard stands under a `pii.` key only."""
    room = Room()
    with caplog.at_level(logging.INFO):
        room.turn(QUESTION, "where can i park")
    [record] = [record for record in caplog.records if record.message == "cascade.turn"]
    assert record.__dict__["pii.heard"] == "where can i park"
    others = {k: v for k, v in record.__dict__.items() if not k.startswith("pii.")}
    assert "where can i park" not in str(others)


def test_an_endpoint_answers_within_the_persona() -> None:
    """Its sentences are spoken; the built-in answer is not."""
    client = endpoint(events("Behind the house", " there is space."))
    assert ask_endpoint(client) == ["Behind the house there is space."]


def test_the_history_holds_what_was_heard() -> None:
    """A language model must not refer to words that an interruption swallowed."""
    room = Room()
    room.turn(QUESTION, "where can i park", 0.8)
    room.turn(BARGE_IN, "when are you open", 0.3)
    session = room.engine._taken[room.slot].session
    assert session is not None
    first = session._answers._history[1]
    assert first.who == "assistant"
    assert "You can park behind the house.".startswith(first.text)
    assert 0 < len(first.text) < len("You can park behind the house.")
