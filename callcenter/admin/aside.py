"""Entries of the journal that could not be stored: kept for people, in a bounded stream of Redis.

    cc:journal:aside   STREAM   entry why call at kind data     each text cut to `MAX_CHARS`

They hold what the journal holds, caller numbers among it, so they end their time and are erased as
calls are (`callcenter.admin.erasing`). Nothing reads them by itself; the overview counts them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from callcenter import metrics

ASIDE_STREAM = "cc:journal:aside"
MAX_ENTRIES = 1_000
MAX_CHARS = 4_000
PAGE = 100  # entries of one answer: at most half a megabyte
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

    async def trim(self, before_ms: int) -> None:
        """Takes entries out that the journal got before a moment.

        Raises:
            RedisError, OSError: Redis is away.
        """
        await self._take_out(lambda fields: _begun_ms(fields) < before_ms)

    async def forget(self, calls: Collection[str], texts: Collection[str]) -> list[str]:
        """Takes entries of some calls out, and of every call of which one holds one of the texts.

        Args:
            calls: ids.
            texts: a caller's number, as it may be written.

        Returns:
            Ids that the entries have in the journal.

        Raises:
            RedisError, OSError: Redis is away.
        """
        written = [
            json.dumps(text, ensure_ascii=plain) for text in texts for plain in (True, False)
        ]

        def names(fields: Mapping[str, str]) -> bool:
            return any(text in fields.get("data", "") for text in written)

        named = {fields.get("call", "") async for _, fields in self._all() if names(fields)}
        gone = {*calls, *named} - {""}
        return await self._take_out(lambda fields: fields.get("call") in gone or names(fields))

    async def _take_out(self, goes: Callable[[Mapping[str, str]], bool]) -> list[str]:
        found = [(key, fields) async for key, fields in self._all() if goes(fields)]
        for begin in range(0, len(found), PAGE):
            keys = [key for key, _ in found[begin : begin + PAGE]]
            await self._redis.xdel(ASIDE_STREAM, *keys)
        return [fields["entry"] for _, fields in found if "entry" in fields]

    async def _all(self) -> AsyncIterator[tuple[str, dict[str, str]]]:
        place = "-"
        while True:
            page: Any = await self._redis.xrange(ASIDE_STREAM, min=place, count=PAGE)
            for key, fields in page:
                yield key, fields
            if len(page) < PAGE:
                return
            place = f"({page[-1][0]}"

    async def count(self) -> int:
        """How many there are; 0 if Redis does not say."""
        try:
            return int(await self._redis.xlen(ASIDE_STREAM))
        except (RedisError, OSError):  # it is away: an alert of its own
            return 0


def _begun_ms(fields: Mapping[str, str]) -> int:
    """When the journal got an entry; 0 for one that does not say."""
    at_ms = fields.get("entry", "").partition("-")[0]
    return int(at_ms) if at_ms.isdecimal() else 0
