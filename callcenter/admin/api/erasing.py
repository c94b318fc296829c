"""Erasing calls: one by its id, or all of a caller. Live ones are not erased."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, StringConstraints

from callcenter.admin.api.calls import CallId
from callcenter.admin.api.common import ERRORS, Body, WorkIn
from callcenter.admin.erasing import Eraser
from callcenter.admin.problems import conflict, not_found, redis_unavailable
from callcenter.admin.security.gate import ApiRoute, needs
from callcenter.admin.store import calls, erasure
from callcenter.admin.store.work import Work
from callcenter.errors import BrokerUnavailable

routes = APIRouter(prefix="/v1", tags=["calls"], route_class=ApiRoute, responses=ERRORS)


class Caller(Body):
    """Whose calls are erased."""

    number: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]


class Erased(BaseModel):
    """What was erased.

    Attributes:
        more: whether there are more: send the same request again.
        live: calls of that caller that are going on; erase them when they have ended.
    """

    erased: int
    more: bool
    live: int


@routes.delete("/calls/{call_id}", status_code=HTTPStatus.NO_CONTENT, openapi_extra=needs("admin"))
async def erase_call(call_id: CallId, work: WorkIn, request: Request) -> None:
    """Erases a call that has ended: its numbers, words, events and reports to webhooks."""
    row = await calls.get(work.db, call_id)
    if row is None:
        raise not_found("call", call_id)
    if row["state"] != "ended":
        raise conflict("call_live", "the call is going on; end it first")
    await _erase(work, request, [call_id])
    await work.audit("erase", "call", call_id)


# A request body: a number in an address would stand in the logs of every proxy on the way.
@routes.post("/calls:erase", openapi_extra=needs("admin", replays=False))
async def erase_calls_of_caller(body: Caller, work: WorkIn, request: Request) -> Erased:
    """Erases calls from a number, in every way that carriers write it; some hundred at a time."""
    found, live = await erasure.calls_from(work.db, body.number)
    await _erase(work, request, found, body.number)
    await work.audit("erase", "call", "", after={"calls": len(found), "by": "caller"})
    return Erased(erased=len(found), more=len(found) == erasure.BATCH, live=live)


async def _erase(work: Work, request: Request, found: list[str], caller: str | None = None) -> None:
    eraser: Eraser = request.app.state.eraser
    try:
        await eraser.erase(work.db, found, caller)
    except BrokerUnavailable as error:
        raise redis_unavailable(error) from None
