"""Console sessions: whoever proved who they are gets a cookie and a CSRF token.

The cookie is HttpOnly and SameSite=Strict, over https also `__Host-`; requests that change
something must also carry the CSRF token in a header, which a page of another origin cannot read: it
is derived from the cookie. Only a hash of the cookie is stored. A session is a key's or a person's:
a revoked or expired key ends its sessions; a person's newest role is that of all their sessions.

    ends     12 h after the log-in, or when its person was away for the idle time, or when it is
             ended: by its person, by an admin, with its key
    is old   some minutes after the person last proved who they are: then keys and trunks are not
             changed before they did so again
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fastapi import Request
from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from callcenter.admin.ids import new_id
from callcenter.admin.security import keys, people
from callcenter.admin.security.keys import hashed
from callcenter.admin.security.people import Person
from callcenter.admin.store import tables
from callcenter.admin.store.work import Actor

COOKIE = "callcenter_session"
CSRF_HEADER = "X-CSRF-Token"
UNATTENDED_HEADER = "X-Unattended"  # sent by a console that nobody has touched for a minute
LIFETIME = timedelta(hours=12)
SEEN_PRECISION = timedelta(minutes=1)
MAX_AGENT_CHARS = 200
_TABLE = tables.sessions


@dataclass(frozen=True, slots=True)
class Rules:
    """What sessions are judged by.

    Attributes:
        secure: whether the console is reached over https only.
        idle: how long a person may be away.
        fresh: how old a log-in may be before keys and trunks are changed.
        key_login: whether an API key's secret opens the console.
    """

    secure: bool = True
    idle: timedelta = timedelta(hours=1)
    fresh: timedelta = timedelta(minutes=15)
    key_login: bool = True

    @property
    def cookie(self) -> str:
        """The session cookie's name. `__Host-`: no other host and no http page can have set it."""
        return f"__Host-{COOKIE}" if self.secure else COOKIE

    def cookie_of(self, request: Request) -> str:
        """The cookie that a request carries; "" for none."""
        return request.cookies.get(self.cookie, "")


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A session that is good now.

    Attributes:
        actor: the key or the person that it belongs to, with the role that they have now.
        authenticated_at: when the person last proved who they are.
        log_out_url: where the browser goes to end the provider's session too; "" for nowhere.
    """

    id: str
    actor: Actor
    csrf: str
    created_at: datetime
    authenticated_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    log_out_url: str


@dataclass(frozen=True, slots=True)
class Visitor:
    """Where a log-in came from, as its session's owner sees it in the list."""

    address: str
    agent: str

    @staticmethod
    def of(request: Request) -> Visitor:
        """Address and browser of a request."""
        agent = request.headers.get("User-Agent", "")
        shown = "".join(sign for sign in agent if sign.isprintable())
        return Visitor(request.client.host if request.client else "", shown[:MAX_AGENT_CHARS])


async def begin(
    db: AsyncConnection,
    owner: keys.ApiKey | Person,
    visitor: Visitor,
    now: datetime,
    authenticated_at: datetime | None = None,
    log_out_url: str = "",
) -> tuple[str, datetime]:
    """Begins a session; returns the cookie's value and when the session ends."""
    cookie = secrets.token_urlsafe(32)
    key = owner if isinstance(owner, keys.ApiKey) else None
    ends = key.expires_at if key is not None else None
    expires_at = min(now + LIFETIME, ends or now + LIFETIME)
    await db.execute(delete(_TABLE).where(_TABLE.c.expires_at < now))
    await db.execute(
        insert(_TABLE).values(
            id=new_id("ses"),
            cookie_hash=hashed(cookie),
            key_id=key.id if key is not None else None,
            person_id=owner.id if key is None else None,
            created_at=now,
            authenticated_at=authenticated_at or now,
            last_seen_at=now,
            expires_at=expires_at,
            address=visitor.address,
            agent=visitor.agent,
            log_out_url=log_out_url,
        )
    )
    return cookie, expires_at


async def find(
    db: AsyncConnection, cookie: str, now: datetime, rules: Rules
) -> ConsoleSession | None:
    """The session of a cookie, if it and its owner are good."""
    row = (await db.execute(select(_TABLE).where(_TABLE.c.cookie_hash == hashed(cookie)))).first()
    if row is None or row.expires_at <= now or now - row.last_seen_at > rules.idle:
        return None
    actor = await _owner(db, row, now)
    if actor is None:
        return None
    return ConsoleSession(
        id=row.id,
        actor=actor,
        csrf=csrf_of(cookie),
        created_at=row.created_at,
        authenticated_at=row.authenticated_at,
        last_seen_at=row.last_seen_at,
        expires_at=row.expires_at,
        log_out_url=row.log_out_url,
    )


async def _owner(db: AsyncConnection, row: Any, now: datetime) -> Actor | None:
    if row.person_id is not None:
        person = await people.by_id(db, row.person_id)
        return None if person is None else person.actor()
    key = await keys.by_id(db, row.key_id)
    return key.actor() if key is not None and key.good(now) else None


async def put_down_seen(db: AsyncConnection, session_id: str, now: datetime) -> None:
    """Remembers that the session's person was there now."""
    await db.execute(update(_TABLE).where(_TABLE.c.id == session_id).values(last_seen_at=now))


async def put_down_proof(db: AsyncConnection, session_id: str, now: datetime) -> None:
    """Remembers that the session's person proved now who they are."""
    values = {"authenticated_at": now, "last_seen_at": now}
    await db.execute(update(_TABLE).where(_TABLE.c.id == session_id).values(**values))


async def end(db: AsyncConnection, cookie: str) -> None:
    """Ends the session of a cookie, if there is one."""
    await db.execute(delete(_TABLE).where(_TABLE.c.cookie_hash == hashed(cookie)))


async def end_many(db: AsyncConnection, *, owner: str = "", but: str = "") -> int:
    """Ends sessions; returns how many.

    Args:
        db: a writing transaction.
        owner: id of the key or person whose sessions end; "" for everybody's.
        but: id of the session that stays.
    """
    query = delete(_TABLE).where(_TABLE.c.id != but)
    if owner:
        query = query.where(or_(_TABLE.c.key_id == owner, _TABLE.c.person_id == owner))
    return int((await db.execute(query)).rowcount)


def csrf_of(cookie: str) -> str:
    """The CSRF token that goes with a cookie."""
    return hmac.new(cookie.encode(), b"csrf", hashlib.sha256).hexdigest()
