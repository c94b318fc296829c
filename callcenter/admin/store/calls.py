"""Calls and their events: written from the journal, listed and searched.

A call's row is what its events add up to, so that lists and charts need no events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    and_,
    case,
    func,
    insert,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from callcenter.admin.store import tables
from callcenter.records.journal import Entry

_CALLS, _EVENTS = tables.calls, tables.call_events
_NOTHING: dict[str, Any] = {
    "transport": "",
    "trunk": "",
    "called": "",
    "caller": "",
    "route": "",
    "persona": "",
    "persona_version": "",
    "voice": "",
    "voice_sha256": "",
    "prompt_hash": "",
    "gateway_id": "",
    "worker_id": "",
    "outcome": "",
    "code": "",
    "barge_ins": 0,
    "yields": 0,
    "yield_sum_s": 0.0,
    "turn_gaps": 0,
    "turn_gap_sum_s": 0.0,
    "quality": {},
}
Outcome = Literal[
    "answered", "transferred", "abandoned", "rejected_capacity", "rejected", "failed"
]  # fmt: skip
Order = Literal[
    "-started_at", "started_at", "-duration_s", "duration_s", "-setup_s", "setup_s",
    "-turn_gap_mean_s", "turn_gap_mean_s",
]  # fmt: skip
_UNKNOWN = -1.0  # stands for a time that a call does not have
_KEYS: dict[str, ColumnElement[Any]] = {
    "started_at": type_coerce(_CALLS.c.started_at, BigInteger),
    "duration_s": func.coalesce(_CALLS.c.duration_s, _UNKNOWN),
    "setup_s": func.coalesce(_CALLS.c.setup_s, _UNKNOWN),
    "turn_gap_mean_s": case(
        (_CALLS.c.turn_gaps > 0, _CALLS.c.turn_gap_sum_s / _CALLS.c.turn_gaps), else_=_UNKNOWN
    ),
}
LONGEST_RING = timedelta(minutes=5)  # a carrier's one-time address is good for a minute
Columns = dict[str, Any]


@dataclass(frozen=True)
class Search:
    """What to look for; None and "" look for everything.

    Attributes:
        text: part of a number, the beginning of an id, persona, route or outcome.
        since, until: when the call began.
    """

    text: str = ""
    state: str = ""
    persona: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None


async def put_down(db: AsyncConnection, entries: Sequence[tuple[str, Entry]]) -> list[Entry]:
    """Stores entries of the journal.

    Args:
        db: a writing transaction.
        entries: the journal's id of each, and the entry; some may be known already.

    Returns:
        Those that were not known.
    """
    query = select(_EVENTS.c.id).where(_EVENTS.c.id.in_([key for key, _ in entries]))
    known = {key for (key,) in await db.execute(query)}
    fresh = [(key, entry) for key, entry in entries if key not in known]
    for key, entry in fresh:
        at = datetime.fromtimestamp(entry.at_s, UTC)
        event = {"id": key, "call_id": entry.call_id, "at": at, "kind": entry.kind}
        await db.execute(insert(_EVENTS).values(**event, data=dict(entry.data)))
        await _add_up(db, entry, at)
    return [entry for _, entry in fresh]


async def _add_up(db: AsyncConnection, entry: Entry, at: datetime) -> None:
    """Brings the call's row up to date with one event."""
    row = (await db.execute(select(_CALLS).where(_CALLS.c.id == entry.call_id))).first()
    if row is None:
        first = {**_NOTHING, "id": entry.call_id, "state": "ringing", "started_at": at}
        await db.execute(insert(_CALLS).values(**first))
        row = (await db.execute(select(_CALLS).where(_CALLS.c.id == entry.call_id))).one()
    changes = _CHANGES.get(entry.kind, _no_change)(row._asdict(), entry.data, at)
    if changes:
        await db.execute(update(_CALLS).where(_CALLS.c.id == entry.call_id).values(**changes))


def _announced(row: Columns, data: Mapping[str, Any], at: datetime) -> Columns:
    changes = _texts(data, list(_NOTHING)[:10])
    if row["state"] == "ended":  # one gateway refused it, and the carrier asked another
        changes |= {"state": "ringing", "ended_at": None, "outcome": "", "code": ""}
    return changes


def _refused(row: Columns, data: Mapping[str, Any], at: datetime) -> Columns:
    if row["state"] in ("connecting", "live"):  # a carrier that asks twice of one call
        return {}
    told = ["transport", "trunk", "called", "caller", "gateway_id", "outcome", "code"]
    return {**_texts(data, told), "state": "ended", "ended_at": at, "duration_s": 0.0}


def _began(row: Columns, data: Mapping[str, Any], at: datetime) -> Columns:
    return {**_texts(data, ["gateway_id", "worker_id"]), "state": "connecting"}


def _ready(row: Columns, data: Mapping[str, Any], at: datetime) -> Columns:
    return {"state": "live", "setup_s": _number(data, "setup_s")}


def _sounded(row: Columns, data: Mapping[str, Any], at: datetime) -> Columns:
    return {"first_sound_s": _number(data, "after_s")}


def _turned(row: Columns, data: Mapping[str, Any], at: datetime) -> Columns:
    match data.get("kind"):
        case "BargeIn":
            return {"barge_ins": row["barge_ins"] + 1}
        case "Yielded":
            latency_s = _number(data, "latency_s") or 0.0
            return {"yields": row["yields"] + 1, "yield_sum_s": row["yield_sum_s"] + latency_s}
        case "TurnGap":
            gap_s = _number(data, "gap_s") or 0.0
            sums = row["turn_gap_sum_s"] + gap_s
            return {"turn_gaps": row["turn_gaps"] + 1, "turn_gap_sum_s": sums}
    return {}


def _ended(row: Columns, data: Mapping[str, Any], at: datetime) -> Columns:
    quality = data.get("quality")
    return {
        **_texts(data, ["outcome", "code"]),
        "state": "ended",
        "ended_at": at,
        "duration_s": _number(data, "duration_s"),
        "quality": quality if isinstance(quality, dict) else {},
    }


def _no_change(row: Columns, data: Mapping[str, Any], at: datetime) -> Columns:
    return {}


_CHANGES: dict[str, Callable[[Columns, Mapping[str, Any], datetime], Columns]] = {
    "call_announced": _announced,
    "call_began": _began,
    "session_ready": _ready,
    "first_sound": _sounded,
    "turn": _turned,
    "call_ended": _ended,
    "call_refused": _refused,
}


def _texts(data: Mapping[str, Any], names: Sequence[str]) -> Columns:
    """Those of the names that are there, no longer than their columns."""
    widths = {name: getattr(_CALLS.c[name].type, "length", None) for name in names}
    return {name: str(data[name])[: widths[name]] for name in names if name in data}


def _number(data: Mapping[str, Any], name: str) -> float | None:
    value = data.get(name)
    return float(value) if isinstance(value, int | float) else None  # in 64 bits: see the journal


async def close_forgotten(db: AsyncConnection, begun_before: datetime, now: datetime) -> int:
    """Ends calls whose gateway died with them, or that never got their audio; returns how many.

    Args:
        db: a writing transaction.
        begun_before: longer than any call lasts.
        now: the moment.
    """
    unheard = (_CALLS.c.state == "ringing") & (_CALLS.c.started_at < now - LONGEST_RING)
    gone = {"state": "ended", "ended_at": now, "outcome": "abandoned", "code": "never_connected"}
    left = await db.execute(update(_CALLS).where(unheard).values(**gone))
    forgotten = (_CALLS.c.state != "ended") & (_CALLS.c.started_at < begun_before)
    values = {"state": "ended", "ended_at": now, "outcome": "failed", "code": "gateway_lost"}
    result = await db.execute(update(_CALLS).where(forgotten).values(**values))
    return int(left.rowcount) + int(result.rowcount)


async def get(db: AsyncConnection, call_id: str) -> Columns | None:
    """A call, or None."""
    row = (await db.execute(select(_CALLS).where(_CALLS.c.id == call_id))).first()
    return None if row is None else row._asdict()


async def page(
    db: AsyncConnection,
    search: Search,
    after: tuple[float, str] | None,
    limit: int,
    order: Order = "-started_at",
) -> list[Columns]:
    """Calls that fit, in an order, behind a place in the list (see `place_of`)."""
    key, down = _KEYS[order.removeprefix("-")], order.startswith("-")
    query = select(_CALLS).where(*_conditions(search))
    if after is not None:
        value, call_id = after
        same = and_(key == value, _CALLS.c.id < call_id if down else _CALLS.c.id > call_id)
        query = query.where(or_(key < value if down else key > value, same))
    ways = [key.desc(), _CALLS.c.id.desc()] if down else [key.asc(), _CALLS.c.id.asc()]
    return [row._asdict() for row in await db.execute(query.order_by(*ways).limit(limit))]


def place_of(row: Columns, order: Order) -> tuple[float, str]:
    """Where a call stands in a list of an order."""
    value: float | None
    match order.removeprefix("-"):
        case "started_at":
            value = round(row["started_at"].timestamp() * 1_000)
        case "turn_gap_mean_s":
            value = row["turn_gap_sum_s"] / row["turn_gaps"] if row["turn_gaps"] else None
        case name:
            value = row[name]
    return _UNKNOWN if value is None else value, row["id"]


async def events(db: AsyncConnection, call_id: str, after: str, limit: int) -> list[dict[str, Any]]:
    """A call's events in order, after one of them."""
    query = (
        select(_EVENTS)
        .where(_EVENTS.c.call_id == call_id, _EVENTS.c.id > after)
        .order_by(_EVENTS.c.id)
        .limit(limit)
    )
    return [row._asdict() for row in await db.execute(query)]


async def newest_event(db: AsyncConnection) -> str:
    """Id of the newest event of all calls; "" if there is none."""
    return str(await db.scalar(select(func.max(_EVENTS.c.id))) or "")


def _conditions(search: Search) -> list[ColumnElement[bool]]:
    columns = _CALLS.c
    equal = {"state": search.state, "persona": search.persona, "outcome": search.outcome}
    found: list[ColumnElement[bool]] = [
        columns[name] == value for name, value in equal.items() if value
    ]
    if search.state == "active":
        found[0] = columns.state != "ended"
    if search.since is not None:
        found.append(columns.started_at >= search.since)
    if search.until is not None:
        found.append(columns.started_at < search.until)
    if search.text:
        found.append(
            or_(
                columns.called.contains(search.text, autoescape=True),
                columns.caller.contains(search.text, autoescape=True),
                columns.id.startswith(search.text, autoescape=True),
                columns.persona.startswith(search.text, autoescape=True),
                columns.route.startswith(search.text, autoescape=True),
                columns.outcome.startswith(search.text, autoescape=True),
            )
        )
    return found
