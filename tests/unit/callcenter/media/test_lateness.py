"""How late packets come, whoever plays them when."""

import pytest

from callcenter.media.lateness import Lateness


def noted(*late_ms: float, every_s: float = 0.02) -> Lateness:
    """Packets that came in step, so late."""
    lateness = Lateness()
    for index, late in enumerate(late_ms):
        lateness.note(late / 1_000, every_s * index)
    return lateness


def test_little_is_known_at_first() -> None:
    """One moment says nothing about the next."""
    lateness = noted(5, 6, 7)
    assert lateness.latest_s() is None
    assert lateness.spread_s() == 0.0
    assert Lateness().known_s == 0.0


def test_one_event_is_left_out() -> None:
    """Whether it is one packet or ten that a stall has held up."""
    calm = [1, 2, 3, 2, 1] * 10
    stalled = [*calm, 180, 160, 140, 120, 100, *calm]
    lateness = Lateness()
    for index, late in enumerate(stalled):
        at = 1.19 if late >= 100 else 0.02 * index
        lateness.note(late / 1_000, at)
    assert lateness.latest_s() == 0.003
    assert lateness.spread_s() == pytest.approx(0.002)


def test_what_happens_twice_counts() -> None:
    """The lesser of the two."""
    lateness = noted(*[1] * 20, 90, *[1] * 20, 70, *[1] * 20)
    assert lateness.latest_s() == 0.07


def test_it_forgets() -> None:
    """After five seconds, or when it is told to."""
    lateness = noted(*[90] * 100, *[1] * 200)
    assert lateness.latest_s() == 0.09
    for index in range(300, 360):
        lateness.note(0.001, 0.02 * index)
    assert lateness.latest_s() == 0.001
    assert lateness.known_s == pytest.approx(5.0)
    lateness.forget()
    assert lateness.latest_s() is None


def test_the_drift_of_two_clocks_is_lateness_too() -> None:
    """100 ppm are 0.5 ms in five seconds."""
    lateness = noted(*(0.002 * index for index in range(1_000)))
    assert lateness.latest_s() == pytest.approx(0.00199, abs=0.0002)
