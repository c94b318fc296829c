"""Brings the configuration from the database to the gateways.

    database --build--> snapshot --prime workers--> clips and snapshot on the board in Redis

A new prompt is primed on the workers before the snapshot that uses it is published, so that the
first caller does not wait for it. With Redis away, publishing is repeated until it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Protocol

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from callcenter.admin.store import documents, tables
from callcenter.admin.store.configuration import load
from callcenter.admin.store.database import Database
from callcenter.admin.store.faults import described
from callcenter.admin.voices.consent import read, why_blocked
from callcenter.errors import BrokerUnavailable
from callcenter.published.board import Board, Clips
from callcenter.published.documents import PersonasTarget, Route
from callcenter.published.prompts import Prompt, prompts
from callcenter.published.snapshot import (
    PublishedPersona,
    PublishedVoice,
    Snapshot,
    Trial,
)

LOOK_EVERY_S = 5.0
ANSWER_WITHIN_S = 2.0

log = structlog.get_logger(__name__)


class Primer(Protocol):
    """Whoever makes workers ready for a prompt."""

    async def prime(self, wanted: list[Prompt]) -> None:
        """Primes as many workers as it can in a bounded time; never raises."""
        ...


class Publisher:
    """Keeps the board in Redis up to date with the database.

    Attributes:
        published: the newest revision that is on the board; None before the first one.
        trouble: why publishing does not work now; "" if it does.
    """

    def __init__(self, database: Database, board: Board, clips: Clips, primer: Primer) -> None:
        self._database = database
        self._board = board
        self._clips = clips
        self._primer = primer
        self._wake = asyncio.Event()
        self._round_over = asyncio.Event()
        self._primed: set[tuple[str, str]] = set()
        self.published: int | None = None
        self.trouble = ""

    async def publish_soon(self) -> None:
        """Wakes the loop and waits a moment for it, so that a change usually counts at once."""
        self._round_over.clear()
        self._wake.set()
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await self._round_over.wait()
        except TimeoutError:  # priming takes its time, or Redis is away; the loop goes on
            log.info("publishing_continues")

    async def run(self) -> None:
        """Publishes for ever what is newer than the board; cancel it at the end."""
        while True:
            self._wake.clear()
            try:
                await self.publish()
                self.trouble = ""
            except SQLAlchemyError as error:  # the database is away
                self._note_trouble(described(error))
            except (BrokerUnavailable, OSError) as error:  # Redis is
                self._note_trouble("Redis does not answer")
                log.warning("redis_unavailable", detail=str(error))
            except (ValueError, LookupError, TypeError) as error:  # written by hand, or elsewhere
                self._note_trouble(f"a stored document cannot be read ({type(error).__name__})")
                log.error("document_not_readable", exc_info=error)
            self._round_over.set()
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:  # time to look whether Redis has lost it
                pass

    def _note_trouble(self, why: str) -> None:
        self.trouble = why
        log.warning("not_published", detail=why)

    async def publish(self) -> None:
        """Publishes the present configuration unless it is on the board, genuine and whole.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        # The board first: what the database says afterwards is never older, unless it was restored.
        posted = await self._board.posted()
        async with self._database.reading() as db:
            revision = int(await db.scalar(select(tables.state.c.revision)) or 0)
            if posted.revision == revision:
                self.published = revision
                return
            snapshot = await build(db, datetime.now(UTC))
            stale = await self._publish_clips(db)
        fresh = [prompt for prompt in prompts(snapshot) if prompt.key not in self._primed]
        if fresh:
            await self._prime(fresh)
        if not await self._board.replace(posted, snapshot):
            self._wake.set()  # another process has published meanwhile: look again
            return
        for sha256 in stale:  # nothing names them any more
            await self._clips.remove(sha256)
        self.published = snapshot.revision
        log.info("published", revision=snapshot.revision)

    async def _prime(self, fresh: list[Prompt]) -> None:
        """Readies the workers; what one of them does to it keeps nothing from being published."""
        (failure,) = await asyncio.gather(self._primer.prime(fresh), return_exceptions=True)
        if isinstance(failure, Exception):
            log.error("priming_failed", exc_info=failure)
        self._primed.update(prompt.key for prompt in fresh)

    async def _publish_clips(self, db: AsyncConnection) -> set[str]:
        """Brings the clips to Redis that are not there; returns those of deleted voices."""
        there, columns = await self._clips.all(), tables.clips.c
        kept = set(await db.scalars(select(columns.sha256)))
        originals = {
            str(record.document["sha256"]): str(record.document["original_sha256"])
            for record in await documents.all_of(db, "voice")
        }
        for sha256 in sorted(kept - there):
            wav = await db.scalar(select(columns.content).where(columns.sha256 == sha256))
            await self._clips.put(sha256, wav or b"", originals.get(sha256, ""))
        return there - kept


async def build(db: AsyncConnection, now: datetime) -> Snapshot:
    """The configuration of one moment as gateways need it."""
    configuration = await load(db)
    heads = {record.name: record for record in await documents.all_of(db, "persona")}
    wanted = {(name, version) for name, version in configuration.published.items()}
    for route in configuration.routes.values():
        wanted |= set(_pins(route))
    versions = tables.persona_versions.c
    personas = []
    for name, number in sorted(wanted):
        query = select(versions.content).where(
            versions.persona_id == heads[name].id, versions.number == number
        )
        content = await db.scalar(query)
        if content is not None:
            personas.append(PublishedPersona(name=name, version=number, content=content))
    return Snapshot(
        revision=int(await db.scalar(select(tables.state.c.revision)) or 0),
        current=dict(configuration.published),
        personas=personas,
        voices=await _voices(db, now),
        trunks=list(configuration.trunks.values()),
        numbers=list(configuration.numbers.values()),
        routes=list(configuration.routes.values()),
        schedules=list(configuration.schedules.values()),
        limits=list(configuration.limits.values()),
        trials=await _trials(db, now),
    )


def _pins(route: Route) -> Iterator[tuple[str, int]]:
    for target in (route.target, *route.overflow):
        if isinstance(target, PersonasTarget):
            for choice in target.personas:
                if choice.version is not None:
                    yield choice.persona, choice.version


async def _voices(db: AsyncConnection, now: datetime) -> list[PublishedVoice]:
    voices = []
    for record in await documents.all_of(db, "voice"):
        document = {**record.document, "name": record.name}
        consent = document["consent"]
        voices.append(
            PublishedVoice(
                name=record.name,
                sha256=document["sha256"],
                blocked=why_blocked(document, now),
                usable_until=None if consent is None else read(consent).expires_at,
            )
        )
    return voices


async def _trials(db: AsyncConnection, now: datetime) -> list[Trial]:
    columns = tables.trials.c
    rows = await db.execute(select(tables.trials).where(columns.expires_at > now))
    return [
        Trial(
            called=row.called,
            persona=PublishedPersona(name=row.persona, version=0, content=row.content),
            expires_at=row.expires_at,
        )
        for row in rows
    ]
