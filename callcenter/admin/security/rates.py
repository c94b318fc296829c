"""Rate limits: how often an address may try to log in, and a key may ask.

Counted in this process; with several admin processes each one counts for itself.
"""

from __future__ import annotations

from http import HTTPStatus

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from callcenter.admin.problems import Problem

WINDOW_S = 60


class RateLimits:
    """The limits of one admin process.

    Args:
        logins_per_minute: failed ones of one address.
        requests_per_minute: of one key.
    """

    def __init__(self, logins_per_minute: int = 10, requests_per_minute: int = 1_200) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._logins = RateLimitItemPerMinute(logins_per_minute, namespace="login")
        self._requests = RateLimitItemPerMinute(requests_per_minute, namespace="key")

    async def check_logins(self, address: str) -> None:
        """Refuses an address that has failed too often; a Problem (429)."""
        if not await self._limiter.test(self._logins, address):
            raise _too_many("too many failed attempts from this address")

    async def failed_login(self, address: str) -> None:
        """Counts a failure."""
        await self._limiter.hit(self._logins, address)

    async def check_request(self, key_id: str) -> None:
        """Counts a request of a key; a Problem (429) if there were too many."""
        await self._hit(self._requests, key_id)

    async def _hit(self, item: RateLimitItem, who: str) -> None:
        if not await self._limiter.hit(item, who):
            raise _too_many("too many requests with this key")


def _too_many(detail: str) -> Problem:
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        "rate_limited",
        f"{detail}; wait a minute",
        retry_after_s=WINDOW_S,
    )
