"""API keys: made, listed, revoked. A secret is shown once, when it is made."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, StringConstraints
from sqlalchemy import func, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from callcenter.admin.api.common import ERRORS, Body, Reference, WorkIn
from callcenter.admin.api.pages import Page, WindowIn
from callcenter.admin.problems import conflict, invalid, not_found
from callcenter.admin.security import keys
from callcenter.admin.security.gate import ApiRoute, needs
from callcenter.admin.security.keys import ApiKey
from callcenter.admin.security.names import problem_with
from callcenter.admin.store import tables
from callcenter.admin.store.work import Role, Work

_TABLE = tables.api_keys

routes = APIRouter(prefix="/v1/api_keys", tags=["api_keys"], route_class=ApiRoute, responses=ERRORS)


def _name_of_its_own(name: str) -> str:
    if why := problem_with(name):
        raise ValueError(why)
    return name


class NewKey(Body):
    """What a key is for, and until when."""

    name: Annotated[
        str, StringConstraints(min_length=1, max_length=120), AfterValidator(_name_of_its_own)
    ]
    role: Role
    expires_at: datetime | None = None


class KeyView(BaseModel):
    """A key without its secret.

    Attributes:
        temporary: whether it ends as soon as another admin gets in.
    """

    id: str
    name: str
    role: str
    prefix: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    temporary: bool


class KeyWithSecret(KeyView):
    """A key on the one occasion when its secret is known."""

    secret: str


@routes.get("", openapi_extra=needs("admin"))
async def list_api_keys(work: WorkIn, window: WindowIn) -> Page[KeyView]:
    """All keys, oldest first."""
    query = select(_TABLE).where(_TABLE.c.id > window.after).order_by(_TABLE.c.id)
    found = [keys.read(row) for row in await work.db.execute(query.limit(window.rows))]
    return Page[KeyView](**window.cut(found, _view))


@routes.post(
    "", status_code=HTTPStatus.CREATED, openapi_extra=needs("admin", replays=False, fresh=True)
)
async def create_api_key(body: NewKey, work: WorkIn) -> KeyWithSecret:
    """Makes a key; its secret is in this answer and nowhere else."""
    ends = body.expires_at
    if ends is not None and (ends.tzinfo is None or ends <= work.now):
        raise invalid("give a moment in the future, with its time zone", "/expires_at")
    key_id, secret = await keys.make(work, body.name, body.role, body.expires_at)
    key = await _get(work.db, key_id)
    return KeyWithSecret(**_view(key).model_dump(), secret=secret)


@routes.get("/{reference}", openapi_extra=needs("admin"))
async def get_api_key(reference: Reference, work: WorkIn) -> KeyView:
    """One key."""
    return _view(await _get(work.db, reference))


@routes.delete(
    "/{reference}", status_code=HTTPStatus.NO_CONTENT, openapi_extra=needs("admin", fresh=True)
)
async def revoke_api_key(reference: Reference, work: WorkIn) -> None:
    """Revokes a key and ends its sessions; the last admin's key stays."""
    key = await _get(work.db, reference)
    if key.revoked_at is not None:
        return await work.audit("revoke", "api_key", key.name)
    if key.role == "admin" and key.good(work.now) and not await _other_admins(work, key):
        raise conflict("last_admin", "this is the last key of an admin; make another one first")
    await work.db.execute(update(_TABLE).where(_TABLE.c.id == key.id).values(revoked_at=work.now))
    return await work.audit("revoke", "api_key", key.name, before={"role": key.role})


async def _get(db: AsyncConnection, reference: str) -> ApiKey:
    query = select(_TABLE).where(or_(_TABLE.c.id == reference, _TABLE.c.name == reference))
    row = (await db.execute(query)).first()
    if row is None:
        raise not_found("API key", reference)
    return keys.read(row)


async def _other_admins(work: Work, key: ApiKey) -> int:
    """How many there are beside a key; temporary ones only count beside their like."""
    query = select(func.count()).where(
        _TABLE.c.role == "admin",
        _TABLE.c.id != key.id,
        or_(_TABLE.c.temporary.is_(False), literal(key.temporary)),
        _TABLE.c.revoked_at.is_(None),
        or_(_TABLE.c.expires_at.is_(None), _TABLE.c.expires_at > work.now),
    )
    return int(await work.db.scalar(query) or 0)


def _view(key: ApiKey) -> KeyView:
    fields: dict[str, Any] = {name: getattr(key, name) for name in KeyView.model_fields}
    return KeyView(**fields)
