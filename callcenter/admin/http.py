"""What every answer of the admin app carries, whatever the route: a request id, the right Allow."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable

import structlog
from fastapi import FastAPI, Request, Response
from starlette.middleware.base import RequestResponseEndpoint
from starlette.routing import BaseRoute, Match

REQUEST_ID = "X-Request-Id"
_USABLE = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)


def add_request_ids(app: FastAPI) -> None:
    """Gives every request an id: in its answer and in every log line about it.

    A proxy in front may have given it one; anything but 8 to 64 letters, digits and . _ - is not
    taken over, because it goes into the log.
    """

    @app.middleware("http")
    async def identify(request: Request, call_next: RequestResponseEndpoint) -> Response:
        given = request.headers.get(REQUEST_ID, "")
        request_id = given if _USABLE.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = await call_next(request)
        response.headers[REQUEST_ID] = request_id
        return response


def methods_of(routes: Iterable[BaseRoute], request: Request) -> str:
    """The methods that an address takes (RFC 9110 10.2.1): several routes may share it."""
    found: set[str] = set()
    for route in routes:
        matched, _ = route.matches(request.scope)
        if matched is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return ", ".join(sorted(found))
