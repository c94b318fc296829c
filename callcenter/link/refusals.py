"""How a refusal travels: as an HTTP status before the upgrade, as an error message after it.

    error               code             HTTP
    Unauthorized        unauthorized     401
    StaleClaim          stale_claim      409   another epoch, or a newer claim of the same call
    NoCapacity          no_capacity      503
    Draining            draining         503
    PromptRefused       prompt_rejected   -    voice or role text cannot be used
    SessionFailed       engine_failed     -    the engine lost this session, or an unknown code

The code, not the status, is what the other side goes by. This module opens no connection.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from callcenter.errors import Draining, NoCapacity, Refused, Unauthorized


class StaleClaim(Unauthorized):
    """The claim was overtaken: the worker restarted, or a newer claim of the call exists."""

    code = "stale_claim"


class PromptRefused(Refused):
    """The engine can't use the voice or the role text; another worker couldn't either."""

    code = "prompt_rejected"


class SessionFailed(Refused):
    """The worker gave the session up."""

    code = "engine_failed"


_BY_CODE: dict[str, type[Refused]] = {
    kind.code: kind
    for kind in (Unauthorized, StaleClaim, NoCapacity, Draining, PromptRefused, SessionFailed)
}
_STATUS = {
    Unauthorized.code: HTTPStatus.UNAUTHORIZED,
    StaleClaim.code: HTTPStatus.CONFLICT,
    NoCapacity.code: HTTPStatus.SERVICE_UNAVAILABLE,
    Draining.code: HTTPStatus.SERVICE_UNAVAILABLE,
}


def http_status(refusal: Refused) -> HTTPStatus:
    """The status that goes with a refusal; 403 for those without one of their own."""
    return _STATUS.get(refusal.code, HTTPStatus.FORBIDDEN)


def http_body(refusal: Refused) -> str:
    """The JSON body that goes with a refusal."""
    return json.dumps({"code": refusal.code, "message": str(refusal)}) + "\n"


def from_http(status: int, body: bytes) -> Refused:
    """Reads a refused upgrade; what no worker wrote (a proxy's page) becomes SessionFailed."""
    try:
        answer = json.loads(body)
        return from_code(str(answer["code"]), str(answer["message"]))
    except (ValueError, KeyError, TypeError):
        return SessionFailed(f"the worker's address answered HTTP {status}, not a worker's refusal")


def from_code(code: str, message: str) -> Refused:
    """Makes the exception that belongs to a code."""
    return _BY_CODE.get(code, SessionFailed)(message)
