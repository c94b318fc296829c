"""The leaky bucket."""

from __future__ import annotations

import pytest

from callcenter.media.backlog import Backlog


def test_audio_fills_it_and_time_empties_it() -> None:
    """Sent audio waits, and is played at real time."""
    backlog = Backlog()
    assert backlog.level_s(0.0) == 0.0
    assert backlog.add(0.5, now=10.0) == 10.5
    assert backlog.level_s(10.2) == pytest.approx(0.3)


def test_it_never_goes_below_empty() -> None:
    """A consumer that ran dry doesn't play later audio faster."""
    backlog = Backlog()
    backlog.add(0.1, now=0.0)
    backlog.add(0.1, now=5.0)
    assert backlog.level_s(5.0) == pytest.approx(0.1)


def test_a_shift_moves_the_end() -> None:
    """A correction counts from now on, also for audio added later."""
    backlog = Backlog()
    backlog.add(0.1, now=0.0)
    backlog.shift(0.4)
    backlog.add(0.1, now=0.2)
    assert backlog.level_s(0.5) == pytest.approx(0.1)


def test_clear_empties_it_and_owes_nothing() -> None:
    """After a clear the next audio plays at once, even when it had run dry before."""
    backlog = Backlog()
    backlog.add(3.0, now=0.0)
    backlog.clear(now=1.0)
    assert backlog.level_s(1.0) == 0.0
    backlog.clear(now=9.0)
    assert backlog.add(0.1, now=9.0) == pytest.approx(9.1)
