"""Lets people watch single calls as they happen: what was, then what comes.

    journal --one reader--> a bounded queue for each watcher --> whoever watches

One task reads the journal for all watchers, only while there are any. A watcher first gets the past
from the database, a page at a time and with no transaction open while it waits for its reader; then
what the journal holds beyond that; then its queue. One whose queue is full does not read in time
and is let go: the browser asks again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from callcenter import metrics
from callcenter.admin.api.calls import CallEventView
from callcenter.admin.intake import BATCH, BLOCK_MS, RETRY_S, Read, entries_of, padded, plain
from callcenter.admin.store import calls
from callcenter.admin.store.database import Database
from callcenter.admin.store.faults import described
from callcenter.records.journal import STREAM, Entry

FOLLOW_MAX_S = 3_600.0
PAST_MAX_EVENTS = 10_000
PAGE_EVENTS = 500
QUEUE_EVENTS = 1_000  # some minutes of one call
STORED_WITHIN_S = 60.0  # what is older than that in the journal is in the database

log = structlog.get_logger(__name__)

Found = tuple[str, Entry]  # the journal's id, and the entry
_Queue = asyncio.Queue[Found | None]  # None: no more, it was full


class Follower:
    """Follows single calls in the journal, for people who watch.

    Args:
        redis: a client that may wait for longer than a second.
    """

    def __init__(self, redis: Redis, database: Database) -> None:
        self._redis = redis
        self._database = database
        self._queues: dict[str, set[_Queue]] = defaultdict(set)
        self._wanted = asyncio.Event()
        self._reading = asyncio.Event()  # the queues get everything from now on

    async def run(self) -> None:
        """Reads the journal for all watchers, for ever; cancel it at the end of the process."""
        last = ""
        while True:
            if not self._queues:
                self._wanted.clear()
                self._reading.clear()
                last = ""
                await self._wanted.wait()
            try:
                last = last or await self._newest()
                self._reading.set()
                for read in await self._read(last, BLOCK_MS):
                    last = read.key
                    self._hand_out(read)
            except (RedisError, OSError) as error:  # it is away
                log.warning("journal_not_followed", detail=str(error))
                await asyncio.sleep(RETRY_S)

    async def follow(self, call_id: str, live: bool) -> AsyncIterator[CallEventView]:
        """What happened in a call so far, then what happens, until it ends."""
        queue: _Queue = asyncio.Queue(QUEUE_EVENTS)
        if live:
            self._queues[call_id].add(queue)
            self._wanted.set()
        try:
            async with asyncio.timeout(FOLLOW_MAX_S):
                async for view in self._all(call_id, queue, live):
                    yield view
                    if view.kind == "call_ended":
                        return
        except TimeoutError:  # a watcher who forgot the page; the browser asks again
            return
        except SQLAlchemyError as error:  # the database went away meanwhile
            log.warning("call_not_followed", call_id=call_id, detail=described(error))
        finally:
            self._leave(call_id, queue)

    async def _all(self, call_id: str, queue: _Queue, live: bool) -> AsyncIterator[CallEventView]:
        last = ""
        for _ in range(0, PAST_MAX_EVENTS, PAGE_EVENTS):
            async with self._database.reading() as db:
                page = await calls.events(db, call_id, last, PAGE_EVENTS)
            for event in page:
                last = event["id"]
                yield CallEventView(**event)
            if len(page) < PAGE_EVENTS:
                break
        if not live:
            return
        await self._reading.wait()  # or else something could fall between this and the queue
        async for key, entry in self._since(call_id, last):
            last = key
            yield _view(key, entry)
        while (found := await queue.get()) is not None:
            if found[0] > last:
                yield _view(*found)

    async def _since(self, call_id: str, last: str) -> AsyncIterator[Found]:
        """What the journal holds of a call beyond the database, as far as it goes now."""
        async with self._database.reading() as db:
            newest = await calls.newest_event(db)
        stored_ms = int(newest.partition("-")[0] or 0) - round(STORED_WITHIN_S * 1_000)
        place = max(last, padded(f"{max(stored_ms, 0)}-0"))
        reads: Sequence[Read] = ()
        while True:
            try:
                reads = await self._read(plain(place), None)
            except (RedisError, OSError):  # it is away: the queue has what comes after
                return
            if not reads:
                return
            for read in reads:
                place = padded(read.key)
                ours = read.fields.get("call") == call_id and place > last
                if ours and read.entry is not None:
                    yield place, read.entry

    async def _read(self, after: str, block_ms: int | None) -> list[Read]:
        answer: Any = await self._redis.xread({STREAM: after}, count=BATCH, block=block_ms)
        return entries_of(answer)

    async def _newest(self) -> str:
        """Id of the journal's last entry."""
        found: Any = await self._redis.xrevrange(STREAM, count=1)
        return str(found[0][0]) if found else "0-0"

    def _hand_out(self, read: Read) -> None:
        call_id = read.fields.get("call", "")
        for queue in list(self._queues.get(call_id, ())):
            if read.entry is None:  # put aside by the intake
                return
            if queue.full():  # it does not read in time
                self._leave(call_id, queue)
                queue.get_nowait()
                queue.put_nowait(None)
                metrics.WATCHERS_DROPPED.labels("slow").inc()
            else:
                queue.put_nowait((padded(read.key), read.entry))

    def _leave(self, call_id: str, queue: _Queue) -> None:
        watching = self._queues.get(call_id, set())
        watching.discard(queue)
        if not watching:
            self._queues.pop(call_id, None)


def _view(key: str, entry: Entry) -> CallEventView:
    at = datetime.fromtimestamp(entry.at_s, UTC)
    return CallEventView(
        id=key, call_id=entry.call_id, at=at, kind=entry.kind, data=dict(entry.data)
    )
