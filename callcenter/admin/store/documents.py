"""Configuration documents: read, listed, written with a revision, never overwritten unseen.

It knows no schema: documents are plain JSON here. Every write goes to the audit log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import Any

from sqlalchemy import Row, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from callcenter.admin.ids import new_id
from callcenter.admin.problems import Problem, conflict, not_found
from callcenter.admin.store import tables
from callcenter.admin.store.work import Work

PREFIXES = {
    "persona": "psn",
    "voice": "voi",
    "trunk": "trk",
    "number": "num",
    "route": "rte",
    "schedule": "sch",
    "limit": "lim",
    "webhook": "whk",
}
_TABLE = tables.documents


@dataclass(frozen=True, slots=True)
class Record:
    """A document and what is known about it.

    Attributes:
        revision: counts its changes from 1; the entity tag.
    """

    id: str
    kind: str
    name: str
    revision: int
    document: dict[str, Any]
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str

    @property
    def etag(self) -> str:
        """The entity tag of this revision."""
        return f'"{self.revision}"'


async def find(db: AsyncConnection, kind: str, reference: str) -> Record | None:
    """The document with that id or name."""
    query = select(_TABLE).where(
        _TABLE.c.kind == kind, or_(_TABLE.c.id == reference, _TABLE.c.name == reference)
    )
    row = (await db.execute(query)).first()
    return None if row is None else _record(row)


async def get(db: AsyncConnection, kind: str, reference: str) -> Record:
    """The document with that id or name; a Problem (404) if there is none."""
    record = await find(db, kind, reference)
    if record is None:
        raise not_found(kind, reference)
    return record


async def page(db: AsyncConnection, kind: str, after_id: str, limit: int) -> list[Record]:
    """Up to `limit` documents in the order of their making, after an id."""
    query = (
        select(_TABLE)
        .where(_TABLE.c.kind == kind, _TABLE.c.id > after_id)
        .order_by(_TABLE.c.id)
        .limit(limit)
    )
    return [_record(row) for row in await db.execute(query)]


async def all_of(db: AsyncConnection, kind: str) -> list[Record]:
    """Every document of a kind, by name."""
    query = select(_TABLE).where(_TABLE.c.kind == kind).order_by(_TABLE.c.name)
    return [_record(row) for row in await db.execute(query)]


async def create(work: Work, kind: str, name: str, document: Mapping[str, Any]) -> Record:
    """Stores a new document; a Problem (409) if the name is taken."""
    record = Record(
        id=new_id(PREFIXES[kind]),
        kind=kind,
        name=name,
        revision=1,
        document=dict(document),
        created_at=work.now,
        created_by=work.actor.name,
        updated_at=work.now,
        updated_by=work.actor.name,
    )
    try:
        await work.db.execute(insert(_TABLE).values(**_columns(record)))
    except IntegrityError:
        raise conflict("name_taken", f"there is a {kind} named '{name}' already") from None
    await work.audit("create", kind, name, after=record.document)
    return record


async def change(
    work: Work, record: Record, document: Mapping[str, Any], *, action: str = "update"
) -> Record:
    """Stores a new revision of a document.

    Raises:
        Problem: 412, somebody changed it since `record` was read; 409, the new name is taken.
    """
    changed = replace(
        record,
        name=str(document.get("name", record.name)),
        revision=record.revision + 1,
        document=dict(document),
        updated_at=work.now,
        updated_by=work.actor.name,
    )
    same = (_TABLE.c.id == record.id) & (_TABLE.c.revision == record.revision)
    try:
        result = await work.db.execute(update(_TABLE).where(same).values(**_columns(changed)))
    except IntegrityError:
        raise conflict("name_taken", f"the name '{changed.name}' is taken") from None
    if result.rowcount != 1:
        raise stale(record)
    kind, name = record.kind, changed.name
    await work.audit(action, kind, name, before=record.document, after=changed.document)
    return changed


async def remove(work: Work, record: Record) -> None:
    """Deletes a document, with everything that belongs to it."""
    await work.db.execute(delete(_TABLE).where(_TABLE.c.id == record.id))
    await work.audit("delete", record.kind, record.name, before=record.document)


def check_tag(record: Record, if_match: str | None) -> None:
    """Compares the caller's entity tag with the present one.

    Raises:
        Problem: 428 without a tag, 412 with an old one.
    """
    if if_match is None:
        raise Problem(
            HTTPStatus.PRECONDITION_REQUIRED,
            "if_match_required",
            "send If-Match with the ETag that you read, so that nobody's change is lost",
        )
    tags = [tag.strip().removeprefix("W/") for tag in if_match.split(",")]
    if "*" not in tags and record.etag not in tags:
        raise stale(record)


def stale(record: Record) -> Problem:
    """Somebody else was faster."""
    return Problem(
        HTTPStatus.PRECONDITION_FAILED,
        "stale_etag",
        f"{record.kind} '{record.name}' was changed by {record.updated_by} since you read it;"
        " read it again and repeat your change",
    )


def _columns(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in Record.__dataclass_fields__}


def _record(row: Row[Any]) -> Record:
    return Record(**row._asdict())
