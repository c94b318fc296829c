"""The audit log: who did what, with what was there before and after. It can only be read."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import select

from callcenter.admin.api.common import ERRORS, WorkIn
from callcenter.admin.api.pages import Page, WindowIn
from callcenter.admin.security.gate import ApiRoute, needs
from callcenter.admin.store import tables

_TABLE = tables.audit
Word = Annotated[str, Query(max_length=120)]

routes = APIRouter(prefix="/v1", tags=["audit"], route_class=ApiRoute, responses=ERRORS)


class AuditEvent(BaseModel):
    """One thing that somebody did, or that was refused to somebody.

    Attributes:
        actor: their name; names may look alike, ids do not.
        actor_id: of the key or the person; "" for the program itself.
        actor_kind: key, person, system or nobody; "" for entries of older releases.
    """

    id: str
    at: datetime
    actor: str
    actor_id: str
    actor_kind: str
    role: str
    address: str
    action: str
    object_kind: str
    object_name: str
    before: Any
    after: Any


@routes.get("/audit", openapi_extra=needs("admin"))
async def list_audit_events(
    work: WorkIn,
    window: WindowIn,
    actor: Word = "",
    kind: Word = "",
    name: Word = "",
    actor_id: Word = "",
) -> Page[AuditEvent]:
    """What was done, latest first."""
    query = select(_TABLE).order_by(_TABLE.c.id.desc()).limit(window.rows)
    wanted = {"actor": actor, "object_kind": kind, "object_name": name, "actor_id": actor_id}
    query = query.where(*[_TABLE.c[column] == value for column, value in wanted.items() if value])
    if window.after:
        query = query.where(_TABLE.c.id < window.after)
    found = (await work.db.execute(query)).all()
    return Page[AuditEvent](**window.cut(found, lambda row: AuditEvent(**row._asdict())))
