"""Trunks, numbers, routes, schedules and limits: five kinds of documents, one way to handle them.

A document is refused when it leads nowhere (an unknown name, a schedule that never opens, a route
that no call can reach), and is not deleted while another one uses it.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Response
from pydantic import ValidationError

from callcenter.admin.api.common import (
    ERRORS,
    IfMatch,
    Reference,
    Stamp,
    WorkIn,
    get_tagged,
    merge_patch,
    stamped,
)
from callcenter.admin.api.pages import Page, WindowIn, list_documents
from callcenter.admin.problems import conflict, from_validation, invalid
from callcenter.admin.security.gate import ApiRoute, needs
from callcenter.admin.store import documents
from callcenter.admin.store.configuration import MODELS, load
from callcenter.admin.store.documents import Record
from callcenter.admin.store.work import Work
from callcenter.published import documents as published
from callcenter.published.documents import AnyDocument
from callcenter.published.references import problem_with, users_of
from callcenter.published.trunk import Trunk


class TrunkView(Trunk, Stamp):
    """A trunk as it is stored."""


class NumberView(published.Number, Stamp):
    """A number as it is stored."""


class RouteView(published.Route, Stamp):
    """A route as it is stored."""


class ScheduleView(published.Schedule, Stamp):
    """A schedule as it is stored."""


class LimitView(published.Limit, Stamp):
    """A limit as it is stored."""


VIEWS: dict[str, type[Stamp]] = {
    "trunk": TrunkView,
    "number": NumberView,
    "route": RouteView,
    "schedule": ScheduleView,
    "limit": LimitView,
}


async def store_new(work: Work, kind: str, document: AnyDocument) -> Record:
    """Stores a new document; a Problem if it leads nowhere or its name is taken."""
    await check_use(work, document)
    await work.bump()
    return await documents.create(work, kind, document.name, document.model_dump(mode="json"))


async def store_changed(work: Work, record: Record, document: AnyDocument) -> Record:
    """Stores a document's new form; a Problem if it leads nowhere or was changed meanwhile."""
    if document.name != record.name:
        await check_unused(work, record)
    await check_use(work, document)
    await work.bump()
    return await documents.change(work, record, document.model_dump(mode="json"))


async def check_use(work: Work, document: AnyDocument) -> None:
    """Refuses a document that leads nowhere; a Problem (422)."""
    pointer, why = problem_with(await load(work.db), document, work.now)
    if why:
        raise invalid(why, pointer, "leads_nowhere")


async def check_unused(work: Work, record: Record) -> None:
    """Refuses while another document uses this one by its name; a Problem (409)."""
    users = users_of(await load(work.db), record.kind, record.name)
    if users:
        raise conflict(
            "in_use", f"{record.kind} '{record.name}' is used by {', '.join(users)}", users
        )


def parse(kind: str, data: dict[str, Any]) -> AnyDocument:
    """Reads a document strictly; a Problem (422)."""
    try:
        return MODELS[kind].model_validate(data)
    except ValidationError as error:
        raise from_validation(error) from None


def router(kind: str) -> APIRouter:
    """The routes of one kind of documents."""
    plural = f"{kind}s"
    view, model = VIEWS[kind], MODELS[kind]
    # An operator runs the floor: opening hours are theirs, where calls go is not.
    # Who moves a trunk moves all its calls: that takes a fresh log-in.
    role = "operator" if kind == "schedule" else "admin"
    writes = needs(role, fresh=True) if kind == "trunk" else needs(role)
    routes = APIRouter(
        prefix=f"/v1/{plural}", tags=[plural], route_class=ApiRoute, responses=ERRORS
    )

    async def list_all(work: WorkIn, window: WindowIn) -> Any:
        """A page of them, oldest first."""
        return await list_documents(work, kind, window)

    async def create(body: Any, work: WorkIn, response: Response) -> Any:
        """Creates one."""
        record = await store_new(work, kind, body)
        response.headers["Location"] = f"/v1/{plural}/{record.id}"
        return stamped(record, response)

    async def get(reference: Reference, work: WorkIn, response: Response) -> Any:
        """One of them."""
        return stamped(await documents.get(work.db, kind, reference), response)

    async def patch(
        reference: Reference,
        body: dict[str, Any],
        work: WorkIn,
        response: Response,
        if_match: IfMatch = None,
    ) -> Any:
        """Changes one by a merge patch: null takes a key out."""
        record = await get_tagged(work, kind, reference, if_match)
        changed = parse(kind, merge_patch(record.document, body))
        return stamped(await store_changed(work, record, changed), response)

    async def remove(reference: Reference, work: WorkIn, if_match: IfMatch = None) -> None:
        """Deletes one that nothing uses."""
        record = await get_tagged(work, kind, reference, if_match)
        await check_unused(work, record)
        await work.bump()
        await documents.remove(work, record)

    create.__annotations__["body"] = model  # only known here, and FastAPI reads it from here

    def add(path: str, handler: Callable[..., Any], method: str, name: str, **more: Any) -> None:
        extra: dict[str, Any] = {} if method == "GET" else {"openapi_extra": writes}
        operation = f"{name}_{plural if name == 'list' else kind}"
        routes.add_api_route(path, handler, methods=[method], name=operation, **extra, **more)

    add("", list_all, "GET", "list", response_model=Page[view])  # type: ignore[valid-type]
    add("", create, "POST", "create", response_model=view, status_code=HTTPStatus.CREATED)
    add("/{reference}", get, "GET", "get", response_model=view)
    add("/{reference}", patch, "PATCH", "change", response_model=view)
    add("/{reference}", remove, "DELETE", "delete", status_code=HTTPStatus.NO_CONTENT)
    return routes
