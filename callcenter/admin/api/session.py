"""Logging in to the console: an API key's secret for a session."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, StringConstraints

from callcenter.admin.api.common import ERRORS, WorkIn
from callcenter.admin.security import keys, sessions
from callcenter.admin.security.gate import ApiRoute, needs, unauthorized
from callcenter.admin.security.sessions import COOKIE

routes = APIRouter(prefix="/v1/session", tags=["session"], route_class=ApiRoute, responses=ERRORS)


class Login(BaseModel):
    """The secret of an API key."""

    model_config = ConfigDict(extra="forbid")

    secret: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class SessionView(BaseModel):
    """Who is logged in.

    Attributes:
        csrf_token: to be sent as `X-CSRF-Token` with every request that changes something; null
            for a request that came with an API key instead of a session.
    """

    name: str
    role: str
    csrf_token: str | None
    expires_at: datetime | None


@routes.post("", status_code=HTTPStatus.CREATED, openapi_extra=needs("public", replays=False))
async def log_in(body: Login, work: WorkIn, request: Request, response: Response) -> SessionView:
    """Begins a session and sets its cookie."""
    key = await keys.by_secret(work.db, body.secret, work.now)
    if key is None:
        await request.app.state.rates.failed_login(work.address)
        raise unauthorized("the secret is unknown, expired or revoked")
    await keys.put_down_use(work.db, key, work.now)
    cookie, expires_at = await sessions.begin(work.db, key, work.now)
    work.actor = key.actor()
    await work.audit("log_in", "session", key.name)
    response.set_cookie(
        COOKIE,
        cookie,
        expires=expires_at,
        httponly=True,
        samesite="strict",
        secure=request.app.state.secure_cookies,
    )
    csrf = sessions.csrf_of(cookie)
    return SessionView(name=key.name, role=key.role, csrf_token=csrf, expires_at=expires_at)


@routes.get("")
async def who_am_i(work: WorkIn, request: Request) -> SessionView:
    """Who asks, and the CSRF token of the session."""
    view = SessionView(name=work.actor.name, role=work.actor.role, csrf_token=None, expires_at=None)
    cookie = request.cookies.get(COOKIE)
    session = await sessions.find(work.db, cookie, datetime.now(UTC)) if cookie else None
    if session is None or session.key.id != work.actor.key_id:
        return view
    return view.model_copy(update={"csrf_token": session.csrf, "expires_at": session.expires_at})


@routes.delete("", status_code=HTTPStatus.NO_CONTENT, openapi_extra=needs("viewer"))
async def log_out(work: WorkIn, request: Request, response: Response) -> None:
    """Ends the session."""
    await sessions.end(work.db, request.cookies.get(COOKIE, ""))
    await work.audit("log_out", "session", work.actor.name)
    response.delete_cookie(COOKIE)
