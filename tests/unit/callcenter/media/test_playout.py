"""The estimate of the far end's backlog against a far end that is simulated."""

from __future__ import annotations

import pytest

from callcenter.media.playout import ECHO_GIVEN_UP_S, MARKS_KEPT, Playout

ONE_WAY_S = 0.05


class FarEnd:
    """Plays what arrives, in order, at 1x; a stall holds back everything sent in it."""

    def __init__(self) -> None:
        self.plays_until_s = 0.0
        self.stalled_until_s = 0.0

    def receive(self, duration_s: float, sent_s: float) -> None:
        arrives_s = max(sent_s + ONE_WAY_S, self.stalled_until_s)
        self.plays_until_s = max(self.plays_until_s, arrives_s) + duration_s

    def echo_s(self) -> float:
        """When the echo of a mark behind everything so far is back."""
        return self.plays_until_s + ONE_WAY_S


def run(
    frames: int, stall: tuple[float, float] | None = None, echoes: bool = True
) -> tuple[Playout, FarEnd, float]:
    """Sends a frame every 80 ms behind a first one of 120 ms, with a mark every fourth."""
    playout, far, pending = Playout(), FarEnd(), []
    now = 0.0
    for index in range(frames):
        now = index * 0.08
        while pending and pending[0][1] <= now:
            name, at_s = pending.pop(0)
            assert playout.played(name, at_s)
        if stall and stall[0] <= now < stall[1]:
            far.stalled_until_s = stall[1]
        duration_s = 0.12 if index == 0 else 0.08
        playout.sent(duration_s, now)
        far.receive(duration_s, now)
        if echoes and index % 4 == 3:
            pending.append((playout.mark(now), far.echo_s()))
    return playout, far, now


def test_a_steady_stream_has_a_steady_backlog() -> None:
    """The round trip is not taken for backlog."""
    playout, _, now = run(50)
    assert playout.backlog_s(now) == pytest.approx(0.12)


def test_a_network_stall_shows_in_the_marks() -> None:
    """A 0.6 s stall towards the carrier leaves 0.6 s there, which our clock cannot know."""
    playout, far, now = run(60, stall=(2.0, 2.6))
    truth_s = far.plays_until_s - (now + ONE_WAY_S)
    assert truth_s > 0.6
    assert playout.backlog_s(now) == pytest.approx(truth_s, abs=0.03)


def test_without_marks_the_clock_stands_alone() -> None:
    """A carrier that echoes nothing gets the clock's estimate, not an error."""
    playout, _, now = run(60, stall=(2.0, 2.6), echoes=False)
    assert playout.backlog_s(now) == pytest.approx(0.12)


def test_an_overdue_echo_counts_before_it_comes() -> None:
    """While a stall lasts, the audio that cannot have been played is backlog."""
    playout, far, now = run(32, stall=(1.6, 9.0))
    assert playout.backlog_s(now) > 0.4
    assert playout.backlog_s(now) <= far.plays_until_s - now


def test_an_overdue_echo_is_no_backlog_when_nothing_was_sent() -> None:
    """What was due long before the stall has been played, echo or not."""
    playout = Playout()
    playout.sent(0.1, 0.0)
    assert playout.played(playout.mark(0.0), 0.2)  # played at 0.1, round trip 0.1
    playout.sent(0.1, 0.2)
    playout.mark(0.2)  # echo due at 0.4
    assert playout.backlog_s(0.9) == pytest.approx(0.0)
    playout.sent(0.1, 0.9)
    assert playout.backlog_s(0.9) == pytest.approx(0.1)


def test_echoes_that_never_come_are_given_up() -> None:
    """Lost marks must not count as backlog for ever."""
    playout = Playout()
    playout.sent(0.1, 0.0)
    assert playout.played(playout.mark(0.0), 0.2)
    playout.mark(0.2)
    late_s = 0.4 + ECHO_GIVEN_UP_S
    playout.sent(0.1, late_s)
    assert playout.backlog_s(late_s) == pytest.approx(0.1)


def test_a_correction_that_was_too_much_is_undone() -> None:
    """Echoes that come earlier than a corrected estimate take the correction back."""
    playout = Playout()
    playout.sent(0.1, 0.0)
    assert playout.played(playout.mark(0.0), 0.2)
    playout.sent(0.1, 1.0)
    late = playout.mark(1.0)
    assert playout.played(late, 1.7)  # 0.5 s late
    playout.sent(0.1, 1.7)
    assert playout.backlog_s(1.7) == pytest.approx(0.1)
    playout.sent(0.4, 1.7)
    early = playout.mark(1.7)  # estimate: played at 2.2
    assert playout.played(early, 2.2)  # a round trip of 0.1 says it was played at 2.1
    playout.sent(0.1, 2.2)
    assert playout.backlog_s(2.2) == pytest.approx(0.1)


def test_a_mark_echoed_after_a_clear_was_not_played() -> None:
    """The carrier echoes cleared marks; they belong to an older generation."""
    playout = Playout()
    playout.sent(5.0, 0.0)
    cleared = playout.mark(0.0)
    playout.clear(0.5)
    assert playout.backlog_s(0.5) == 0.0
    assert not playout.played(cleared, 0.6)
    playout.sent(0.1, 0.6)
    fresh = playout.mark(0.6)
    assert fresh.partition("-")[0] != cleared.partition("-")[0]
    assert playout.played(fresh, 0.8)


def test_unknown_and_repeated_marks_tell_nothing() -> None:
    """A stranger's mark and an echo's echo are ignored."""
    playout = Playout()
    playout.sent(0.1, 0.0)
    name = playout.mark(0.0)
    assert playout.played(name, 0.1)
    assert not playout.played(name, 9.0)
    assert not playout.played("hello", 9.0)
    assert playout.backlog_s(0.05) == pytest.approx(0.05)


def test_memory_is_bounded_without_echoes() -> None:
    """Only the last marks are kept; an older one is unknown."""
    playout = Playout()
    names = [playout.mark(0.0) for _ in range(MARKS_KEPT + 1)]
    assert not playout.played(names[0], 1.0)
    assert playout.played(names[-1], 1.0)
