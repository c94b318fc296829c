"""When a call's lease has to be renewed, and what a failed renewal means.

A lease in Redis is a reservation, not the call's life: audio flows between gateway and worker
without it. So an unanswered renewal is only tried again, sooner; nothing here ends a call.

It knows no Redis and no clock: the shell asks `next_timer`, renews, and reports.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

RENEWALS_A_LEASE = 3
RETRIES_A_LEASE = 10  # after a failure: quicker, so that one lost packet costs no lease


@dataclass(frozen=True, slots=True)
class Lease:
    """One claim's lease as its holder sees it.

    Attributes:
        lease_s: how long a claim or a renewal is good for.
        next_try_s: when to renew, on the holder's clock.
    """

    lease_s: float
    next_try_s: float

    @classmethod
    def granted(cls, lease_s: float, asked_at_s: float) -> Lease:
        """A lease that was just claimed or renewed.

        Args:
            lease_s: its length.
            asked_at_s: when the request left: the lease began no earlier, so counting from here
                never overstates it.
        """
        return cls(lease_s, asked_at_s + lease_s / RENEWALS_A_LEASE)

    def next_timer(self) -> float:
        """When to renew, on the clock of the `now` arguments."""
        return self.next_try_s

    def renewed(self, asked_at_s: float) -> Lease:
        """The lease after a renewal that was answered with yes."""
        return Lease.granted(self.lease_s, asked_at_s)

    def unanswered(self, now: float) -> Lease:
        """The lease after a renewal that Redis didn't answer."""
        return replace(self, next_try_s=now + self.lease_s / RETRIES_A_LEASE)
