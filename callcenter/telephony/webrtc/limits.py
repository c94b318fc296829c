"""What bounds a visitor: how often calls may be asked for, how many at once, how much each sends.

A visitor is an address as the outermost trusted proxy tells it. Everything is kept in memory and
bounded: each gateway counts for itself. Knows no clock and no HTTP.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from dataclasses import dataclass

from callcenter.errors import Refused

MAX_VISITORS = 10_000  # remembered; the one that was quiet for the longest is forgotten first
MINUTE_S = 60.0
# Packets and messages of one call. A browser sends 50, and up to 400 when a stall ends that was
# just short enough not to end the call.
MAX_PER_SECOND = 600


class TooManyRequests(Refused):
    """The visitor asked too often.

    Attributes:
        retry_after_s: when to try again.
    """

    code = "too_many_requests"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooManyCalls(Refused):
    """The visitor has as many calls at once as allowed."""

    code = "too_many_calls"


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class VisitorLimits:
    """All visitors of one gateway.

    Args:
        requests_per_minute: mean rate, and the burst that is allowed.
        calls: of one visitor at once.
    """

    def __init__(self, requests_per_minute: int, calls: int) -> None:
        self._per_minute = requests_per_minute
        self._calls = calls
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._live: Counter[str] = Counter()

    def ask(self, visitor: str, now: float) -> None:
        """Counts one request.

        Raises:
            TooManyRequests: over the rate.
        """
        bucket = self._buckets.pop(visitor, None) or _Bucket(self._per_minute, now)
        rate = self._per_minute / MINUTE_S
        elapsed_s = max(0.0, now - bucket.filled_at)
        bucket.tokens = min(self._per_minute, bucket.tokens + elapsed_s * rate)
        bucket.filled_at = now
        self._buckets[visitor] = bucket
        if len(self._buckets) > MAX_VISITORS:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1.0:
            raise TooManyRequests(
                f"more than {self._per_minute} calls a minute", (1.0 - bucket.tokens) / rate
            )
        bucket.tokens -= 1.0

    def begin(self, visitor: str) -> None:
        """Counts a call that begins; `end` must follow.

        Raises:
            TooManyCalls: the visitor has as many as allowed.
        """
        if self._live[visitor] >= self._calls:
            raise TooManyCalls(f"{self._calls} calls at once for one visitor")
        self._live[visitor] += 1

    def end(self, visitor: str) -> None:
        """Counts a call that is over."""
        self._live[visitor] -= 1
        if not self._live[visitor]:
            del self._live[visitor]


class SendRate:
    """How much one call's browser sends, a second at a time.

    Args:
        limit: packets or messages a second.
    """

    def __init__(self, limit: int = MAX_PER_SECOND) -> None:
        self._limit = limit
        self._second_began = 0.0
        self._sent = 0

    def is_too_high(self, now: float) -> bool:
        """Counts one packet or message; True when there were too many within a second."""
        if now - self._second_began >= 1.0:
            self._second_began, self._sent = now, 0
        self._sent += 1
        return self._sent > self._limit


def visitor_of(address: str) -> str:
    """Whom an address stands for: an IPv6 visitor owns a /64, an IPv4 one a single address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket, or a proxy that sends a name
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
