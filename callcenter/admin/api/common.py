"""What all parts of the API share: the transaction, entity tags, patches, and how errors look."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Request, Response
from pydantic import BaseModel, ConfigDict

from callcenter.admin.problems import MEDIA_TYPE, ProblemDetails
from callcenter.admin.store import documents
from callcenter.admin.store.documents import Record
from callcenter.admin.store.work import Work

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


class Body(BaseModel):
    """What a client sends; keys that nobody knows are refused."""

    model_config = ConfigDict(extra="forbid")


class Stamp(BaseModel):
    """What is known of every object besides its content."""

    id: str
    revision: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


def _work(request: Request) -> Work:
    work: Work = request.state.work
    return work


WorkIn = Annotated[Work, Depends(_work)]
IfMatch = Annotated[str | None, Header(description="ETag that the change is based on.")]
Reference = Annotated[str, Path(min_length=1, max_length=120, description="Id or name.")]


async def get_tagged(work: Work, kind: str, reference: str, if_match: str | None) -> Record:
    """The document that a change is based on; a Problem if it is gone or was changed meanwhile."""
    record = await documents.get(work.db, kind, reference)
    documents.check_tag(record, if_match)
    return record


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
