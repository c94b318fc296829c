"""Erases calls in the database and in the journal of Redis, together.

To the journal belongs what could not be stored and was put aside. Redis goes first: with it away
nothing is erased at all, and the next try does both.
"""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncConnection

from callcenter.admin.aside import Aside
from callcenter.admin.intake import plain
from callcenter.admin.store import erasure
from callcenter.errors import BrokerUnavailable
from callcenter.records.journal import STREAM

_AT_ONCE = 500  # ids of one command


class Eraser:
    """Takes calls out of everything that this program keeps."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._aside = Aside(redis)

    async def erase(
        self, db: AsyncConnection, calls: Sequence[str], caller: str | None = None
    ) -> None:
        """Erases some calls.

        Args:
            db: a writing transaction.
            calls: at most `erasure.BATCH` ids.
            caller: whose number they have; what was put aside may have it too, of calls that the
                database does not know.

        Raises:
            BrokerUnavailable: Redis is away; nothing was erased.
        """
        if not calls and caller is None:
            return
        keys = [plain(key) for key in await erasure.journal_entries(db, calls)]
        forms = erasure.spellings(caller) if caller is not None else []
        try:
            keys += await self._aside.forget(calls, forms)
            for begin in range(0, len(keys), _AT_ONCE):
                await self._redis.xdel(STREAM, *keys[begin : begin + _AT_ONCE])
        except (RedisError, OSError) as error:
            raise BrokerUnavailable(f"the journal does not answer: {error}") from None
        await erasure.erase(db, calls)

    async def trim(self, before_ms: int) -> None:
        """Takes entries out of the journal, and of those put aside, that are older than a moment.

        Raises:
            BrokerUnavailable: Redis is away.
        """
        try:
            await self._redis.xtrim(STREAM, minid=f"{before_ms}-0", approximate=False)
            await self._aside.trim(before_ms)
        except (RedisError, OSError) as error:
            raise BrokerUnavailable(f"the journal does not answer: {error}") from None
