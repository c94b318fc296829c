"""All documents of one moment, for checks that look at more than one of them."""

from __future__ import annotations

from typing import TypeVar, cast

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from callcenter.admin.store import documents, tables
from callcenter.published.documents import AnyDocument, Limit, Number, Route, Schedule
from callcenter.published.references import Configuration
from callcenter.published.trunk import Trunk

Kind = TypeVar("Kind", bound=AnyDocument)

MODELS: dict[str, type[AnyDocument]] = {
    "trunk": Trunk,
    "number": Number,
    "route": Route,
    "schedule": Schedule,
    "limit": Limit,
}


async def load(db: AsyncConnection) -> Configuration:
    """Reads the configuration as this transaction sees it."""
    personas = await documents.all_of(db, "persona")
    versions: dict[str, set[int]] = {record.id: set() for record in personas}
    columns = (tables.persona_versions.c.persona_id, tables.persona_versions.c.number)
    for persona_id, number in await db.execute(select(*columns)):
        versions[persona_id].add(number)
    return Configuration(
        trunks=await _all(db, Trunk),
        numbers=await _all(db, Number),
        routes=await _all(db, Route),
        schedules=await _all(db, Schedule),
        limits=await _all(db, Limit),
        personas={record.name: frozenset(versions[record.id]) for record in personas},
        published={
            record.name: record.document["published"]
            for record in personas
            if record.document["published"] is not None
        },
    )


async def _all(db: AsyncConnection, model: type[Kind]) -> dict[str, Kind]:
    kind = next(name for name, known in MODELS.items() if known is model)
    return {
        record.name: cast(Kind, model.model_validate(record.document))
        for record in await documents.all_of(db, kind)
    }
