"""Reads the journal of calls into the database.

A consumer group of Redis hands every entry to one admin process; an entry is acknowledged after it
is stored, so that nothing is lost when a process dies between. With Redis or the database away it
waits and tries again; gateways do not notice.

    entries --decode, clean--> one transaction for all --fails--> one transaction for each
    not understood, or refused by the database for what is in it --> put aside, acknowledged

Entries come from callers' networks, carriers and other releases, so each is judged by itself: one
that cannot be stored is put aside (`callcenter.admin.aside`), and the others go on.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from callcenter.admin.aside import Aside
from callcenter.admin.store import calls, tables
from callcenter.admin.store.database import Database
from callcenter.admin.store.faults import blames_the_data, described
from callcenter.admin.store.work import SYSTEM, Work
from callcenter.published.routing import TRIAL_PREFIX
from callcenter.records.journal import STREAM, Entry, decode

GROUP = "admin"
BATCH = 500
BLOCK_MS = 1_000
RETRY_S = 2.0
LONGEST_CALL = timedelta(hours=4, minutes=10)  # a persona's limit is at most 4 hours
TIDY_EVERY_S = 60.0
DEAD_AFTER_MS = 60_000  # a living process stores what it has read within a second
MAX_TRIES = 5  # of an entry that fails, for no clear reason, while the database takes others
# What an entry may meet in our own code and in a driver's, besides the database's refusals.
_ENTRY_FAULTS = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)

log = structlog.get_logger(__name__)

OnEntries = Callable[[Work, Sequence[Entry]], Awaitable[None]]


@dataclass(frozen=True)
class Read:
    """An entry as Redis gave it.

    Attributes:
        key: its id in the stream.
        fields: as they came; empty if the stream was cut meanwhile.
    """

    key: str
    fields: dict[str, str]

    @cached_property
    def entry(self) -> Entry | None:
        """What the fields say; None if they are of another release, or a stranger's."""
        try:
            return without_trial(decode(self.fields))
        except ValueError:
            return None


class Intake:
    """The journal's reader.

    Args:
        redis: a client that may wait for longer than a second.
        consumer: name of this process in the group.
        on_entries: told of every stored entry, in the same transaction.

    Attributes:
        aside: entries that could not be stored.
    """

    def __init__(
        self, redis: Redis, database: Database, consumer: str, on_entries: OnEntries
    ) -> None:
        self.aside = Aside(redis)
        self._redis = redis
        self._database = database
        self._consumer = consumer
        self._on_entries = on_entries
        self._tries: Counter[str] = Counter()

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
            except SQLAlchemyError as error:  # the database is away
                log.warning("journal_not_stored", detail=described(error))
            except (RedisError, OSError) as error:  # Redis is
                log.warning("journal_not_read", detail=str(error))
            else:
                continue
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
        """Reads and stores one batch.

        Args:
            start: ">" for what nobody has read; an id, for what this process has read after it and
                not stored.

        Returns:
            Where to go on.
        """
        await self._join()
        answer: Any = await self._redis.xreadgroup(
            GROUP, self._consumer, {STREAM: start}, count=BATCH, block=BLOCK_MS
        )
        found = entries_of(answer)
        if not found:
            return ">"
        done = await self._taken(found)
        if done:
            await self._redis.xack(STREAM, GROUP, *done)
        return ">" if start == ">" else found[-1].key

    async def _taken(self, found: Sequence[Read]) -> list[str]:
        """Stores what can be stored; returns the ids that are done with."""
        strange = [each for each in found if each.entry is None and each.fields]
        good = [each for each in found if each.entry is not None]
        for each in strange:
            await self.aside.put(each.key, each.fields, "not_understood")
        done = [each.key for each in found if each.entry is None]
        try:
            await self._store(good)
        except (SQLAlchemyError, *_ENTRY_FAULTS) as error:  # one of them, or the database is away
            log.warning("journal_batch_not_stored", detail=described(error), entries=len(good))
            return done + await self._one_by_one(good)
        return done + [each.key for each in good]

    async def _one_by_one(self, good: Sequence[Read]) -> list[str]:
        """Stores each by itself, and puts those aside that will never be stored.

        Raises:
            SQLAlchemyError: the database takes nothing at all now.
        """
        done: list[str] = []
        for each in good:
            try:
                await self._store([each])
            except (SQLAlchemyError, *_ENTRY_FAULTS) as error:
                if not await self._is_hopeless(each, error):
                    continue  # it is tried again at the next tidying
                log.error("journal_entry_not_stored", entry=each.key, detail=described(error))
                await self.aside.put(each.key, each.fields, "not_stored")
            self._tries.pop(each.key, None)
            done.append(each.key)
        return done

    async def _is_hopeless(self, each: Read, error: Exception) -> bool:
        """Whether an entry will not be stored at the next try either.

        Raises:
            SQLAlchemyError: it is the database's trouble, not the entry's.
        """
        if blames_the_data(error):
            return True
        async with self._database.writing() as db:  # does it take anything else?
            await db.execute(update(tables.state).values(revision=tables.state.c.revision))
        self._tries[each.key] += 1
        return self._tries[each.key] >= MAX_TRIES

    async def _store(self, good: Sequence[Read]) -> None:
        if not good:
            return
        entries = [(padded(each.key), each.entry) for each in good if each.entry is not None]
        async with self._database.writing() as db:
            work = Work(db, SYSTEM, datetime.now(UTC))
            await self._on_entries(work, await calls.put_down(db, entries))

    async def _join(self) -> None:
        try:
            await self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):  # it is there: the usual case
                raise


def padded(key: str) -> str:
    """A stream entry's id in a form that sorts as text: "1700000000000-7" -> "...-000007"."""
    at_ms, _, number = key.partition("-")
    return f"{at_ms}-{int(number):06d}"


def plain(key: str) -> str:
    """The opposite; "" is the beginning of the stream."""
    at_ms, _, number = key.partition("-")
    return f"{at_ms}-{int(number)}" if key else "0"


def entries_of(answer: Any) -> list[Read]:
    """What Redis gave, in its order; the forms of both protocols and of a cluster."""
    streams = answer.items() if isinstance(answer, dict) else answer or []
    found: list[Read] = []
    for _, entries in streams:
        batches = entries if entries and isinstance(entries[0], list) else [entries]
        for batch in batches:
            found += [Read(key, fields or {}) for key, fields in batch]
    return found


def without_trial(entry: Entry) -> Entry:
    """An entry without the made-up number of a trial: who knows it may call the draft."""
    called = entry.data.get("called")
    if not (isinstance(called, str) and called.startswith(TRIAL_PREFIX)):
        return entry
    return replace(entry, data={**entry.data, "called": TRIAL_PREFIX})
