"""The browser's doors: the demo page, the widget's files, and the API that the widget speaks.

    GET  /                 the demo page
    GET  /widget/...       the widget: one script tag on any page
    GET  /api/agents       who can be called, and which engine answers
    POST /api/session      {persona} -> visit token, ICE servers
    POST /api/offer        offer -> answer     (Authorization: Bearer <visit token>)
    PATCH /api/offer       late candidates

Any page may read the answers, so that a refusal can be told to its visitor; who may call is
decided by `Visits`, by the page's origin.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, TypeVar

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.middleware.cors import CORSMiddleware

from callcenter import metrics
from callcenter.errors import (
    BrokerUnavailable,
    Draining,
    MessageTooLarge,
    NoCapacity,
    ProtocolError,
    Refused,
    Unauthorized,
)
from callcenter.gateway.quotas import LimitReached
from callcenter.gateway.visits import (
    TRANSPORT,
    OriginRefused,
    TokenUnchecked,
    UnknownPersona,
    Visits,
)
from callcenter.telephony.webrtc.files import WIDGET, FreshFiles
from callcenter.telephony.webrtc.limits import TooManyCalls, TooManyRequests
from callcenter.telephony.webrtc.signaling import Candidates, NoRestart, Offer

MAX_BODY_BYTES = 65_536
DEMO_PAGE_HEADERS = {
    "Cache-Control": "no-cache",
    # In another site's frame, the page would lend that site its origin, which may place calls.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
}

_STATUS: dict[type[Exception], HTTPStatus] = {
    OriginRefused: HTTPStatus.FORBIDDEN,
    TokenUnchecked: HTTPStatus.SERVICE_UNAVAILABLE,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    UnknownPersona: HTTPStatus.NOT_FOUND,
    NoRestart: HTTPStatus.CONFLICT,
    TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    TooManyCalls: HTTPStatus.TOO_MANY_REQUESTS,
    NoCapacity: HTTPStatus.SERVICE_UNAVAILABLE,
    Draining: HTTPStatus.SERVICE_UNAVAILABLE,
    LimitReached: HTTPStatus.SERVICE_UNAVAILABLE,
    BrokerUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    MessageTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ProtocolError: HTTPStatus.BAD_REQUEST,
}

Body = TypeVar("Body", bound=BaseModel)

log = structlog.get_logger(__name__)


class SessionRequest(BaseModel):
    """A page asks for a call."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    persona: Annotated[str, Field(min_length=1, max_length=100)]


def create_app(visits: Visits, engines: Callable[[], list[str]]) -> FastAPI:
    """The doors as an application of their own, to be mounted behind all other routes.

    Args:
        visits: the calls.
        engines: kinds of engine that answer now.
    """
    app = FastAPI(title="Browser calls", openapi_url=None)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],  # no cookies are used; see the module's docstring
        allow_methods=["GET", "POST", "PATCH"],
        allow_headers=["Authorization", "Content-Type"],
        expose_headers=["Retry-After"],
    )
    for kind in (Refused, BrokerUnavailable, ProtocolError):
        app.add_exception_handler(kind, _refusal)

    @app.get("/")
    async def demo_page() -> Response:
        """The demo page."""
        return FileResponse(WIDGET / "index.html", headers=DEMO_PAGE_HEADERS)

    @app.get("/api/agents")
    async def agents() -> dict[str, object]:
        """Who can be called, and by which engines they are answered."""
        return {
            "engines": engines(),
            "agents": [
                {"persona": name, "title": route.persona.title, "language": route.persona.language}
                for name, route in visits.routes.items()
            ],
        }

    @app.post("/api/session")
    async def session(request: Request) -> dict[str, object]:
        """Allows the page one call."""
        wanted = await _read(request, SessionRequest)
        grant = visits.grant(wanted.persona, _origin(request), _address(request))
        return {
            "token": grant.token,
            "expires_in_s": grant.expires_in_s,
            "ice_servers": [server.as_json() for server in grant.ice_servers],
            "title": grant.title,
            "max_call_s": grant.max_call_s,
            "phone": grant.phone,
        }

    @app.post("/api/offer")
    async def offer(request: Request) -> dict[str, str]:
        """Begins the call."""
        token = _bearer(request)
        body = await _read(request, Offer)
        answer = await visits.connect(body, token, _origin(request), _address(request))
        return answer.model_dump()

    @app.patch("/api/offer")
    async def candidates(request: Request) -> dict[str, str]:
        """Adds the browser's late addresses."""
        await visits.add_candidates(await _read(request, Candidates), _origin(request))
        return {"status": "success"}

    app.mount("/widget", FreshFiles(directory=WIDGET))
    return app


async def _read(request: Request, model: type[Body]) -> Body:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise MessageTooLarge(f"a body of more than {MAX_BODY_BYTES} bytes")
    try:
        return model.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "body"
        raise ProtocolError(f"{place}: {first['msg']}") from None


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("no visit token: send it as Authorization: Bearer <token>")
    return token.strip()


def _origin(request: Request) -> str:
    """The page's origin; browsers send it with every POST and PATCH."""
    return request.headers.get("origin", "")


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


async def _refusal(_: Request, trouble: Exception) -> JSONResponse:
    status = next(code for kind, code in _STATUS.items() if isinstance(trouble, kind))
    code = trouble.code if isinstance(trouble, Refused) else status.phrase.lower().replace(" ", "_")
    log.warning("request_refused", code=code, detail=str(trouble))
    metrics.REFUSALS.labels(TRANSPORT, code).inc()
    headers = {}
    if isinstance(trouble, TooManyRequests):
        headers["Retry-After"] = str(math.ceil(trouble.retry_after_s))
    return JSONResponse({"code": code, "message": str(trouble)}, status, headers)
