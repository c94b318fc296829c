"""Logging in to the console: an API key's secret for a session; and proving it once more."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, StringConstraints

from callcenter.admin.api.common import ERRORS, WorkIn
from callcenter.admin.problems import Problem, conflict
from callcenter.admin.security import keys, sessions
from callcenter.admin.security.gate import ApiRoute, Gate, needs
from callcenter.admin.security.sessions import ConsoleSession, Rules, Visitor

PATH = "/v1/session"

routes = APIRouter(tags=["session"], route_class=ApiRoute, responses=ERRORS)


class Login(BaseModel):
    """The secret of an API key."""

    model_config = ConfigDict(extra="forbid")

    secret: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class SessionView(BaseModel):
    """Who is logged in.

    Attributes:
        kind: key or person; a person came over the OpenID provider.
        csrf_token: to be sent as `X-CSRF-Token` with every request that changes something; null
            for a request that came with an API key instead of a session.
        log_out_url: where a browser goes after it has logged out, to end the provider's session
            too; null for nowhere.
    """

    name: str
    role: str
    kind: str
    csrf_token: str | None
    expires_at: datetime | None
    log_out_url: str | None


@routes.post(PATH, status_code=HTTPStatus.CREATED, openapi_extra=needs("public", replays=False))
async def log_in(body: Login, work: WorkIn, request: Request, response: Response) -> SessionView:
    """Begins a session and sets its cookie."""
    rules: Rules = request.app.state.rules
    gate: Gate = request.app.state.gate
    if not rules.key_login:
        detail = "people log in over the OpenID provider here; API keys are for programs"
        gate.refuse("bad_login", request, Problem(HTTPStatus.FORBIDDEN, "key_login_off", detail))
    key = await _key(body, work, request)
    await keys.put_down_use(work.db, key, work.now)
    await sessions.end(work.db, rules.cookie_of(request))
    cookie, expires_at = await sessions.begin(work.db, key, Visitor.of(request), work.now)
    work.actor = key.actor()
    await work.audit("log_in", "session", key.name)
    set_cookie(response, rules, cookie, expires_at)
    return SessionView(
        name=key.name,
        role=key.role,
        kind="key",
        csrf_token=sessions.csrf_of(cookie),
        expires_at=expires_at,
        log_out_url=None,
    )


@routes.get(PATH)
async def who_am_i(work: WorkIn, request: Request) -> SessionView:
    """Who asks, and the CSRF token of the session."""
    session: ConsoleSession | None = request.state.session
    return SessionView(
        name=work.actor.name,
        role=work.actor.role,
        kind=work.actor.kind,
        csrf_token=session.csrf if session else None,
        expires_at=session.expires_at if session else None,
        log_out_url=session.log_out_url or None if session else None,
    )


@routes.delete(PATH, status_code=HTTPStatus.NO_CONTENT, openapi_extra=needs("viewer"))
async def log_out(work: WorkIn, request: Request, response: Response) -> None:
    """Ends the session."""
    rules: Rules = request.app.state.rules
    await sessions.end(work.db, rules.cookie_of(request))
    await work.audit("log_out", "session", work.actor.name)
    response.delete_cookie(rules.cookie, secure=rules.secure, httponly=True, samesite="strict")


@routes.post(
    f"{PATH}:confirm",
    status_code=HTTPStatus.NO_CONTENT,
    openapi_extra=needs("viewer", replays=False),
)
async def confirm_session(body: Login, work: WorkIn, request: Request) -> None:
    """Proves once more, with the session's own key, who is there: the session is fresh again."""
    session: ConsoleSession | None = request.state.session
    if session is None:
        raise conflict("no_session", "this request came with a key, which needs no fresh log-in")
    if session.actor.kind != "key":
        raise conflict("other_way", "this session is a person's: log in again at the provider")
    key = await _key(body, work, request, session.actor.id)
    await sessions.put_down_proof(work.db, session.id, work.now)
    await work.audit("confirm", "session", key.name)


async def _key(body: Login, work: WorkIn, request: Request, wanted: str = "") -> keys.ApiKey:
    """The good key of a secret; a Problem for any other secret, or any other key than wanted."""
    key = await keys.by_secret(work.db, body.secret, work.now)
    if key is None or wanted not in ("", key.id):
        gate: Gate = request.app.state.gate
        why = "the secret is unknown, expired or revoked, or not this session's"
        detail = why if wanted else why.partition(", or not")[0]
        await gate.failed("bad_login", request, detail, keys.prefix_of(body.secret))
    return key


def set_cookie(response: Response, rules: Rules, cookie: str, expires_at: datetime) -> None:
    """Hands a session's cookie to the browser."""
    response.set_cookie(
        rules.cookie,
        cookie,
        expires=expires_at,
        httponly=True,
        samesite="strict",
        secure=rules.secure,
    )
