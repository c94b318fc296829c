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
from callcenter.admin.store.work import SYSTEM, Actor, Role, Work

_SECRET = re.compile(r"pcc_([a-z0-9]{8})_[A-Za-z0-9_-]{43}")
_PREFIX = re.compile(r"pcc_[a-z0-9]{8}(?=_)")
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
    temporary: bool

    def good(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def actor(self) -> Actor:
        """Who acts by this key."""
        return Actor(self.name, self.role, self.id, "key")


async def make(
    work: Work, name: str, role: Role, expires_at: datetime | None, *, temporary: bool = False
) -> tuple[str, str]:
    """Makes a key.

    Args:
        work: in whose name.
        name: free, and none of the program's own.
        role: what it may do.
        expires_at: None for no end.
        temporary: whether it ends as soon as another admin gets in.

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
                temporary=temporary,
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
    """Remembers that the key was used now; the first use of an admin's ends the temporary ones."""
    await db.execute(update(_TABLE).where(_TABLE.c.id == key.id).values(last_used_at=now))
    if key.role == "admin" and not key.temporary:
        await end_temporary(Work(db, SYSTEM, now))


async def end_temporary(work: Work) -> None:
    """Revokes keys that were only there until an admin got in by other means."""
    good = _TABLE.c.temporary & _TABLE.c.revoked_at.is_(None)
    good &= _TABLE.c.expires_at > work.now
    for row in (await work.db.execute(select(_TABLE.c.id, _TABLE.c.name).where(good))).all():
        ended = update(_TABLE).where(_TABLE.c.id == row.id).values(revoked_at=work.now)
        await work.db.execute(ended)
        await work.audit("revoke", "api_key", row.name, after={"why": "another admin got in"})


def prefix_of(secret: str) -> str:
    """The part of a secret that lists show; "" for what has not the form of one."""
    found = _PREFIX.match(secret)
    return found[0] if found else ""


def hashed(secret: str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def read(row: Row[Any]) -> ApiKey:
    """A row of the table as a key."""
    fields = row._asdict()
    del fields["secret_hash"]
    return ApiKey(**cast(Any, fields))
