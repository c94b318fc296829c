"""Errors of the API in the form of RFC 9457 (application/problem+json).

    {"type": "urn:callcenter:problem:stale_etag", "title": ..., "status": 412,
     "detail": what was wrong and what to do, "code": "stale_etag", "errors": [...]}

`code` is stable: programs tell errors apart by it. This module knows no route and no database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

import structlog
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError

from callcenter.admin.mistakes import explained
from callcenter.errors import CallcenterError

CODES = (
    # the request
    "invalid", "bad_request", "bad_json", "bad_text", "bad_cursor", "bad_moment",
    "body_too_large", "not_found", "method_not_allowed", "unusable_prompt", "leads_nowhere",
    # who asks
    "unauthorized", "role_too_low", "csrf", "log_in_again", "no_session", "other_way",
    "key_login_off", "last_admin", "rate_limited",
    # what it was based on
    "stale_etag", "if_match_required", "bad_idempotency_key", "idempotency_key_reused",
    "name_taken", "in_use", "archived", "version_in_use", "nothing_to_roll_back",
    # calls
    "call_ended", "call_live", "call_not_live", "nobody_listens", "not_transferred",
    "not_pressed",
    # voices
    "bad_audio", "bad_length", "clip_known", "no_consent", "voice", "voice_gone",
    # not now
    "redis_unavailable", "database_unavailable", "files_are_read", "too_many_streams",
)  # fmt: skip
MEDIA_TYPE = "application/problem+json"

log = structlog.get_logger(__name__)


class FieldError(BaseModel):
    """One mistake in a request.

    Attributes:
        pointer: where it is (JSON pointer, RFC 6901); empty for the whole.
        detail: what is wrong and what to do.
    """

    pointer: str
    detail: str


class ProblemDetails(BaseModel):
    """The body of every error (RFC 9457).

    Attributes:
        type: a URN that ends in `code`.
        title: the status in words.
        status: the HTTP status, again.
        detail: what was wrong and what to do, for people.
        code: stable; programs tell errors apart by it.
        errors: every mistake in the request, at its place.
        users: what uses a thing that cannot be deleted.
    """

    type: str
    title: str
    status: int
    detail: str
    code: Annotated[str, Field(json_schema_extra={"enum": list(CODES)})]
    errors: list[FieldError] = []
    users: list[str] = []


@dataclass
class Problem(CallcenterError):
    """A request that is refused.

    Attributes:
        code: stable.
        detail: for people; what to do about it.
        errors: mistakes by field.
        users: what uses a thing that cannot be deleted.
        retry_after_s: when to try again, if that helps.
    """

    status: HTTPStatus
    code: str
    detail: str
    errors: Sequence[FieldError] = ()
    users: Sequence[str] = ()
    retry_after_s: int | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"

    def response(self) -> JSONResponse:
        """The problem as an HTTP response."""
        body = ProblemDetails(
            type=f"urn:callcenter:problem:{self.code}",
            title=self.status.phrase,
            status=self.status,
            detail=self.detail,
            code=self.code,
            errors=list(self.errors),
            users=list(self.users),
        )
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        if self.status is HTTPStatus.UNAUTHORIZED:  # RFC 9110 11.6.1 asks for it
            headers["WWW-Authenticate"] = 'Bearer realm="admin"'
        return JSONResponse(body.model_dump(), self.status, headers=headers, media_type=MEDIA_TYPE)


def not_found(kind: str, name: str) -> Problem:
    """There is nothing of that name."""
    return Problem(HTTPStatus.NOT_FOUND, "not_found", f"there is no {kind} '{name}'")


def invalid(detail: str, pointer: str = "", code: str = "invalid") -> Problem:
    """Well-formed, but it cannot be done."""
    errors = [FieldError(pointer=pointer, detail=detail)]
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, code, detail, errors)


def conflict(code: str, detail: str, users: Sequence[str] = ()) -> Problem:
    """It clashes with what is there."""
    return Problem(HTTPStatus.CONFLICT, code, detail, users=users)


def redis_unavailable(error: Exception) -> Problem:
    """Redis is away."""
    log.warning("redis_unavailable", detail=str(error))
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "redis_unavailable",
        "Redis does not answer; try again in a few seconds",
        retry_after_s=5,
    )


def from_validation(error: ValidationError | Any, place: str = "") -> Problem:
    """Every mistake that a model found, at its place.

    Args:
        error: anything with pydantic's `errors()`.
        place: JSON pointer of what the model read.
    """
    errors = [
        FieldError(pointer=place + pointer(item["loc"]), detail=explained(item))
        for item in error.errors()
    ]
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    detail = f"{first.pointer}: {first.detail}{more}" if first.pointer else first.detail + more
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail, errors)


def pointer(location: Sequence[Any]) -> str:
    """RFC 6901 pointer of a location."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in location)
