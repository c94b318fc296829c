"""Personas over time: a draft that changes, versions that never do, and which one is published.

    document of a persona: {name, title, labels, draft, published, archived}

`published` is the number of a version; publishing moves it, rolling back moves it back. It knows
the store, not HTTP.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from callcenter.admin import contents
from callcenter.admin.contents import Content
from callcenter.admin.ids import content_hash, new_id
from callcenter.admin.problems import conflict, invalid, not_found
from callcenter.admin.store import documents, tables
from callcenter.admin.store.configuration import load
from callcenter.admin.store.documents import Record
from callcenter.admin.store.work import Work
from callcenter.admin.voices.consent import why_blocked
from callcenter.published.references import pins_of, users_of
from personas.tokens import TokenCounter

_VERSIONS = tables.persona_versions
_PUBLICATIONS = tables.publications


async def create(work: Work, content: Content, labels: list[str], count: TokenCounter) -> Record:
    """Stores a new persona with a draft and no version."""
    persona = contents.check(content, count, "/draft")
    await _check_voice_exists(work.db, persona.voice)
    document = {
        "name": persona.name,
        "title": persona.title,
        "labels": labels,
        "draft": content,
        "published": None,
        "archived": False,
    }
    return await documents.create(work, "persona", persona.name, document)


async def save_draft(
    work: Work, record: Record, content: Content, labels: list[str], count: TokenCounter
) -> Record:
    """Replaces a draft; a draft that cannot be used is refused with all its mistakes."""
    persona = contents.check(content, count, "/draft")
    if persona.name != record.name:
        raise invalid(
            f"a persona keeps its name '{record.name}'; create another one instead", "/draft/name"
        )
    await _check_voice_exists(work.db, persona.voice)
    document = {**record.document, "title": persona.title, "draft": content, "labels": labels}
    return await documents.change(work, record, document)


async def publish(
    work: Work, record: Record, version: int | None, comment: str, count: TokenCounter
) -> Record:
    """Sends new calls to a version; without a number, to a new version made of the draft.

    Raises:
        Problem: archived, not usable (any more), or its voice may not be used.
    """
    if record.document["archived"]:
        raise conflict("archived", f"persona '{record.name}' is archived; restore it first")
    if version is None:
        version = await _new_version(work, record, comment)
    content = await version_content(work.db, record, version)
    persona = contents.check(content, count)
    await check_voice_usable(work.db, persona.voice, work.now)
    await work.db.execute(
        insert(_PUBLICATIONS).values(
            id=new_id("pub"),
            persona_id=record.id,
            number=version,
            at=work.now,
            by=work.actor.name,
        )
    )
    await work.bump()
    document = {**record.document, "published": version}
    return await documents.change(work, record, document, action="publish")


async def version_before(db: AsyncConnection, record: Record) -> int:
    """The version that was published before the present one; a Problem (409) if none was."""
    query = (
        select(_PUBLICATIONS.c.number)
        .where(_PUBLICATIONS.c.persona_id == record.id)
        .order_by(_PUBLICATIONS.c.at.desc(), _PUBLICATIONS.c.id.desc())
    )
    kept = {number for (number,) in await db.execute(_numbers(record))}
    for (number,) in await db.execute(query):
        if number < (record.document["published"] or 0) and number in kept:
            return int(number)
    raise conflict("nothing_to_roll_back", f"no version of '{record.name}' was published before")


async def archive(work: Work, record: Record, archived: bool) -> Record:
    """Takes a persona out of use, or back into it; a Problem (409) while somebody uses it."""
    if archived:
        await _check_unused(work, record)
    await work.bump()
    document = {**record.document, "archived": archived}
    if archived:
        document["published"] = None
    action = "archive" if archived else "restore"
    return await documents.change(work, record, document, action=action)


async def remove(work: Work, record: Record) -> None:
    """Deletes a persona and its versions; a Problem (409) while somebody uses it."""
    await _check_unused(work, record)
    await work.bump()
    await documents.remove(work, record)


async def remove_version(work: Work, record: Record, number: int) -> None:
    """Deletes a version; a Problem (409) that names who uses it."""
    content = await version_content(work.db, record, number)
    users = pins_of(await load(work.db), record.name, number)
    if record.document["published"] == number:
        users.append(f"persona {record.name} (published)")
    users += await _live_calls(work.db, record.name, number)
    if users:
        raise conflict(
            "version_in_use",
            f"version {number} of '{record.name}' is used by {', '.join(users)}",
            users,
        )
    chosen = (_VERSIONS.c.persona_id == record.id) & (_VERSIONS.c.number == number)
    await work.db.execute(delete(_VERSIONS).where(chosen))
    await work.audit("delete", "version", f"{record.name}/{number}", before=content)


async def versions(db: AsyncConnection, record: Record) -> list[dict[str, Any]]:
    """All versions, newest first, without their contents."""
    columns = [column for column in _VERSIONS.c if column.name not in ("persona_id", "content")]
    query = select(*columns).where(_VERSIONS.c.persona_id == record.id)
    return [row._asdict() for row in await db.execute(query.order_by(_VERSIONS.c.number.desc()))]


async def version(db: AsyncConnection, record: Record, number: int) -> dict[str, Any]:
    """One version with its content; a Problem (404) if there is none of that number."""
    chosen = (_VERSIONS.c.persona_id == record.id) & (_VERSIONS.c.number == number)
    row = (await db.execute(select(_VERSIONS).where(chosen))).first()
    if row is None:
        raise not_found(f"version of persona '{record.name}'", str(number))
    fields = row._asdict()
    del fields["persona_id"]
    return fields


async def version_content(db: AsyncConnection, record: Record, number: int) -> Content:
    """A version's content."""
    content: Content = (await version(db, record, number))["content"]
    return content


async def check_voice_usable(db: AsyncConnection, name: str, now: datetime) -> None:
    """Refuses a voice without good consent; a Problem (422)."""
    voice = await documents.find(db, "voice", name)
    why = f"there is no voice '{name}'" if voice is None else why_blocked(voice.document, now)
    if why:
        raise invalid(f"{why}; record its consent, or choose another voice", "/voice", "voice")


async def _check_voice_exists(db: AsyncConnection, name: str) -> None:
    if await documents.find(db, "voice", name) is None:
        raise invalid(f"there is no voice '{name}'; upload it first", "/draft/voice", "voice")


async def _check_unused(work: Work, record: Record) -> None:
    users = users_of(await load(work.db), "persona", record.name)
    if users:
        raise conflict("in_use", f"persona '{record.name}' is used by {', '.join(users)}", users)


async def _new_version(work: Work, record: Record, comment: str) -> int:
    """Makes a version of the draft; an unchanged draft keeps the newest version."""
    draft = record.document["draft"]
    digest = content_hash(draft)
    newest = (
        await work.db.execute(
            select(_VERSIONS.c.number, _VERSIONS.c.content_hash)
            .where(_VERSIONS.c.persona_id == record.id)
            .order_by(_VERSIONS.c.number.desc())
            .limit(1)
        )
    ).first()
    if newest is not None and newest.content_hash == digest:
        return int(newest.number)
    highest = await work.db.scalar(
        select(func.max(_PUBLICATIONS.c.number)).where(_PUBLICATIONS.c.persona_id == record.id)
    )
    number = 1 + max(highest or 0, newest.number if newest else 0)  # a number never comes back
    await work.db.execute(
        insert(_VERSIONS).values(
            persona_id=record.id,
            number=number,
            content=draft,
            content_hash=digest,
            comment=comment,
            created_at=work.now,
            created_by=work.actor.name,
        )
    )
    return number


def _numbers(record: Record) -> Any:
    return select(_VERSIONS.c.number).where(_VERSIONS.c.persona_id == record.id)


async def _live_calls(db: AsyncConnection, name: str, number: int) -> list[str]:
    calls = tables.calls.c
    query = select(calls.id).where(
        calls.state != "ended", calls.persona == name, calls.persona_version == str(number)
    )
    return [f"call {call_id}" for (call_id,) in await db.execute(query.limit(20))]
