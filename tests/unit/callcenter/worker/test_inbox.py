"""The inbox between two clocks: bounded, never waited for, everything counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcenter.link.protocol import FRAME_SAMPLES
from callcenter.worker.inbox import CAPACITY_FRAMES, TRIM_ANY_TICKS, TRIM_QUIET_TICKS, Inbox


def frame(value: int) -> np.ndarray:
    """A frame of one value: loud if it is over 300."""
    return np.full(FRAME_SAMPLES, value, np.int16)


def values(inbox: Inbox, ticks: int) -> list[int | None]:
    """What the next ticks get."""
    popped = [inbox.pop(0.0) for _ in range(ticks)]
    return [None if one is None else int(one[0][0]) for one in popped]


def test_frames_come_out_in_order() -> None:
    """First in, first out."""
    inbox = Inbox()
    for value in (1, 2, 3):
        assert not inbox.push(frame(value), 0.0)
    assert values(inbox, 3) == [1, 2, 3]
    assert (inbox.received, inbox.dropped, inbox.concealed) == (3, 0, 0)


def test_no_frame_is_told_and_counted() -> None:
    """The tick never waits."""
    inbox = Inbox()
    inbox.push(frame(1), 0.0)
    inbox.pop(0.0)
    assert inbox.pop(0.0) is None
    assert inbox.concealed == 1


def test_before_the_first_frame_nothing_is_concealed() -> None:
    """The caller's audio begins a little after the session."""
    inbox = Inbox()
    assert values(inbox, 3) == [None] * 3
    assert inbox.concealed == 0


def test_a_frame_comes_with_its_wait() -> None:
    """From its arrival to the tick that takes it; never negative."""
    inbox = Inbox()
    for now in (10.0, 10.05, 10.2):
        inbox.push(frame(1), now)
    waits = [popped[1] for now in (10.02, 10.1, 10.1) if (popped := inbox.pop(now))]
    assert waits == pytest.approx([0.02, 0.05, 0.0])


def test_one_too_many_costs_the_oldest() -> None:
    """What is new is worth more than what is late."""
    inbox = Inbox()
    dropped = [inbox.push(frame(value), 0.0) for value in range(5)]
    assert dropped == [False] * CAPACITY_FRAMES + [True, True]
    assert values(inbox, 4) == [2, 3, 4, None]
    assert (inbox.overflowed, inbox.concealed) == (2, 1)


def test_a_spare_frame_goes_when_it_is_quiet() -> None:
    """80 ms of latency that a late burst left behind are gone after two seconds."""
    inbox = Inbox()
    inbox.push(frame(0), 0.0)
    for _ in range(TRIM_QUIET_TICKS - 1):
        inbox.push(frame(0), 0.0)
        inbox.pop(0.0)
    assert inbox.trimmed == 0
    inbox.push(frame(0), 0.0)
    inbox.pop(0.0)
    assert inbox.trimmed == 1
    assert inbox.pop(0.0) is None


def test_a_loud_spare_frame_is_kept_for_longer() -> None:
    """Speech is cut only if no quiet comes for eight seconds."""
    inbox = Inbox()
    inbox.push(frame(5_000), 0.0)
    for _ in range(TRIM_ANY_TICKS - 1):
        inbox.push(frame(5_000), 0.0)
        inbox.pop(0.0)
    assert inbox.trimmed == 0
    inbox.push(frame(5_000), 0.0)
    inbox.pop(0.0)
    assert inbox.trimmed == 1


def test_a_call_without_a_spare_frame_is_never_trimmed() -> None:
    """One in, one out, for a minute."""
    inbox = Inbox()
    for _ in range(750):
        inbox.push(frame(0), 0.0)
        assert inbox.pop(0.0) is not None
    assert inbox.dropped == 0


def test_drift_of_the_callers_clock_costs_single_frames() -> None:
    """A caller who sends 1 % too fast loses 1 % of the frames, and the inbox stays short."""
    inbox = Inbox()
    ticks = 1_000
    for tick in range(ticks):
        inbox.push(frame(0), 0.0)
        if tick % 100 == 0:
            inbox.push(frame(0), 0.0)
        inbox.pop(0.0)
    assert inbox.dropped in (9, 10)
    assert inbox.concealed == 0


@given(pushes=st.lists(st.integers(0, 3), max_size=200), value=st.sampled_from([0, 5_000]))
def test_no_frame_gets_lost_uncounted(pushes: list[int], value: int) -> None:
    """Received = given to ticks + dropped + still there, and never more than fit."""
    inbox = Inbox()
    given_out = 0
    for count in pushes:
        for _ in range(count):
            inbox.push(frame(value), 0.0)
        given_out += inbox.pop(0.0) is not None
    left = 0
    while inbox.pop(0.0) is not None:
        left += 1
    assert left <= CAPACITY_FRAMES
    assert inbox.received == given_out + left + inbox.dropped
    begun = next((tick for tick, count in enumerate(pushes) if count), None)
    empty_ticks = 0 if begun is None else len(pushes) - begun - given_out + 1
    assert inbox.concealed == empty_ticks
