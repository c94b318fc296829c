"""What waits to be played, and when its turn is."""

import pytest

from callcenter.telephony.webrtc.outbound import (
    MAX_LATE_S,
    MAX_QUEUED_PACKETS,
    Due,
    PlayoutQueue,
    Schedule,
)


def test_packets_come_in_order_with_their_marks() -> None:
    """A mark is reached when the packet before it is sent."""
    queue = PlayoutQueue()
    queue.play(b"1")
    queue.play(b"2")
    assert queue.mark("a") is False
    queue.play(b"3")
    assert [queue.take(), queue.take(), queue.take(), queue.take()] == [
        Due(b"1", ()),
        Due(b"2", ("a",)),
        Due(b"3", ()),
        None,
    ]


def test_mark_without_audio_is_reached() -> None:
    """Nothing stands before it."""
    assert PlayoutQueue().mark("a") is True


def test_clear_gives_the_marks_back() -> None:
    """They count as reached; no audio is left."""
    queue = PlayoutQueue()
    for name in "ab":
        queue.play(b"x")
        queue.mark(name)
    assert queue.clear() == ["a", "b"]
    assert len(queue) == 0
    assert queue.take() is None


def test_queue_is_bounded() -> None:
    """The oldest goes, its mark is kept, and it is counted."""
    queue = PlayoutQueue()
    queue.play(b"first")
    queue.mark("a")
    for _ in range(MAX_QUEUED_PACKETS):
        queue.play(b"x")
    assert len(queue) == MAX_QUEUED_PACKETS
    assert queue.take() == Due(b"x", ("a",))
    assert queue.packets_dropped == 1


def test_packets_are_due_every_20_ms() -> None:
    """By an absolute clock: a little lateness of one does not move the next."""
    schedule = Schedule(100.0)
    assert schedule.due_at() == 100.0
    assert schedule.take(100.0) == 0
    assert schedule.take(100.035) == 1
    assert schedule.due_at() == pytest.approx(100.04)


def test_a_stall_is_not_made_up_for() -> None:
    """The time line jumps over it, and the next packet is due 20 ms later."""
    schedule = Schedule(0.0)
    schedule.take(0.0)
    index = schedule.take(0.52)
    assert index == 26
    assert schedule.due_at() == pytest.approx(0.54)


def test_small_lateness_is_made_up_for() -> None:
    """A burst of less than the limit follows, and no media time is lost."""
    schedule = Schedule(0.0)
    assert [schedule.take(MAX_LATE_S) for _ in range(4)] == [0, 1, 2, 3]
