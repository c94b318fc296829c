"""Brings the configuration from the database to the gateways.

    database --build--> snapshot --prime workers--> clips and snapshot on the board in Redis

A new prompt is primed on the workers before the snapshot that uses it is published, so that the
first caller does not wait for it. With Redis away, publishing is repeated until it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from callcenter.admin.store import documents, tables
from callcenter.admin.store.configuration import load
from callcenter.admin.store.database import Database
from callcenter.admin.voices.consent import read, why_blocked
from callcenter.errors import BrokerUnavailable
from callcenter.published.board import Board, Clips
from callcenter.published.documents import PersonasTarget, Route
from callcenter.published.snapshot import (
    PublishedPersona,
    PublishedVoice,
    Snapshot,
    Trial,
    read_persona,
)
from personas.schema import RenderedPersona

LOOK_EVERY_S = 5.0
ANSWER_WITHIN_S = 2.0

log = structlog.get_logger(__name__)


class Primer(Protocol):
    """Whoever makes workers ready for a prompt."""

    async def prime(self, personas: list[RenderedPersona]) -> None:
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
        self._primed: set[str] = set()
        self._clips_there: set[str] = set()
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
            except (BrokerUnavailable, DBAPIError, OSError) as error:  # Redis or database away
                self.trouble = str(error)
                log.warning("not_published", detail=str(error))
            self._round_over.set()
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:  # time to look whether Redis has lost it
                pass

    async def publish(self) -> None:
        """Publishes the present configuration unless it is on the board.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        async with self._database.reading() as db:
            revision = int(await db.scalar(select(tables.state.c.revision)) or 0)
            if await self._board.revision() == revision:
                self.published = revision
                return
            snapshot = await build(db, datetime.now(UTC))
            clips = await self._missing_clips(db)
        for sha256, wav in clips.items():
            await self._clips.put(sha256, wav)
            self._clips_there.add(sha256)
        fresh = [
            persona for persona in prompts(snapshot) if persona.prompt_hash not in self._primed
        ]
        if fresh:
            await self._primer.prime(fresh)
            self._primed.update(persona.prompt_hash for persona in fresh)
        await self._board.publish(snapshot)
        self.published = snapshot.revision
        log.info("published", revision=snapshot.revision)

    async def _missing_clips(self, db: AsyncConnection) -> dict[str, bytes]:
        columns = tables.clips.c
        query = select(columns.sha256, columns.content)
        query = query.where(columns.sha256.not_in(self._clips_there))
        return {row.sha256: row.content for row in await db.execute(query)}


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


def prompts(snapshot: Snapshot) -> list[RenderedPersona]:
    """The prompts that calls will bring, as far as they are known before."""
    rendered: dict[str, RenderedPersona] = {}
    contents = {(persona.name, persona.version): persona.content for persona in snapshot.personas}
    uses: list[tuple[str, int, dict[str, str]]] = [
        (name, version, {}) for name, version in snapshot.current.items()
    ]
    for route in snapshot.routes:
        uses += [
            (choice.persona, choice.version or snapshot.current.get(choice.persona, 0),
             dict(choice.variables))
            for target in (route.target, *route.overflow)
            if isinstance(target, PersonasTarget)
            for choice in target.personas
        ]  # fmt: skip
    for name, version, variables in uses:
        persona = _rendered(contents.get((name, version)), variables)
        if persona is not None:
            rendered[persona.prompt_hash] = persona
    return list(rendered.values())


def _rendered(content: dict[str, Any] | None, variables: dict[str, str]) -> RenderedPersona | None:
    """None where values are missing that only a call brings."""
    if content is None:
        return None
    try:
        return read_persona(content).render(variables)
    except ValueError:
        return None


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
