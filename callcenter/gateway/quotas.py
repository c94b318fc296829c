"""Limits on how many calls there may be at once, counted over all gateways in Redis.

    {cc:limits}:<name>   ZSET  call id -> Unix ms at which its place runs out

A call holds a place in every limit that applies to it, or in none. Places are renewed while the
call lives, so those of a dead gateway run out. Without Redis nothing is counted and no call is
refused: slots still bound what the workers carry.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from callcenter.background import end_all
from callcenter.errors import Refused

PLACE_LASTS_S = 60.0
RENEW_EVERY_S = 15.0

# Clears out what ran out, looks whether every limit has room, and only then takes the places.
_ENTER = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for index, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  local held = redis.call('ZSCORE', key, ARGV[1])
  if not held and redis.call('ZCARD', key) >= tonumber(ARGV[2 + index]) then return index end
end
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, now + tonumber(ARGV[2]), ARGV[1])
  redis.call('PEXPIRE', key, 2 * tonumber(ARGV[2]))
end
return 0
"""
_NO_BOUND = 1_000_000_000

log = structlog.get_logger(__name__)


class LimitReached(Refused):
    """A limit that an admin has set leaves no room for the call."""

    code = "limit_reached"


class Quotas:
    """The places of all limits."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def enter(self, call_id: str, limits: Mapping[str, int]) -> None:
        """Takes a place in every limit, or in none.

        Args:
            call_id: the call; entering again renews.
            limits: name -> calls at once.

        Raises:
            LimitReached: one of them is full; it is named.
        """
        full = await self._take(call_id, limits)
        if full:
            name = list(limits)[full - 1]
            raise LimitReached(f"limit {name}: {limits[name]} calls are there already")

    async def leave(self, call_id: str, names: Iterable[str]) -> None:
        """Gives the call's places back."""
        try:
            for name in names:
                await self._redis.zrem(_key(name), call_id)
        except (RedisError, OSError) as error:  # it is away; the place runs out
            log.warning("limit_not_left", detail=str(error))

    @asynccontextmanager
    async def place(self, call_id: str, limits: Mapping[str, int]) -> AsyncIterator[None]:
        """A call's places in all limits, from before its slot is claimed to its end.

        Raises:
            LimitReached: one of them is full; it is named.
        """
        await self.enter(call_id, limits)
        async with self.held(call_id, limits):
            yield

    @asynccontextmanager
    async def held(self, call_id: str, names: Iterable[str]) -> AsyncIterator[None]:
        """Keeps a call's places while it lives, and gives them back."""
        held = dict.fromkeys(names, _NO_BOUND)  # a live call is never put out
        renewing = asyncio.create_task(self._renew(call_id, held))
        try:
            yield
        finally:
            await end_all([renewing])  # or else it could take the places again
            await self.leave(call_id, held)

    async def _renew(self, call_id: str, held: Mapping[str, int]) -> None:
        while held:
            await self._take(call_id, held)
            await asyncio.sleep(RENEW_EVERY_S)

    async def _take(self, call_id: str, limits: Mapping[str, int]) -> int:
        """Index from 1 of the first full limit; 0 if all had room."""
        if not limits:
            return 0
        keys = [_key(name) for name in limits]
        lasts_ms = round(1_000 * PLACE_LASTS_S)
        try:
            answer: Any = await self._redis.eval(
                _ENTER, len(keys), *keys, call_id, lasts_ms, *limits.values()
            )
        except (RedisError, OSError) as error:  # it is away: calls come before counting
            log.warning("limits_not_counted", detail=str(error))
            return 0
        return int(answer)


def _key(name: str) -> str:
    return f"{{cc:limits}}:{name}"
