"""Console sessions: an API key's secret is exchanged for a cookie and a CSRF token.

The cookie is HttpOnly and SameSite=Strict; requests that change something must also carry the CSRF
token in a header, which a page of another origin cannot read: it is derived from the cookie. Only a
hash of the cookie is stored. A revoked or expired key ends its sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from callcenter.admin.security import keys
from callcenter.admin.security.keys import ApiKey, hashed
from callcenter.admin.store import tables

COOKIE = "callcenter_session"
CSRF_HEADER = "X-CSRF-Token"
LIFETIME = timedelta(hours=12)
_TABLE = tables.sessions


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A session that is good now."""

    key: ApiKey
    csrf: str
    expires_at: datetime


async def begin(db: AsyncConnection, key: ApiKey, now: datetime) -> tuple[str, datetime]:
    """Begins a session; returns the cookie's value and when the session ends."""
    cookie = secrets.token_urlsafe(32)
    expires_at = min(now + LIFETIME, key.expires_at or now + LIFETIME)
    await db.execute(delete(_TABLE).where(_TABLE.c.expires_at < now))
    await db.execute(
        insert(_TABLE).values(
            id_hash=hashed(cookie), key_id=key.id, created_at=now, expires_at=expires_at
        )
    )
    return cookie, expires_at


async def find(db: AsyncConnection, cookie: str, now: datetime) -> ConsoleSession | None:
    """The session of a cookie, if it and its key are good."""
    row = (await db.execute(select(_TABLE).where(_TABLE.c.id_hash == hashed(cookie)))).first()
    if row is None or row.expires_at <= now:
        return None
    key = await keys.by_id(db, row.key_id)
    if key is None or not key.good(now):
        return None
    return ConsoleSession(key, csrf_of(cookie), row.expires_at)


async def end(db: AsyncConnection, cookie: str) -> None:
    """Ends a session."""
    await db.execute(delete(_TABLE).where(_TABLE.c.id_hash == hashed(cookie)))


def csrf_of(cookie: str) -> str:
    """The CSRF token that goes with a cookie."""
    return hmac.new(cookie.encode(), b"csrf", hashlib.sha256).hexdigest()
