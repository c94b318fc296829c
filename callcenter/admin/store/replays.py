"""Idempotency keys: the answer to a request, kept for its repetition.

The answer is stored in the same transaction as the work, so that there is never one without the
other. Writes come one after the other, so a repetition waits for the first request.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus

from fastapi import Response
from sqlalchemy import delete, insert, select

from callcenter.admin.problems import Problem
from callcenter.admin.store import tables
from callcenter.admin.store.work import Work

KEPT = timedelta(hours=24)
MAX_KEY_CHARS = 128
_KEPT_HEADERS = ("etag", "location", "content-type")
_TABLE = tables.idempotency


async def recall(work: Work, key: str, request_hash: str) -> Response | None:
    """The answer that the key's first request got.

    Raises:
        Problem: the key was used for another request.
    """
    query = select(_TABLE).where(_TABLE.c.actor == work.actor.id, _TABLE.c.key == key)
    row = (await work.db.execute(query)).first()
    if row is None or row.created_at < work.now - KEPT:
        return None
    if row.request_hash != request_hash:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "this Idempotency-Key was used for another request; use a new key for each request",
        )
    headers = {**row.headers, "idempotency-replayed": "true"}
    return Response(row.body, row.status, headers=headers)


async def remember(work: Work, key: str, request_hash: str, response: Response) -> None:
    """Keeps an answer."""
    await _forget(work, key, work.now - KEPT)
    await work.db.execute(
        insert(_TABLE).values(
            actor=work.actor.id,
            key=key,
            request_hash=request_hash,
            status=response.status_code,
            headers={
                name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers
            },
            body=bytes(response.body),
            created_at=work.now,
        )
    )


async def _forget(work: Work, key: str, before: datetime) -> None:
    same = (_TABLE.c.actor == work.actor.id) & (_TABLE.c.key == key)
    await work.db.execute(delete(_TABLE).where(same | (_TABLE.c.created_at < before)))
