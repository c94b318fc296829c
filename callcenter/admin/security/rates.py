"""Rate limits: how often an address may try to log in, and a key may ask.

Counted in this process; with several admin processes each one counts for itself.
"""

from __future__ import annotations

import math
import time
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
        requests_per_minute: of one key or person.
        starts_per_minute: steps of log-ins over the OpenID provider, of one address.
    """

    def __init__(
        self,
        logins_per_minute: int = 10,
        requests_per_minute: int = 1_200,
        starts_per_minute: int = 60,
    ) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._logins = RateLimitItemPerMinute(logins_per_minute, namespace="login")
        self._requests = RateLimitItemPerMinute(requests_per_minute, namespace="key")
        self._starts = RateLimitItemPerMinute(starts_per_minute, namespace="start")

    async def failed_login(self, address: str) -> None:
        """Counts a failure; a Problem (429) from the moment that there were too many.

        Only failures are refused by it: whoever guesses behind the same proxy locks nobody out.
        """
        await self._hit(self._logins, address, "too many failed attempts from this address")

    async def check_request(self, key_id: str) -> None:
        """Counts a request of a key; a Problem (429) if there were too many."""
        await self._hit(self._requests, key_id, "too many requests with this key")

    async def headers(self, key_id: str) -> dict[str, str]:
        """What a key has left, for its answers: requests in a minute, left, seconds to the next."""
        left = await self._limiter.get_window_stats(self._requests, key_id)
        reset_s = max(0, math.ceil(left.reset_time - time.time()))
        return {
            "RateLimit-Limit": str(self._requests.amount),
            "RateLimit-Remaining": str(max(0, left.remaining)),
            "RateLimit-Reset": str(reset_s),
        }

    async def check_start(self, address: str) -> None:
        """Counts a step of a log-in over the provider; a Problem (429) if there were too many."""
        await self._hit(self._starts, address, "too many log-ins from this address")

    async def _hit(self, item: RateLimitItem, who: str, detail: str) -> None:
        if not await self._limiter.hit(item, who):
            raise _too_many(detail)


def _too_many(detail: str) -> Problem:
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        "rate_limited",
        f"{detail}; wait a minute",
        retry_after_s=WINDOW_S,
    )
