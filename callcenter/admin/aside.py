"""Entries of the journal that could not be stored: kept for people, in a bounded stream of Redis.

    cc:journal:aside   STREAM   entry why call at kind data     each text cut to `MAX_CHARS`

They hold what the journal holds, caller numbers among it, and go with age by the stream's bound.
Nothing reads them by itself; the overview counts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from callcenter import metrics

ASIDE_STREAM = "cc:journal:aside"
MAX_ENTRIES = 1_000
MAX_CHARS = 4_000
_FIELDS = ("call", "at", "kind", "data")

log = structlog.get_logger(__name__)


class Aside:
    """The stream of entries put aside."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def put(self, key: str, fields: Mapping[str, Any], why: str) -> None:
        """Keeps an entry.

        Args:
            key: its id in the journal.
            fields: as they came.
            why: "not_understood" or "not_stored".

        Raises:
            RedisError, OSError: Redis is away; the entry is still in the journal.
        """
        kept: dict[Any, Any] = {"entry": key, "why": why}
        kept |= {name: str(fields[name])[:MAX_CHARS] for name in _FIELDS if name in fields}
        await self._redis.xadd(ASIDE_STREAM, kept, maxlen=MAX_ENTRIES, approximate=False)
        metrics.JOURNAL_REFUSED.labels(why).inc()
        log.warning("journal_entry_put_aside", entry=key, why=why)

    async def count(self) -> int:
        """How many there are; 0 if Redis does not say."""
        try:
            return int(await self._redis.xlen(ASIDE_STREAM))
        except (RedisError, OSError):  # it is away: an alert of its own
            return 0
