"""People who come over the OpenID provider: known by issuer and subject, which never change.

Name and role are what the provider said at the last log-in. No password is kept here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from callcenter.admin.ids import new_id
from callcenter.admin.store import tables
from callcenter.admin.store.work import Actor, Role

_TABLE = tables.people


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom the provider vouched for."""

    id: str
    name: str
    role: Role

    def actor(self) -> Actor:
        """Who acts."""
        return Actor(self.name, self.role, self.id, "person")


async def put_down(
    db: AsyncConnection, issuer: str, subject: str, name: str, role: Role, now: datetime
) -> Person:
    """The person of a log-in, with the name and role that the provider gives them now."""
    same = (_TABLE.c.issuer == issuer) & (_TABLE.c.subject == subject)
    person_id = await db.scalar(select(_TABLE.c.id).where(same))
    said = {"name": name, "role": role, "last_login_at": now}
    if person_id is None:
        person_id = new_id("per")
        first = {"id": person_id, "issuer": issuer, "subject": subject, "created_at": now}
        await db.execute(insert(_TABLE).values(**first, **said))
    else:
        await db.execute(update(_TABLE).where(same).values(**said))
    return Person(person_id, name, role)


async def by_id(db: AsyncConnection, person_id: str) -> Person | None:
    """The person with that id, if any."""
    columns = (_TABLE.c.id, _TABLE.c.name, _TABLE.c.role)
    row = (await db.execute(select(*columns).where(_TABLE.c.id == person_id))).first()
    return None if row is None else Person(row.id, row.name, cast(Role, row.role))
