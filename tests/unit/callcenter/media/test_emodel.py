"""The E-model against values of the recommendation."""

import pytest

from callcenter.media.emodel import mos, r_factor


def test_a_perfect_call() -> None:
    """R of all defaults is 93.2, which is a MOS of 4.41 (G.107)."""
    assert r_factor("pcmu", 0.0, 0.0) == pytest.approx(93.2)
    assert mos(93.2) == pytest.approx(4.41, abs=0.01)


@pytest.mark.parametrize(("r", "score"), [(80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)])
def test_scores_of_g107(r, score) -> None:
    """The table of Annex B."""
    assert mos(r) == pytest.approx(score, abs=0.01)


def test_delay_hurts_most_beyond_177_ms() -> None:
    """The knee of the delay impairment."""
    little = r_factor("pcmu", 0.0, 0.0) - r_factor("pcmu", 0.15, 0.0)
    much = r_factor("pcmu", 0.15, 0.0) - r_factor("pcmu", 0.3, 0.0)
    assert little == pytest.approx(3.6, abs=0.1)
    assert much > 3 * little


def test_loss_hurts_and_everything_is_bounded() -> None:
    """Monotonous in loss; never outside of its range."""
    scores = [mos(r_factor("pcmu", 0.1, lost / 100)) for lost in range(0, 101, 10)]
    assert scores == sorted(scores, reverse=True)
    assert 1.0 <= min(scores) <= max(scores) <= 4.5
    assert mos(r_factor("unknown", 0.1, 0.05)) < mos(r_factor("pcmu", 0.1, 0.05))
