"""How many TCP and TLS connections there may be, and how long one may say nothing (sans-IO).

    accepted --TLS--> open --first whole message--> proven
        |              |                               | nothing for long, and nothing needs it;
        v              v                               v a message not whole in time
      ended: not in time                             ended

A connection costs memory and a place among a bounded number of them; whoever holds many and says
nothing would keep the others out. It knows no socket; `now` is an argument.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from callcenter.telephony.sip.host_rates import HostRates

OPENED_PER_S = 20.0  # by one host; a TLS handshake costs a millisecond of the loop and more
OPENED_AT_ONCE = 100.0


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Limits of connections, from the settings of these names.

    Attributes:
        connections: at once, those of ours and those that are still being set up included.
        per_host: that one host may have opened.
        message_s: from the first byte of a message to its last, and from the connection's begin to
            the end of its first message. The TLS handshake has as long.
        idle_s: without any byte, while no call and no registration needs the connection.
    """

    connections: int = 500
    per_host: int = 100
    message_s: float = 10.0
    idle_s: float = 600.0


class Doorkeeper:
    """Counts the connections of all hosts."""

    def __init__(self, limits: StreamLimits) -> None:
        self.limits = limits
        self._inbound: Counter[str] = Counter()
        self._outbound = 0
        self._opened = HostRates()

    def __len__(self) -> int:
        return self._inbound.total() + self._outbound

    def admit(self, host: str, now: float) -> str:
        """Asks for a place for a connection that a host has opened.

        Returns:
            "", and the place is taken until `leave`; or why there is none: "full" (all places are
            taken), "host_full" (the host has its share), "rate" (it opens them too fast).
        """
        if self._inbound[host] >= self.limits.per_host:
            return "host_full"
        if len(self) >= self.limits.connections:
            return "full"
        if not self._opened.take(host, OPENED_PER_S, OPENED_AT_ONCE, now):
            return "rate"
        self._inbound[host] += 1
        return ""

    def leave(self, host: str) -> None:
        """A host's connection is gone, or never came up."""
        self._inbound -= Counter((host,))

    def opens(self) -> bool:
        """Takes a place for a connection of ours; False when there is none."""
        if len(self) >= self.limits.connections:
            return False
        self._outbound += 1
        return True

    def closed(self) -> None:
        """A connection of ours is gone, or could not be made."""
        self._outbound -= 1


class Patience:
    """How long one connection may go on as it is.

    Args:
        limits: of all.
        inbound: whether the far end has opened it, and so has to say something first.
        now: seconds, when it was made.
    """

    def __init__(self, limits: StreamLimits, now: float, *, inbound: bool) -> None:
        self._limits = limits
        self._heard_at = now
        self._begun_at = now if inbound else None  # of a message that is not whole

    def heard(self, *, whole: bool, midway: bool, now: float) -> None:
        """Bytes came.

        Args:
            whole: at least one message ended with them.
            midway: another one has begun.
            now: seconds.
        """
        self._heard_at = now
        if whole:
            self._begun_at = None
        if midway and self._begun_at is None:
            self._begun_at = now

    def over(self, now: float) -> str:
        """Why the connection has to end: "slow", or "idle" unless it is needed; "" for neither."""
        if self._begun_at is not None and now - self._begun_at > self._limits.message_s:
            return "slow"
        return "idle" if now - self._heard_at > self._limits.idle_s else ""
