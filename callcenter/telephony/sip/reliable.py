"""Provisional responses that are acknowledged: 100rel and PRACK (RFC 3262). Knows no call.

their INVITE requires it    180 with RSeq, repeated until its PRACK comes
our INVITE supports it      1xx with RSeq, each answered by a PRACK with RAck, in order
"""

from __future__ import annotations

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.message import Request, Response
from callcenter.telephony.sip.transaction import T1_S
from callcenter.telephony.sip.uri import whole_number

OPTION = "100rel"
MAX_RSEQ = 2**32 - 1
FIRST_RSEQ = 1  # RFC 3262 3 wants 1 to 2^31 - 1; one call has one reliable response


class Provisional:
    """A reliable provisional response of ours.

    Args:
        response: as it goes out.
        rseq: its number.
        invite_cseq: of the INVITE.
        now: seconds, when it went out.
    """

    def __init__(self, response: Response, rseq: int, invite_cseq: int, now: float) -> None:
        self.response = response
        self._rack = (rseq, invite_cseq, "INVITE")
        self._after_s = T1_S
        self._repeat_at: float | None = now + T1_S
        self._over_at = now + 64 * T1_S

    def next_timer(self) -> float | None:
        """When it is repeated, or given up; None once it is acknowledged, or need not be."""
        return None if self._repeat_at is None else min(self._repeat_at, self._over_at)

    def stop(self) -> None:
        """A final response has gone out: nobody waits for the PRACK any more."""
        self._repeat_at = None

    def acknowledged(self, prack: Request) -> bool:
        """Whether a PRACK is for it; then it is not repeated any more."""
        if rack(prack) != self._rack:
            return False
        self.stop()
        return True

    def given_up(self, now: float) -> bool:
        """Whether the PRACK is no longer expected."""
        return self._repeat_at is not None and now >= self._over_at

    def is_due(self, now: float) -> bool:
        """Whether it must be sent once more; then the next time is twice as far away."""
        if self._repeat_at is None or now < self._repeat_at:
            return False
        self._after_s *= 2
        self._repeat_at = now + self._after_s
        return True


def rack(prack: Request) -> tuple[int, int, str]:
    """What a PRACK acknowledges: number, CSeq number and method.

    Raises:
        ProtocolError: no RAck, or one that is none.
    """
    parts = prack.text("rack").split()
    numbers = [whole_number(part, MAX_RSEQ) for part in parts[:2]]
    if len(parts) != 3 or None in numbers:
        raise ProtocolError(f"not an RAck: {prack.text('rack')[:40]!r}")
    return numbers[0] or 0, numbers[1] or 0, parts[2]


def rseq(response: Response) -> int | None:
    """The number of a response that wants a PRACK; None for any other one."""
    if not 100 < response.status < 200 or OPTION not in response.tokens("require"):
        return None
    return whole_number(response.text("rseq").strip(), MAX_RSEQ)
