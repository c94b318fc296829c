"""The first start: shipped voices and personas, a trunk, and an admin's key, made once.

The key's secret goes to the program that asked for it, once; only its hash is stored.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update

from callcenter.admin import personas as persona_store
from callcenter.admin.api.voices import store_voice
from callcenter.admin.security import keys
from callcenter.admin.store import documents, tables
from callcenter.admin.store.database import Database
from callcenter.admin.store.work import SYSTEM, Work
from callcenter.admin.voices.clips import measured
from callcenter.admin.voices.consent import Consent
from callcenter.published.documents import Number
from callcenter.published.trunk import Trunk
from personas.library import Library
from personas.schema import Persona
from personas.tokens import TokenCounter
from personas.voice import Voice

FIRST_ADMIN = "first admin"
TEMPORARY = timedelta(hours=24)  # of a key that only opens the door; it also ends at the first
# use of another admin's key, and when an admin comes over the OpenID provider
FIRST_NUMBER = 15_550_100


async def run(
    database: Database, library: Library, count: TokenCounter, *, numbers: bool
) -> str | None:
    """Fills a fresh database; harmless on one that was filled.

    Args:
        database: of this release's shape.
        library: the personas and voices to begin with; all of them are published.
        count: counts the prompts' text tokens.
        numbers: whether every persona gets a made-up number.

    Returns:
        The first admin's secret, or None if this was not the first start.
    """
    async with database.writing() as db:
        if await db.scalar(select(tables.state.c.first_start_done)):
            return None
        work = Work(db, SYSTEM, datetime.now(UTC))
        for voice in library.voices().values():
            await _import_voice(work, voice)
        for name in library:
            await _import_persona(work, library[name], count)
        trunk = Trunk(name="twilio", title="Twilio", kind="twilio")
        await documents.create(work, "trunk", trunk.name, trunk.model_dump(mode="json"))
        if numbers:
            await _make_numbers(work, library)
        ends = work.now + TEMPORARY
        _, secret = await keys.make(work, FIRST_ADMIN, "admin", ends, temporary=True)
        await work.bump()
        await db.execute(update(tables.state).values(first_start_done=True))
    return secret


async def new_admin(database: Database, name: str = "") -> str:
    """Makes a temporary key of an admin, for whoever is locked out; returns its secret.

    Args:
        database: of this release's shape.
        name: of the key; made up when empty.

    Raises:
        Problem: the name is taken.
    """
    async with database.writing() as db:
        work = Work(db, SYSTEM, datetime.now(UTC))
        name = name or f"admin key {work.now:%Y-%m-%d %H:%M:%S.%f}"
        ends = work.now + TEMPORARY
        _, secret = await keys.make(work, name, "admin", ends, temporary=True)
    return secret


async def _import_voice(work: Work, voice: Voice) -> None:
    names = ("name", "title", "gender", "language", "licence", "source", "transcript")
    fields = {name: getattr(voice, name) for name in names}
    synthetic = voice.consent.startswith("synthetic")
    consent = Consent(
        kind="synthetic" if synthetic else "written",
        subject=voice.consent,
        document=None if synthetic else voice.consent,
        scope="telephone agent",
        granted_at=work.now,
    )
    clip = await asyncio.to_thread(measured, voice.clip.read_bytes())
    await store_voice(work, fields, clip, consent)


async def _import_persona(work: Work, persona: Persona, count: TokenCounter) -> None:
    content = persona.model_dump(mode="json", exclude_none=True)
    record = await persona_store.create(work, content, [], count)
    await persona_store.publish(work, record, None, "first start", count)


async def _make_numbers(work: Work, library: Library) -> None:
    for index, name in enumerate(library):
        title = f"{library[name].title} (made up)"
        number = Number(name=f"+{FIRST_NUMBER + index}", title=title, persona=name)
        await documents.create(work, "number", number.name, number.model_dump(mode="json"))
