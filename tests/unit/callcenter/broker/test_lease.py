"""Renewal times of a lease."""

from hypothesis import given
from hypothesis import strategies as st

from callcenter.broker.lease import Lease


def test_it_is_renewed_after_a_third() -> None:
    """Two renewals may fail before the lease is gone."""
    lease = Lease.granted(15.0, asked_at_s=100.0)
    assert lease.next_timer() == 105.0


def test_a_renewal_counts_from_when_it_was_asked() -> None:
    """The time of the answer would overstate the lease."""
    lease = Lease.granted(15.0, 100.0).renewed(asked_at_s=105.0)
    assert lease == Lease.granted(15.0, 105.0)


def test_an_unanswered_renewal_is_tried_again_sooner() -> None:
    """After a tenth of the lease, not a third."""
    lease = Lease.granted(15.0, 100.0).unanswered(now=105.5)
    assert lease.next_timer() == 107.0


@given(lease_s=st.floats(0.5, 100), answers=st.lists(st.booleans(), max_size=40))
def test_the_next_try_is_always_ahead_and_never_a_busy_loop(
    lease_s: float, answers: list[bool]
) -> None:
    """Whatever Redis answers, the next timer is at least a tenth of the lease away."""
    now = 0.0
    lease = Lease.granted(lease_s, now)
    for answered in answers:
        now = lease.next_timer()
        lease = lease.renewed(now) if answered else lease.unanswered(now)
        assert lease.next_timer() - now >= lease_s / 10.001
