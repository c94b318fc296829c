"""A 2xx to an INVITE, repeated until its ACK comes (RFC 3261 13.3.1.4). Knows no call."""

from __future__ import annotations

from callcenter.telephony.sip.call_events import Repeat
from callcenter.telephony.sip.transaction import T1_S, T2_S
from callcenter.telephony.sip.uri import Peer


class Unacknowledged:
    """One 2xx.

    Args:
        cseq: of its INVITE.
        data: the response as it went out.
        peer: where it goes.
        now: seconds.
    """

    def __init__(self, cseq: int, data: bytes, peer: Peer, now: float) -> None:
        self.cseq = cseq
        self._repeat = Repeat(data, peer)
        self._after_s = T1_S
        self._repeat_at = now + T1_S
        self._over_at = now + 64 * T1_S

    def next_timer(self) -> float:
        """When it is repeated, or given up."""
        return min(self._repeat_at, self._over_at)

    def given_up(self, now: float) -> bool:
        """Whether the ACK is no longer expected."""
        return now >= self._over_at

    def due(self, now: float) -> list[Repeat]:
        """What must be sent once more."""
        if now < self._repeat_at:
            return []
        self._after_s = min(2 * self._after_s, T2_S)
        self._repeat_at = now + self._after_s
        return [self._repeat]
