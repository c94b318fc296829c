"""API keys: made once, shown once, stored as a hash.

    pcc_<prefix>_<secret>      prefix: 8 characters, shown in lists; secret: 256 random bits

A secret of that size cannot be guessed, so a plain SHA-256 keeps it as well as a slow hash would,
and costs nothing on every request.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from callcenter.admin.ids import new_id
from callcenter.admin.problems import conflict
from callcenter.admin.store import tables
from callcenter.admin.store.work import Actor, Role, Work

_SECRET = re.compile(r"pcc_([a-z0-9]{8})_[A-Za-z0-9_-]{43}")
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
LAST_USE_PRECISION_S = 60.0
_TABLE = tables.api_keys


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret."""

    id: str
    name: str
    role: Role
    prefix: str
    revision: int
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    def good(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def actor(self) -> Actor:
        """Who acts by this key."""
        return Actor(self.name, self.role, self.id)


async def make(work: Work, name: str, role: Role, expires_at: datetime | None) -> tuple[str, str]:
    """Makes a key.

    Returns:
        Its id, and the secret, which is nowhere else.

    Raises:
        Problem: the name is taken.
    """
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    secret, key_id = f"pcc_{prefix}_{secrets.token_urlsafe(32)}", new_id("key")
    try:
        await work.db.execute(
            insert(_TABLE).values(
                id=key_id,
                name=name,
                role=role,
                prefix=prefix,
                secret_hash=hashed(secret),
                revision=1,
                created_at=work.now,
                created_by=work.actor.name,
                expires_at=expires_at,
            )
        )
    except IntegrityError:
        raise conflict("name_taken", f"there is a key named '{name}' already") from None
    after = {"role": role, "prefix": prefix, "expires_at": expires_at and expires_at.isoformat()}
    await work.audit("create", "api_key", name, after=after)
    return key_id, secret


async def by_secret(db: AsyncConnection, secret: str, now: datetime) -> ApiKey | None:
    """The good key with that secret, if any."""
    form = _SECRET.fullmatch(secret)
    if form is None:
        return None
    row = (await db.execute(select(_TABLE).where(_TABLE.c.prefix == form[1]))).first()
    if row is None or not hmac.compare_digest(row.secret_hash, hashed(secret)):
        return None
    key = read(row)
    return key if key.good(now) else None


async def by_id(db: AsyncConnection, key_id: str) -> ApiKey | None:
    """The key with that id, if any."""
    row = (await db.execute(select(_TABLE).where(_TABLE.c.id == key_id))).first()
    return None if row is None else read(row)


def use_is_news(key: ApiKey, now: datetime) -> bool:
    """Whether the use of a key must be put down; not more than once a minute."""
    last = key.last_used_at
    return last is None or (now - last).total_seconds() > LAST_USE_PRECISION_S


async def put_down_use(db: AsyncConnection, key: ApiKey, now: datetime) -> None:
    """Remembers that the key was used now."""
    await db.execute(update(_TABLE).where(_TABLE.c.id == key.id).values(last_used_at=now))


def hashed(secret: str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def read(row: Row[Any]) -> ApiKey:
    """A row of the table as a key."""
    fields = row._asdict()
    del fields["secret_hash"]
    return ApiKey(**cast(Any, fields))
