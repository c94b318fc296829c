"""Calls: live ones, the history, what happened in one, and orders to live ones."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from callcenter.admin.api.common import ERRORS, WorkIn
from callcenter.admin.api.pages import Cursor, Limit, Page, Window, WindowIn, decode_cursor
from callcenter.admin.api.watching import EventStream
from callcenter.admin.problems import Problem, conflict, not_found, redis_unavailable
from callcenter.admin.security.gate import ApiRoute, Gate, needs
from callcenter.admin.security.watch import LOOK_EVERY_S, while_allowed
from callcenter.admin.store import calls
from callcenter.admin.store.calls import Order, Outcome, Search
from callcenter.admin.store.work import Work
from callcenter.errors import BrokerUnavailable
from callcenter.published.board import Board, Command
from callcenter.published.documents import E164

CallId = Annotated[str, Path(min_length=1, max_length=120)]
_FARTHEST = 2.0**53  # of a place in a list; larger numbers are none of ours

routes = APIRouter(prefix="/v1/calls", tags=["calls"], route_class=ApiRoute, responses=ERRORS)


def _enum(*values: str) -> Any:
    """The values that there are, for readers; rows of earlier releases may hold another one."""
    return Field(json_schema_extra={"enum": list(values)})


class CallView(BaseModel):
    """A call.

    Attributes:
        id: the carrier's name of it, or one of ours that begins with its transport.
        state: how it stands now.
        started_at: when the carrier first spoke of it.
        ended_at: when it was over; null before.
        transport: how it came in; empty for calls of earlier releases.
        trunk: name of the trunk it came over.
        called: the number that was dialled, or the persona that a web page called.
        caller: who called, as the carrier says; empty if the number was withheld.
        route: name of the route that took it; empty for a number with a persona of its own.
        persona: name of who answered.
        persona_version: number of the version that answered; 0 for a draft.
        voice: name of the voice that spoke.
        voice_sha256: hash of that voice's clip, pinned when the call came in.
        prompt_hash: hash of the prompt, pinned when the call came in.
        gateway_id: the gateway that carried it.
        worker_id: the worker that answered it.
        outcome: how it ended; empty before.
        code: why it ended, short and stable, such as hangup, no_capacity or no_route.
        duration_s: length in seconds; null before the end.
        setup_s: seconds from the carrier's first word to media both ways.
        first_sound_s: seconds from media to the agent's first sound.
        barge_ins: how often the caller interrupted the agent.
        yields: how often the agent fell silent for it.
        yield_mean_s: mean seconds until it fell silent.
        turn_gaps: how often the agent answered.
        turn_gap_mean_s: mean seconds that the caller waited for an answer.
        quality: packets, frames and seconds of talk, as the gateway counted them.
    """

    id: str
    state: Annotated[str, _enum("ringing", "connecting", "live", "ended")]
    started_at: datetime
    ended_at: datetime | None
    transport: Annotated[str, _enum("", "twilio", "sip", "webrtc")]
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
    outcome: Annotated[str, _enum("", *get_args(Outcome))]
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
    """Something that happened in a call; `kind` says what `data` holds.

    Attributes:
        id: sorts events of all calls by time.
        call_id: of the call.
        at: when.
        kind: such as call_announced, session_ready, speech, turn, text, call_ended, call_refused.
        data: numbers and words of that kind; seconds end in `_s`.
    """

    id: str
    call_id: str
    at: datetime
    kind: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Filters:
    """What a list of calls is narrowed to."""

    search: Search
    order: Order


def _filters(
    q: Annotated[
        str, Query(max_length=120, description="Part of a number; beginning of an id or name.")
    ] = "",
    state: Annotated[
        Literal["", "ringing", "connecting", "live", "ended", "active"],
        Query(description="`active`: not ended yet."),
    ] = "",
    persona: Annotated[str, Query(max_length=64, description="Name of the persona.")] = "",
    outcome: Annotated[Literal["", Outcome], Query(description="How it ended.")] = "",
    since: Annotated[datetime | None, Query(description="Began then or later.")] = None,
    until: Annotated[datetime | None, Query(description="Began before then.")] = None,
    sort: Annotated[
        Order, Query(description="Field to order by; with - the largest or latest first.")
    ] = "-started_at",
) -> Filters:
    return Filters(Search(q, state, persona, outcome, _aware(since), _aware(until)), sort)


FiltersIn = Annotated[Filters, Depends(_filters)]


@routes.get("")
async def list_calls(work: WorkIn, window: WindowIn, filters: FiltersIn) -> Page[CallView]:
    """The history, latest first unless `sort` says otherwise."""
    after = _place(window.after)
    found = await calls.page(work.db, filters.search, after, window.rows, filters.order)
    position = partial(_position, filters.order)
    return Page[CallView](**window.cut(found, view, position))


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
    """A live call's events as they happen (server-sent events).

    Ends with the call, and within seconds when the key is revoked or the session ends.
    """
    row = await _get(work, call_id)
    live = row["state"] != "ended"
    source: AsyncIterator[CallEventView] = request.app.state.follow(call_id, live)
    gate: Gate = request.app.state.gate
    allowed = while_allowed(source, lambda: gate.still_may(request, "viewer"), LOOK_EVERY_S)
    return EventStream(_lines(allowed, live), request.app.state.watchers, work.actor.id)


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
    """Where the caller goes.

    Attributes:
        to: a telephone number with its country code.
    """

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
    """What is pressed, in order (RFC 4733 table 3).

    Attributes:
        keys: 0 to 9, *, # and A to D; at most 32.
    """

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


async def _lines(events: AsyncIterator[CallEventView], live: bool) -> AsyncIterator[str]:
    """Says "end" at the end of the call; a view that ends before it is asked for again."""
    async for event in events:
        live = live and event.kind != "call_ended"
        yield f"id: {event.id}\nevent: {event.kind}\ndata: {event.model_dump_json()}\n\n"
    if not live:
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


def _position(order: Order, row: dict[str, Any]) -> str:
    return json.dumps(calls.place_of(row, order))


def _place(position: str) -> tuple[float, str] | None:
    if not position:
        return None
    try:
        value, call_id = json.loads(position)
        if not math.isfinite(value) or abs(value) > _FARTHEST:
            raise ValueError
        return value, str(call_id)
    except (ValueError, TypeError, OverflowError):  # well-formed base64 of something else
        raise Problem(
            HTTPStatus.BAD_REQUEST, "bad_cursor", "the cursor is none of this API's"
        ) from None
