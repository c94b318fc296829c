"""A minute of speech and a minute of music, through the engine with all its real networks."""

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from engine.cascade.engine import CascadeEngine, CascadeSettings
from engine.cascade.workshop import InlineWorkshop
from engine.interface import SAMPLE_RATE_HZ
from personas import library
from tests.bench.cascade_caller import Caller, Samples, call, session_spec
from tests.unit.engine.cascade.rooms import recording

pytestmark = pytest.mark.timeout(120)

BLOCK_SAMPLES = SAMPLE_RATE_HZ // 50
NOTES_HZ = (262, 330, 392, 330)  # a broken chord, two notes a second


@pytest.fixture(scope="module")
def engine() -> Iterator[CascadeEngine]:
    """The smallest models, which work while simulated time stands still."""
    settings = CascadeSettings(slots=1, whisper="tiny")
    engine = CascadeEngine(settings, workshop=InlineWorkshop())
    yield engine
    engine.close()


@pytest.fixture
def caller(engine: CascadeEngine) -> Iterator[Caller]:
    """A caller of the bank, whom nobody greets."""
    caller = call(engine, replace(session_spec(library.load(), "bank", "long"), greeting=""))
    yield caller
    engine.release(caller.slot)


def without_pauses(seconds: float) -> Samples:
    """Recorded speech in which nobody draws a breath."""
    speech = np.concatenate([recording(f"heldout/bank-00{index}") for index in range(9)])
    blocks = speech[: len(speech) // BLOCK_SAMPLES * BLOCK_SAMPLES].reshape(-1, BLOCK_SAMPLES)
    loud = np.abs(blocks.astype(np.float32)).max(1) > 3_000
    return np.resize(blocks[loud].ravel(), int(seconds * SAMPLE_RATE_HZ))


def music(seconds: float) -> Samples:
    """Plucked notes with harmonics, as a telephone on hold plays them."""
    time_s = np.arange(int(0.5 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    notes = [
        sum(np.sin(2 * np.pi * k * pitch_hz * time_s) / k for k in range(1, 6))
        * np.exp(-4 * time_s)
        for pitch_hz in NOTES_HZ
    ]
    melody = np.concatenate(notes) * 5_000
    return np.resize(melody, int(seconds * SAMPLE_RATE_HZ)).astype(np.int16)


def test_a_turn_of_a_minute(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """The agent speaks before the minute is over, and answers the question behind it."""
    with caplog.at_level(logging.INFO):
        caller.speak(without_pauses(60.0))
    assert "cascade.turn_cut" in caplog.messages
    assert caller.lines
    assert caller.lines[0][0] < 40.0
    caller.listen(quiet_s=1.5)
    assert "hangup" not in caller.actions
    said_before = len(caller.lines)
    caller.speak(recording("heldout/bank-000"))  # my debit card went missing yesterday
    caller.listen(quiet_s=1.5)
    answer = " ".join(text for _, text in caller.lines[said_before:])
    assert "block" in answer.lower()


def test_a_minute_of_music(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is there: the agent asks, or says goodbye, and guesses at no request."""
    with caplog.at_level(logging.INFO):
        caller.speak(music(60.0))
    assert {"cascade.silence", "cascade.not_understood"} & set(caplog.messages)
    said = " ".join(text for _, text in caller.lines).lower()
    asked = ("there", "hear", "understand", "repeat", "sorry", "catch", "hello")
    assert any(word in said for word in asked), said
    assert "handoff" not in caller.actions
