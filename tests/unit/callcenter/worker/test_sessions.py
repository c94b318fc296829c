"""Slots and their occupants: nobody hears what was meant for another."""

import numpy as np
import pytest

from callcenter.worker.inbox import SILENCE
from callcenter.worker.sessions import Delivery, Session, Sessions
from engine.interface import FRAME_SAMPLES, FrameOutput, SessionSpec, TickResult

OUTPUT = FrameOutput(np.ones(FRAME_SAMPLES, np.int16), "word")


def session(name: str = "s") -> Session:
    """A session that delivers to nobody."""
    return Session(SessionSpec(name, "bank", "Be kind.", "nora"), lambda delivery: None)


@pytest.fixture
def sessions() -> Sessions:
    """An empty table."""
    return Sessions()


def test_only_live_slots_are_gathered(sessions: Sessions) -> None:
    """A slot whose prompt waits takes no frames."""
    first, second = session(), session()
    sessions.seat(0, first)
    sessions.seat(1, second)
    assert sessions.waiting() == [0, 1]
    assert sessions.start([1]) == [second]
    assert list(sessions.gather(0.0)) == [1]
    assert sessions.waiting() == [0]
    assert len(sessions) == 2


def test_a_slot_gets_its_own_frame_or_silence(sessions: Sessions) -> None:
    """And what it says tells whether there was a frame, and how long it lay there."""
    for slot in (0, 1):
        sessions.seat(slot, session())
    sessions.start([0, 1])
    frame = np.full(FRAME_SAMPLES, 7, np.int16)
    sessions.at(0).inbox.push(frame, 1.0)
    inputs = sessions.gather(1.03)
    assert inputs[0] is frame
    assert inputs[1] is SILENCE
    post = sessions.scatter(TickResult({0: OUTPUT, 1: OUTPUT}))
    assert [delivery.waited_s for _, delivery in post] == [pytest.approx(0.03), None]


def test_silence_counts_as_concealed_once_the_caller_was_heard(sessions: Sessions) -> None:
    """Before that there is nothing to conceal."""
    sessions.seat(0, session())
    sessions.start([0])
    concealed = []
    for frames in (0, 1, 0):
        for _ in range(frames):
            sessions.at(0).inbox.push(SILENCE, 0.0)
        sessions.gather(0.0)
        ((_, delivery),) = sessions.scatter(TickResult({0: OUTPUT}))
        concealed.append(delivery.concealed)
    assert concealed == [False, False, True]
    assert sessions.at(0).inbox.concealed == 1


def test_outputs_are_numbered_within_their_session(sessions: Sessions) -> None:
    """From 0, without gaps."""
    sessions.seat(0, session())
    sessions.start([0])
    numbers = []
    for _ in range(3):
        sessions.gather(0.0)
        ((_, delivery),) = sessions.scatter(TickResult({0: OUTPUT}))
        numbers.append(delivery.frame)
    assert numbers == [0, 1, 2]


def test_a_slot_that_changed_hands_gets_nothing(sessions: Sessions) -> None:
    """What was computed for the old caller never reaches the new one."""
    sessions.seat(0, session("old"))
    sessions.start([0])
    sessions.gather(0.0)
    sessions.free(0)
    sessions.seat(0, session("new"))
    sessions.start([0])
    assert sessions.scatter(TickResult({0: OUTPUT})) == []


def test_a_freed_slot_gets_nothing(sessions: Sessions) -> None:
    """Nor is it gathered again."""
    held = session()
    sessions.seat(0, held)
    sessions.start([0])
    sessions.gather(0.0)
    assert sessions.free(0) is held
    assert sessions.scatter(TickResult({0: OUTPUT})) == []
    assert sessions.gather(0.0) == {}
    assert sessions.slot_of(held) is None


def test_failures_are_addressed_with_their_reason(sessions: Sessions) -> None:
    """A slot that the engine forgot counts as failed."""
    for slot in range(3):
        sessions.seat(slot, session(str(slot)))
    sessions.start(range(3))
    sessions.gather(0.0)
    post = sessions.scatter(TickResult({0: OUTPUT}, {1: "no numbers"}))
    assert [delivery.failure for _, delivery in post] == [
        "",
        "no numbers",
        "the engine gave no output for this session",
    ]
    assert post[0][1] == Delivery(OUTPUT, frame=0)


def test_slots_that_nobody_holds_are_not_started(sessions: Sessions) -> None:
    """A session may leave while its prompt is being taken in."""
    assert sessions.start([3]) == []
    assert sessions.gather(0.0) == {}
