"""Reads the journal of calls into the database, and lets watchers follow it live.

A consumer group of Redis hands every entry to one admin process; an entry is acknowledged after it
is stored, so that nothing is lost when a process dies between. With Redis or the database away it
waits and tries again; gateways do not notice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from sqlalchemy.exc import DBAPIError

from callcenter.admin.api.calls import CallEventView
from callcenter.admin.store import calls
from callcenter.admin.store.database import Database
from callcenter.admin.store.work import SYSTEM, Work
from callcenter.published.routing import TRIAL_PREFIX
from callcenter.records.journal import STREAM, Entry, decode

GROUP = "admin"
BATCH = 500
BLOCK_MS = 1_000
RETRY_S = 2.0
FOLLOW_MAX_S = 3_600.0
LONGEST_CALL = timedelta(hours=4, minutes=10)  # a persona's limit is at most 4 hours
TIDY_EVERY_S = 60.0
DEAD_AFTER_MS = 60_000  # a living process stores what it has read within a second

log = structlog.get_logger(__name__)

OnEntries = Callable[[Work, Sequence[Entry]], Awaitable[None]]


class Intake:
    """The journal's reader.

    Args:
        redis: a client that may wait for longer than a second.
        consumer: name of this process in the group.
        on_entries: told of every stored entry, in the same transaction.
    """

    def __init__(
        self, redis: Redis, database: Database, consumer: str, on_entries: OnEntries
    ) -> None:
        self._redis = redis
        self._database = database
        self._consumer = consumer
        self._on_entries = on_entries

    async def run(self) -> None:
        """Reads for ever; cancel it at the end of the process."""
        tidy_at = 0.0
        start = "0"  # first what an earlier life of this process had taken and not stored
        while True:
            try:
                start = await self.read_once(start)
                if time.monotonic() > tidy_at:
                    await self.close_forgotten()
                    await self.take_over()
                    start, tidy_at = "0", time.monotonic() + TIDY_EVERY_S
            except (RedisError, OSError, DBAPIError) as error:  # one of them is away
                log.warning("journal_not_read", detail=str(error))
                start = "0"
                await asyncio.sleep(RETRY_S)

    async def close_forgotten(self) -> None:
        """Ends, in the books, calls that are older than any call can be."""
        now = datetime.now(UTC)
        async with self._database.writing() as db:
            if closed := await calls.close_forgotten(db, now - LONGEST_CALL, now):
                log.warning("forgotten_calls_closed", calls=closed)

    async def take_over(self) -> None:
        """Takes what a process had read and not stored when it died."""
        await self._join()
        await self._redis.xautoclaim(
            STREAM, GROUP, self._consumer, min_idle_time=DEAD_AFTER_MS, count=BATCH
        )

    async def read_once(self, start: str) -> str:
        """Reads and stores one batch; returns where to go on."""
        await self._join()
        answer: Any = await self._redis.xreadgroup(
            GROUP, self._consumer, {STREAM: start}, count=BATCH, block=BLOCK_MS
        )
        found = _entries_of(answer)
        if not found:
            return ">"
        good = [(padded(key), entry) for key, entry in found if entry is not None]
        async with self._database.writing() as db:
            work = Work(db, SYSTEM, datetime.now(UTC))
            await self._on_entries(work, await calls.put_down(db, good))
        await self._redis.xack(STREAM, GROUP, *[key for key, _ in found])
        return start

    async def _join(self) -> None:
        try:
            await self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):  # it is there: the usual case
                raise


class Follower:
    """Follows single calls in the journal, for people who watch."""

    def __init__(self, redis: Redis, database: Database) -> None:
        self._redis = redis
        self._database = database

    async def follow(self, call_id: str, live: bool) -> AsyncIterator[CallEventView]:
        """What happened in a call so far, then what happens, until it ends."""
        last = ""
        async with self._database.reading() as db:
            for event in await calls.events(db, call_id, "", 10_000):
                last = event["id"]
                yield CallEventView(**event)
        if not live:
            return
        try:
            async with asyncio.timeout(FOLLOW_MAX_S):
                async for fresh in self._fresh(call_id, plain(last)):
                    yield fresh
                    if fresh.kind == "call_ended":
                        return
        except TimeoutError:  # a watcher who forgot the page; the browser asks again
            return

    async def _fresh(self, call_id: str, last: str) -> AsyncIterator[CallEventView]:
        while True:
            try:
                answer: Any = await self._redis.xread({STREAM: last}, count=BATCH, block=BLOCK_MS)
            except (RedisError, OSError):  # it is away
                await asyncio.sleep(RETRY_S)
                continue
            for key, entry in _entries_of(answer):
                last = key
                if entry is not None and entry.call_id == call_id:
                    yield _view(padded(key), entry)


def padded(key: str) -> str:
    """A stream entry's id in a form that sorts as text: "1700000000000-7" -> "...-000007"."""
    at_ms, _, number = key.partition("-")
    return f"{at_ms}-{int(number):06d}"


def plain(key: str) -> str:
    """The opposite; "" is the beginning of the stream."""
    at_ms, _, number = key.partition("-")
    return f"{at_ms}-{int(number)}" if key else "0"


def _entries_of(answer: Any) -> list[tuple[str, Entry | None]]:
    """Id and entry of what Redis gave; None for an entry of another release or a stranger."""
    streams = answer.items() if isinstance(answer, dict) else answer or []
    found: list[tuple[str, Entry | None]] = []
    for _, entries in streams:
        batches = entries if entries and isinstance(entries[0], list) else [entries]
        for batch in batches:
            found += [(key, _decoded(fields)) for key, fields in batch]
    return found


def _decoded(fields: Any) -> Entry | None:
    try:
        return without_trial(decode(fields))
    except (ValueError, TypeError):
        log.warning("journal_entry_not_understood")
        return None


def without_trial(entry: Entry) -> Entry:
    """An entry without the made-up number of a trial: who knows it may call the draft."""
    called = entry.data.get("called")
    if not (isinstance(called, str) and called.startswith(TRIAL_PREFIX)):
        return entry
    return replace(entry, data={**entry.data, "called": TRIAL_PREFIX})


def _view(key: str, entry: Entry) -> CallEventView:
    at = datetime.fromtimestamp(entry.at_s, UTC)
    return CallEventView(
        id=key, call_id=entry.call_id, at=at, kind=entry.kind, data=dict(entry.data)
    )
