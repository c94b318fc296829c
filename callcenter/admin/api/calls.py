"""Calls: live ones, the history, what happened in one, and orders to live ones."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, StringConstraints

from callcenter.admin.api.common import ERRORS, WorkIn
from callcenter.admin.api.pages import Cursor, Limit, Page, Window, WindowIn, decode_cursor
from callcenter.admin.problems import Problem, conflict, not_found, redis_unavailable
from callcenter.admin.security.gate import ApiRoute, needs
from callcenter.admin.store import calls
from callcenter.admin.store.calls import Search
from callcenter.admin.store.work import Work
from callcenter.errors import BrokerUnavailable
from callcenter.published.board import Board, Command
from callcenter.published.documents import E164

CallId = Annotated[str, Path(min_length=1, max_length=120)]
Word = Annotated[str, Query(max_length=64)]

routes = APIRouter(prefix="/v1/calls", tags=["calls"], route_class=ApiRoute, responses=ERRORS)


class CallView(BaseModel):
    """A call.

    Attributes:
        transport: twilio, sip or webrtc; "" for calls before it was put down.
        state: ringing, connecting, live or ended.
        persona_version, voice_sha256, route: pinned when the call was claimed.
        outcome, code: how it ended, and why.
        setup_s: from the carrier's first word to media both ways.
        first_sound_s: from media to the agent's first sound.
        yield_mean_s: how fast the agent fell silent when it was interrupted.
        turn_gap_mean_s: how long the caller waited for an answer.
    """

    id: str
    state: str
    started_at: datetime
    ended_at: datetime | None
    transport: str
    trunk: str
    called: str
    caller: str
    route: str
    persona: str
    persona_version: str
    voice: str
    voice_sha256: str
    prompt_hash: str
    gateway_id: str
    worker_id: str
    outcome: str
    code: str
    duration_s: float | None
    setup_s: float | None
    first_sound_s: float | None
    barge_ins: int
    yields: int
    yield_mean_s: float | None
    turn_gaps: int
    turn_gap_mean_s: float | None
    quality: dict[str, Any]


class CallEventView(BaseModel):
    """Something that happened in a call; `kind` says what `data` holds."""

    id: str
    call_id: str
    at: datetime
    kind: str
    data: dict[str, Any]


@routes.get("")
async def list_calls(
    work: WorkIn,
    window: WindowIn,
    q: Annotated[
        str, Query(max_length=120, description="Part of a number; beginning of an id or name.")
    ] = "",
    state: Annotated[
        str, Query(pattern=r"^(|ringing|connecting|live|ended|active)$", description="or active")
    ] = "",
    persona: Word = "",
    outcome: Word = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> Page[CallView]:
    """The history, latest first."""
    search = Search(q, state, persona, outcome, _aware(since), _aware(until))
    found = await calls.page(work.db, search, _place(window.after), window.rows)
    return Page[CallView](**window.cut(found, view, _position))


@routes.get("/{call_id}")
async def get_call(call_id: CallId, work: WorkIn) -> CallView:
    """One call."""
    return view(await _get(work, call_id))


@routes.get("/{call_id}/events")
async def list_call_events(
    call_id: CallId, work: WorkIn, cursor: Cursor = "", limit: Limit = 200
) -> Page[CallEventView]:
    """What happened in a call, in order."""
    await _get(work, call_id)
    window = Window(decode_cursor(cursor), limit)  # a larger page than elsewhere
    found = await calls.events(work.db, call_id, window.after, window.rows)
    page = window.cut(found, lambda event: CallEventView(**event), lambda event: str(event["id"]))
    return Page[CallEventView](**page)


@routes.get(
    "/{call_id}/stream",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Events as they come."}},
)
async def follow_call(call_id: CallId, work: WorkIn, request: Request) -> StreamingResponse:
    """A live call's events as they happen (server-sent events); ends with the call."""
    row = await _get(work, call_id)
    live = row["state"] != "ended"
    source: AsyncIterator[CallEventView] = request.app.state.follow(call_id, live)
    return StreamingResponse(
        _lines(source), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


@routes.post(
    "/{call_id}/hangup",
    status_code=HTTPStatus.ACCEPTED,
    openapi_extra=needs("operator"),
)
async def hang_up_call(call_id: CallId, work: WorkIn, request: Request) -> CallView:
    """Asks the gateway that carries the call to end it."""
    row = await _get(work, call_id)
    if row["state"] == "ended":
        raise conflict("call_ended", "the call has ended already")
    board: Board = request.app.state.board
    try:
        heard = await board.order(Command(call_id, "hangup"))
    except BrokerUnavailable as error:
        raise redis_unavailable(error) from None
    if not heard:
        raise conflict("nobody_listens", "no gateway listens for orders now; try again")
    await work.audit("hang_up", "call", call_id)
    return view(row)


class Transfer(BaseModel):
    """Where the caller goes."""

    model_config = ConfigDict(extra="forbid")

    to: E164


@routes.post(
    "/{call_id}:transfer",
    status_code=HTTPStatus.ACCEPTED,
    openapi_extra=needs("operator"),
)
async def transfer_call(
    call_id: CallId, body: Transfer, work: WorkIn, request: Request
) -> CallView:
    """Hands the caller over to a telephone number; refused where the carrier cannot do that.

    The gateway's TRANSFER_PREFIXES says which numbers are allowed; the one that the call's own
    route hands over to always is.
    """
    row = await _ask_gateway(work, request, call_id, "transfer", body.to, "not_transferred")
    await work.audit("transfer", "call", call_id, after={"to": body.to})
    return view(row)


class Keys(BaseModel):
    """What is pressed, in order (RFC 4733 table 3)."""

    model_config = ConfigDict(extra="forbid")

    keys: Annotated[str, StringConstraints(pattern=r"^[0-9*#A-D]{1,32}$")]


@routes.post("/{call_id}:press", status_code=HTTPStatus.ACCEPTED, openapi_extra=needs("operator"))
async def press_keys(call_id: CallId, body: Keys, work: WorkIn, request: Request) -> CallView:
    """Presses keys at the caller's end (DTMF); refused where the carrier cannot do that."""
    row = await _ask_gateway(work, request, call_id, "press", body.keys, "not_pressed")
    await work.audit("press", "call", call_id, after={"keys": len(body.keys)})
    return view(row)


def view(row: dict[str, Any]) -> CallView:
    """A call as the API shows it."""
    means: dict[str, Any] = {
        "yield_mean_s": row["yield_sum_s"] / row["yields"] if row["yields"] else None,
        "turn_gap_mean_s": row["turn_gap_sum_s"] / row["turn_gaps"] if row["turn_gaps"] else None,
    }
    shown = {name: row[name] for name in CallView.model_fields if name in row}
    return CallView(**shown, **means)


async def _get(work: Work, call_id: str) -> dict[str, Any]:
    row = await calls.get(work.db, call_id)
    if row is None:
        raise not_found("call", call_id)
    return row


async def _ask_gateway(
    work: Work, request: Request, call_id: str, action: str, number: str, refused: str
) -> dict[str, Any]:
    """Has the gateway of a live call do something; the call's row, or a conflict says why not."""
    row = await _get(work, call_id)
    if row["state"] != "live":
        raise conflict("call_not_live", f"the call is {row['state']}; only a live one takes orders")
    board: Board = request.app.state.board
    try:
        why_not = await board.ask(Command(call_id, action, number))
    except BrokerUnavailable as error:
        raise redis_unavailable(error) from None
    if why_not is None:
        raise conflict("nobody_listens", "no gateway carries the call now; try again")
    if why_not:
        raise conflict(refused, f"the call goes on as it was: {why_not}")
    return row


async def _lines(events: AsyncIterator[CallEventView]) -> AsyncIterator[str]:
    async for event in events:
        yield f"id: {event.id}\nevent: {event.kind}\ndata: {event.model_dump_json()}\n\n"
    yield "event: end\ndata: {}\n\n"


def _aware(moment: datetime | None) -> datetime | None:
    """A moment without a zone is UTC."""
    if moment is None:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        moment.timestamp()
    except (ValueError, OverflowError):  # the first and the last day, moved by their zone
        raise Problem(HTTPStatus.BAD_REQUEST, "bad_moment", "the moment is out of range") from None
    return moment


def _position(row: dict[str, Any]) -> str:
    return json.dumps([round(row["started_at"].timestamp() * 1_000), row["id"]])


def _place(position: str) -> tuple[datetime, str] | None:
    if not position:
        return None
    try:
        started_ms, call_id = json.loads(position)
        return datetime.fromtimestamp(started_ms / 1_000, UTC), str(call_id)
    except (ValueError, TypeError, OverflowError, OSError):  # well-formed base64 of something else
        raise Problem(
            HTTPStatus.BAD_REQUEST, "bad_cursor", "the cursor is none of this API's"
        ) from None
