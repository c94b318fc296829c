"""One request's transaction: who does it, when, and the audit log that goes with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import case, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from callcenter.admin.ids import new_id
from callcenter.admin.store import tables

Role = Literal["viewer", "operator", "admin"]
ActorKind = Literal["key", "person", "system", "nobody"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something.

    Attributes:
        name: of the API key or the person, or of the part of this program that acts by itself.
        id: of the API key or the person; "" for the program itself and for nobody.
        kind: what has that name; names alone could be made to look alike.
    """

    name: str
    role: Role
    id: str = ""
    kind: ActorKind = "system"

    def may(self, role: Role) -> bool:
        """Whether this is at least the role."""
        return ROLES.index(self.role) >= ROLES.index(role)


SYSTEM = Actor("system", "admin")
NOBODY = Actor("nobody", "viewer", kind="nobody")


@dataclass
class Work:
    """A transaction in somebody's name.

    Attributes:
        address: where the request came from.
        audited: entries written to the audit log so far.
        publishes: whether gateways must learn of what changed.
    """

    db: AsyncConnection
    actor: Actor
    now: datetime
    address: str = ""
    audited: int = 0
    publishes: bool = False

    async def audit(
        self, action: str, kind: str, name: str, *, before: Any = None, after: Any = None
    ) -> None:
        """Puts down what was done; without it a write is not committed."""
        self.audited += 1
        await self.db.execute(
            insert(tables.audit).values(
                id=new_id("aud"),
                at=self.now,
                actor=self.actor.name,
                actor_id=self.actor.id,
                actor_kind=self.actor.kind,
                role=self.actor.role,
                address=self.address,
                action=action,
                object_kind=kind,
                object_name=name,
                before=before,
                after=after,
            )
        )

    async def bump(self) -> None:
        """Marks the configuration as changed: its revision grows, also past a lost database's."""
        self.publishes = True
        following = tables.state.c.revision + 1
        now_ms = round(self.now.timestamp() * 1_000)
        grown = case((following > now_ms, following), else_=now_ms)
        await self.db.execute(update(tables.state).values(revision=grown))
