"""The tick's clock: absolute, without drift, never catching up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcenter.worker.clock import TickClock

PERIOD_S = 0.08


def test_due_times_stand_on_a_grid() -> None:
    """The time a tick takes moves none of them."""
    clock = TickClock(PERIOD_S, start_s=10.0)
    dues = []
    for took_s in (0.01, 0.079, 0.0, 0.03):
        dues.append(clock.due_s)
        timing = clock.finish(clock.due_s, clock.due_s + took_s)
        assert (timing.missed, timing.skipped) == (False, 0)
        assert timing.duration_s == pytest.approx(took_s)
    assert dues == pytest.approx([10.0, 10.08, 10.16, 10.24])


def test_a_tick_that_runs_into_the_next_is_a_miss_but_skips_none() -> None:
    """The next one begins late, at once."""
    clock = TickClock(PERIOD_S, start_s=0.0)
    timing = clock.finish(0.0, 0.1)
    assert (timing.missed, timing.skipped) == (True, 0)
    assert clock.due_s == pytest.approx(0.08)


def test_whole_missed_ticks_are_left_out() -> None:
    """After 0.5 s the ticks at 0.08 to 0.40 have passed; the one of 0.48 has just begun."""
    clock = TickClock(PERIOD_S, start_s=0.0)
    timing = clock.finish(0.0, 0.5)
    assert (timing.missed, timing.skipped) == (True, 5)
    assert clock.due_s == pytest.approx(0.48)
    assert clock.index == 6


@given(took_s=st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_the_clock_never_leaves_its_grid_nor_falls_a_period_behind(took_s: list[float]) -> None:
    """Whatever ticks take: due = start + n * period, and n never counts twice."""
    clock = TickClock(PERIOD_S, start_s=100.0)
    now, previous = 100.0, -1
    for duration_s in took_s:
        assert clock.index > previous
        previous = clock.index
        began_s = max(now, clock.due_s)
        now = began_s + duration_s
        timing = clock.finish(began_s, now)
        assert clock.due_s == pytest.approx(100.0 + clock.index * PERIOD_S)
        assert now - clock.due_s < PERIOD_S + 1e-9
        assert timing.missed == (now > 100.0 + (previous + 1) * PERIOD_S)
