"""Open sessions of the console: one's own, and for admins everybody's; ending them."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from sqlalchemy import ColumnElement, delete, func, or_, select

from callcenter.admin.api.common import ERRORS, Reference, WorkIn
from callcenter.admin.api.pages import Page, WindowIn
from callcenter.admin.problems import Problem, not_found
from callcenter.admin.security import sessions
from callcenter.admin.security.gate import ApiRoute, Gate, needs
from callcenter.admin.security.sessions import ConsoleSession, Rules
from callcenter.admin.store import tables
from callcenter.admin.store.work import Work

_TABLE, _KEYS, _PEOPLE = tables.sessions, tables.api_keys, tables.people
Everyone = Annotated[bool, Query(description="Everybody's instead of one's own; for admins.")]

routes = APIRouter(prefix="/v1/sessions", tags=["session"], route_class=ApiRoute, responses=ERRORS)


class OpenSession(BaseModel):
    """A session that is open.

    Attributes:
        owner, kind: the key or the person whose it is.
        authenticated_at: when they last proved who they are.
        last_seen_at: when they last did something, to the minute.
        address, agent: of the browser that logged in.
        current: whether this request came in it.
    """

    id: str
    owner: str
    kind: str
    role: str
    created_at: datetime
    authenticated_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    address: str
    agent: str
    current: bool


class Ended(BaseModel):
    """How many sessions were ended."""

    ended: int


@routes.get("")
async def list_sessions(
    work: WorkIn, window: WindowIn, request: Request, everyone: Everyone = False
) -> Page[OpenSession]:
    """Open sessions, latest log-in first."""
    _check_everyone(work, request, everyone)
    rules: Rules = request.app.state.rules
    query = (
        select(
            _TABLE,
            func.coalesce(_KEYS.c.name, _PEOPLE.c.name).label("owner"),
            func.coalesce(_KEYS.c.role, _PEOPLE.c.role).label("role"),
        )
        .outerjoin(_KEYS, _KEYS.c.id == _TABLE.c.key_id)
        .outerjoin(_PEOPLE, _PEOPLE.c.id == _TABLE.c.person_id)
        .where(_TABLE.c.expires_at > work.now, _TABLE.c.last_seen_at > work.now - rules.idle)
        .where(_KEYS.c.revoked_at.is_(None))
        .order_by(_TABLE.c.id.desc())
    )
    if not everyone:
        query = query.where(_mine(work))
    if window.after:
        query = query.where(_TABLE.c.id < window.after)
    rows = (await work.db.execute(query.limit(window.rows))).all()
    here: ConsoleSession | None = request.state.session
    return Page[OpenSession](
        **window.cut(rows, lambda row: _view(row, here.id if here is not None else ""))
    )


@routes.delete("", openapi_extra=needs("viewer"))
async def end_sessions(work: WorkIn, request: Request, everyone: Everyone = False) -> Ended:
    """Ends all sessions but this one."""
    _check_everyone(work, request, everyone)
    here: ConsoleSession | None = request.state.session
    owner = "" if everyone else work.actor.id
    ended = await sessions.end_many(work.db, owner=owner, but=here.id if here else "")
    whose = "everybody" if everyone else work.actor.name
    await work.audit("end_all", "session", whose, after={"ended": ended})
    return Ended(ended=ended)


@routes.delete("/{reference}", status_code=HTTPStatus.NO_CONTENT, openapi_extra=needs("viewer"))
async def end_session(reference: Reference, work: WorkIn) -> None:
    """Ends one session: one's own, or as an admin anybody's."""
    query = delete(_TABLE).where(_TABLE.c.id == reference)
    if not work.actor.may("admin"):
        query = query.where(_mine(work))
    if not (await work.db.execute(query)).rowcount:
        raise not_found("session", reference)  # nobody learns of other people's
    await work.audit("end", "session", reference)


def _mine(work: Work) -> ColumnElement[bool]:
    return or_(_TABLE.c.key_id == work.actor.id, _TABLE.c.person_id == work.actor.id)


def _check_everyone(work: Work, request: Request, everyone: bool) -> None:
    if everyone and not work.actor.may("admin"):
        detail = "only admins see and end other people's sessions"
        problem = Problem(HTTPStatus.FORBIDDEN, "role_too_low", detail)
        gate: Gate = request.app.state.gate
        gate.refuse("role_too_low", request, problem, work.actor)


def _view(row: Any, here: str) -> OpenSession:
    names = [name for name in OpenSession.model_fields if name not in ("kind", "current")]
    return OpenSession(
        **{name: getattr(row, name) for name in names},
        kind="person" if row.person_id else "key",
        current=row.id == here,
    )
