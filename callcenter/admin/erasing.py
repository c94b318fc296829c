"""Erases calls in the database and in the journal of Redis, together.

The journal goes first: with Redis away nothing is erased at all, and the next try does both.
"""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncConnection

from callcenter.admin.intake import plain
from callcenter.admin.store import erasure
from callcenter.errors import BrokerUnavailable
from callcenter.records.journal import STREAM

_AT_ONCE = 500  # ids of one command


class Eraser:
    """Takes calls out of everything that this program keeps."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def erase(self, db: AsyncConnection, calls: Sequence[str]) -> None:
        """Erases some calls, at most `erasure.BATCH`.

        Raises:
            BrokerUnavailable: Redis is away; nothing was erased.
        """
        if not calls:
            return
        keys = [plain(key) for key in await erasure.journal_entries(db, calls)]
        try:
            for begin in range(0, len(keys), _AT_ONCE):
                await self._redis.xdel(STREAM, *keys[begin : begin + _AT_ONCE])
        except (RedisError, OSError) as error:
            raise BrokerUnavailable(f"the journal does not answer: {error}") from None
        await erasure.erase(db, calls)

    async def trim(self, before_ms: int) -> None:
        """Takes entries out of the journal that are older than a moment, whatever they are of.

        Raises:
            BrokerUnavailable: Redis is away.
        """
        try:
            await self._redis.xtrim(STREAM, minid=f"{before_ms}-0", approximate=False)
        except (RedisError, OSError) as error:
            raise BrokerUnavailable(f"the journal does not answer: {error}") from None
