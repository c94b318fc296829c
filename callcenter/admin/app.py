"""The ASGI application: routes, error forms, security headers. It builds no part itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.middleware.base import RequestResponseEndpoint
from starlette.routing import BaseRoute

from callcenter.admin.api import (
    audit,
    bundle,
    calls,
    documents,
    drafts,
    erasing,
    export,
    keys,
    overview,
    personas,
    session,
    sessions,
    simulate,
    versions,
    voices,
    webhooks,
    workers,
)
from callcenter.admin.api.calls import CallEventView
from callcenter.admin.api.watching import Watchers
from callcenter.admin.aside import Aside
from callcenter.admin.described import ABOUT, complete
from callcenter.admin.erasing import Eraser
from callcenter.admin.http import add_request_ids, methods_of
from callcenter.admin.problems import Problem, from_validation
from callcenter.admin.publishing import Publisher
from callcenter.admin.security.gate import Gate
from callcenter.admin.security.rates import RateLimits
from callcenter.admin.security.sessions import COOKIE, CSRF_HEADER, Rules
from callcenter.admin.store.database import Database
from callcenter.admin.store.faults import described, unavailable
from callcenter.background import Supervisor
from callcenter.broker.broker import Broker
from callcenter.published.board import Board, Clips
from personas.library import Library
from personas.tokens import TokenCounter

TITLE, VERSION = "Contact center admin API", "1.0.0"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Permitted-Cross-Domain-Policies": "none",
}
_HTTPS_ONLY = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}
_IN_WORDS = {  # what the framework refuses by itself
    HTTPStatus.BAD_REQUEST: "the request's body cannot be read; check its form and its length",
    HTTPStatus.NOT_FOUND: "there is nothing at this address; /v1/openapi.json lists what there is",
    HTTPStatus.METHOD_NOT_ALLOWED: "this address does not take this method; see the header Allow",
}
_API_POLICY = "default-src 'none'; frame-ancestors 'none'"
_SECURITY = {
    "api_key": {"type": "http", "scheme": "bearer", "description": "An API key's secret."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": f"From POST /v1/session or a log-in over the OpenID provider; over https "
        f"its name begins with __Host-. Writes also need the header {CSRF_HEADER}.",
    },
}

log = structlog.get_logger(__name__)

Follow = Callable[[str, bool], AsyncIterator[CallEventView]]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class State:
    """What the routes need; each finds it in `request.app.state` under its name here.

    Attributes:
        templates: personas to start from.
        follow: a call's events as they happen.
        watchers: who follows.
        aside: entries of the journal that could not be stored.
        supervisor: keeps the tasks beside the routes running.
        master_secret: signing secrets of webhooks are derived from it.
        rules: of sessions.
        eraser: takes calls out of everything.
        database: for answers that are read in pieces.
    """

    database: Database
    gate: Gate
    rates: RateLimits
    templates: Library
    count_tokens: TokenCounter
    clips: Clips
    board: Board
    brokers: Mapping[str, Broker]
    publisher: Publisher
    follow: Follow
    watchers: Watchers
    aside: Aside
    supervisor: Supervisor
    master_secret: str
    rules: Rules
    eraser: Eraser


def create(state: State | None, lifespan: Lifespan | None = None) -> FastAPI:
    """The application.

    Args:
        state: None where only the description is wanted.
        lifespan: starts and stops what runs beside the routes.
    """
    app = FastAPI(
        title=TITLE, version=VERSION, lifespan=lifespan, openapi_url="/v1/openapi.json",
        docs_url=None, redoc_url=None, generate_unique_id_function=lambda route: route.name,
    )  # fmt: skip
    if state is not None:
        for name in State.__dataclass_fields__:
            setattr(app.state, name, getattr(state, name))
    for router in _routers():
        app.include_router(router)
    _add_health(app)
    _add_errors(app)
    add_request_ids(app)
    _add_headers(app, _HEADERS | (_HTTPS_ONLY if state and state.rules.secure else {}))
    app.openapi = lambda: _description(app)  # type: ignore[method-assign]
    return app


def _routers() -> list[Any]:
    return [
        session.routes,
        sessions.routes,
        overview.routes,
        simulate.routes,
        personas.routes,
        drafts.routes,
        versions.routes,
        voices.routes,
        *[documents.router(kind) for kind in documents.VIEWS],
        calls.routes,
        erasing.routes,
        export.routes,
        workers.routes,
        keys.routes,
        webhooks.routes,
        audit.routes,
        bundle.routes,
    ]


def _all_routes() -> list[BaseRoute]:
    return [route for router in _routers() for route in router.routes]


def _description(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        found = get_openapi(
            title=TITLE,
            version=VERSION,
            routes=app.routes,
            description=ABOUT,
            servers=[{"url": "/", "description": "This admin app."}],
        )
        complete(found)
        found["components"]["securitySchemes"] = _SECURITY
        found["security"] = [{name: []} for name in _SECURITY]
        app.openapi_schema = found
    return app.openapi_schema


def _add_health(app: FastAPI) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        """The event loop turns."""
        return {"status": "ok"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        """Whether gateways have been told what to do, and the tasks beside the routes run.

        One that has ended once is named only: people need the console most when something fails.
        """
        publisher: Publisher = app.state.publisher
        supervisor: Supervisor = app.state.supervisor
        trouble = supervisor.trouble()
        if publisher.published is not None and not supervisor.failing():
            named = {"trouble": trouble} if trouble else {}
            return JSONResponse({"status": "ready", **named})
        why = trouble or publisher.trouble or "nothing is published yet"
        return JSONResponse({"status": "not ready", "why": why}, HTTPStatus.SERVICE_UNAVAILABLE)


def _add_headers(app: FastAPI, headers: Mapping[str, str]) -> None:
    @app.middleware("http")
    async def add(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers.update(headers)
        response.headers.update(getattr(request.state, "rate_headers", {}))
        path = request.url.path
        if path.startswith(("/v1", "/admin/oidc")):
            response.headers.setdefault("Content-Security-Policy", _API_POLICY)
            response.headers.setdefault("Cache-Control", "no-store")
        return response


# --- errors ---------------------------------------------------------------------------------------


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> Response:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def bad_request(_: Request, error: RequestValidationError) -> Response:
        return from_validation(error).response()

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        code = status.phrase.lower().replace(" ", "_")
        detail = _IN_WORDS.get(status, "the request cannot be answered; check it and try again")
        response = Problem(status, code, detail).response()
        response.headers.update(error.headers or {})
        if status is HTTPStatus.METHOD_NOT_ALLOWED and (
            methods := methods_of(_all_routes(), request)
        ):
            response.headers["Allow"] = methods
        return response

    @app.exception_handler(SQLAlchemyError)
    async def database_error(_: Request, error: SQLAlchemyError) -> Response:
        if not unavailable(error):
            raise error  # ours: a statement that should not have been sent
        return _database_unavailable(described(error))


def _database_unavailable(why: str) -> Response:
    log.warning("database_unavailable", detail=why)
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "database_unavailable",
        "the database does not answer, or is busy; calls go on without it",
        retry_after_s=5,
    ).response()
