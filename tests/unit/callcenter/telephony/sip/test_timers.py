"""Deadlines."""

from callcenter.telephony.sip.timers import Timers


def test_in_order_and_once() -> None:
    """The earliest first; what is not due stays."""
    timers: Timers[str] = Timers()
    for name, at in (("c", 3.0), ("a", 1.0), ("b", 2.0)):
        timers.arm(name, at)
    assert timers.next_timer() == 1.0
    assert timers.pop_due(2.0) == ["a", "b"]
    assert timers.pop_due(2.0) == []
    assert timers.next_timer() == 3.0


def test_moved_and_removed() -> None:
    """The last word counts."""
    timers: Timers[str] = Timers()
    timers.arm("a", 1.0)
    timers.arm("a", 5.0)
    timers.arm("b", 2.0)
    timers.arm("b", None)
    assert timers.next_timer() == 5.0
    timers.arm("a", 1.0)
    assert timers.pop_due(1.0) == ["a"]
    assert timers.next_timer() is None


def test_memory_follows_what_is_armed() -> None:
    """Moving a deadline a thousand times does not leave a thousand entries."""
    timers: Timers[str] = Timers()
    for at in range(10_000):
        timers.arm("a", float(at))
    assert len(timers) == 1
    assert len(timers._heap) < 100
