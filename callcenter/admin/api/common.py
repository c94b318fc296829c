"""What all parts of the API share: the transaction, pages, entity tags, and how errors look."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel

from callcenter.admin.problems import MEDIA_TYPE, Problem, ProblemDetails
from callcenter.admin.store.documents import Record
from callcenter.admin.store.work import Work

Item = TypeVar("Item")

ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "Refused; `code` says why.",
        "model": ProblemDetails,
        "content": {MEDIA_TYPE: {}},
    },
    "5XX": {
        "description": "Not possible now.",
        "model": ProblemDetails,
        "content": {MEDIA_TYPE: {}},
    },
}


class Stamp(BaseModel):
    """What is known of every object besides its content."""

    id: str
    revision: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class Page(BaseModel, Generic[Item]):
    """Some of the items, and where the next ones begin.

    Attributes:
        next_cursor: ask for the next page with it; null at the end.
    """

    items: list[Item]
    next_cursor: str | None


def _work(request: Request) -> Work:
    work: Work = request.state.work
    return work


WorkIn = Annotated[Work, Depends(_work)]
IfMatch = Annotated[str | None, Header(description="ETag that the change is based on.")]
Reference = Annotated[str, Path(min_length=1, max_length=120, description="Id or name.")]
Limit = Annotated[int, Query(ge=1, le=200, description="Items on a page.")]
Cursor = Annotated[
    str, Query(max_length=400, description="`next_cursor` of the page before; empty: the first.")
]


def stamped(record: Record, response: Response | None = None) -> dict[str, Any]:
    """An object as the API shows it; sets the ETag."""
    if response is not None:
        response.headers["ETag"] = record.etag
    return {
        **record.document,
        "name": record.name,
        "id": record.id,
        "revision": record.revision,
        "created_at": record.created_at,
        "created_by": record.created_by,
        "updated_at": record.updated_at,
        "updated_by": record.updated_by,
    }


def encode_cursor(position: str) -> str:
    """A position in a list, opaque to clients."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The position; a Problem (400) if it is not one of ours."""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):  # not base64, not UTF-8
        raise Problem(
            HTTPStatus.BAD_REQUEST, "bad_cursor", "the cursor is none of this API's"
        ) from None


def merge_patch(target: Any, patch: Any) -> Any:
    """Applies a JSON merge patch (RFC 7396): null takes a key out."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
