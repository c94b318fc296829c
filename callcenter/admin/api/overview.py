"""What a person looks at first: is it well, how many calls, how fast are answers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    and_,
    case,
    func,
    literal,
    or_,
    select,
    type_coerce,
)

from callcenter.admin.api import alerts
from callcenter.admin.api.alerts import Alert
from callcenter.admin.api.common import ERRORS, WorkIn
from callcenter.admin.api.workers import PoolView, pools_of, workers_of
from callcenter.admin.aside import Aside
from callcenter.admin.problems import Problem
from callcenter.admin.publishing import Publisher
from callcenter.admin.security.gate import ApiRoute
from callcenter.admin.store import tables
from callcenter.admin.store.work import Work

POINTS = 24

_CALLS = tables.calls.c
_REFUSED = or_(  # what a route refuses on purpose is no loss
    _CALLS.outcome == "rejected_capacity",
    and_(_CALLS.outcome == "rejected", _CALLS.code.not_like("route%")),
)
_SETUP_S = _CALLS.setup_s
_TURN_GAP_S = case((_CALLS.turn_gaps > 0, _CALLS.turn_gap_sum_s / _CALLS.turn_gaps))
routes = APIRouter(prefix="/v1", tags=["overview"], route_class=ApiRoute, responses=ERRORS)


class Point(BaseModel):
    """A stretch of the chart.

    Attributes:
        calls: that began in it.
        failed: ended by a fault of ours.
        refused: turned away, for want of room or of a route.
        abandoned: callers who left before the agent was there.
        setup_s: mean time until a call was answered.
        setup_p95_s: 95 of 100 calls were answered within it.
        yield_s: mean time until the agent fell silent for a barge-in.
        turn_gap_s: mean time until the agent answered.
        turn_gap_p95_s: 95 of 100 calls had a mean turn gap of at most that.
    """

    since: datetime
    calls: int
    failed: int
    refused: int
    abandoned: int
    setup_s: float | None
    setup_p95_s: float | None
    barge_ins: int
    yield_s: float | None
    turn_gap_s: float | None
    turn_gap_p95_s: float | None


class FirstSteps(BaseModel):
    """What a new installation needs before somebody can be answered.

    Attributes:
        persona: a persona is published.
        number: a number or a route leads somewhere.
        call: there was a call.
    """

    persona: bool
    number: bool
    call: bool


class Overview(BaseModel):
    """The state of everything.

    Attributes:
        setup_p95_s, turn_gap_p95_s: as in the points, of the whole time.
        revision: of the configuration in the database.
        published_revision: of the one that gateways have; null before the first.
    """

    live_calls: int
    slots: int
    free_slots: int
    pools: list[PoolView]
    points: list[Point]
    setup_p95_s: float | None
    turn_gap_p95_s: float | None
    first_steps: FirstSteps
    alerts: list[Alert]
    revision: int
    published_revision: int | None


@routes.get("/overview")
async def get_overview(
    work: WorkIn,
    request: Request,
    hours: Annotated[int, Query(ge=1, le=168, description="How far the charts go back.")] = 24,
) -> Overview:
    """Live calls, free slots, charts and alerts."""
    publisher: Publisher = request.app.state.publisher
    aside: Aside = request.app.state.aside
    revision = int(await work.db.scalar(select(tables.state.c.revision)) or 0)
    found = [*await alerts.of_voices(work), *await alerts.of_calls(work)]
    found += await alerts.of_webhooks(work)
    pools: list[PoolView] = []
    try:
        pools = pools_of(list(request.app.state.brokers), await workers_of(request))
        found += alerts.of_pools(pools)
    except Problem:  # Redis is away
        found.append(alerts.error("redis_unavailable", "Redis does not answer"))
    found += alerts.of_journal(await aside.count())
    found += alerts.of_tasks(request.app.state.supervisor.trouble())
    if publisher.trouble:
        why = f"changes are not published: {publisher.trouble}"
        found.append(alerts.error("not_published", why))
    live = select(func.count()).select_from(tables.calls).where(_CALLS.state != "ended")
    back = timedelta(hours=hours)
    return Overview(
        live_calls=int(await work.db.scalar(live) or 0),
        slots=sum(pool.slots for pool in pools),
        free_slots=sum(pool.free for pool in pools),
        pools=pools,
        points=await points(work, back),
        setup_p95_s=(await _p95(work, _SETUP_S, literal(0), back)).get(0),
        turn_gap_p95_s=(await _p95(work, _TURN_GAP_S, literal(0), back)).get(0),
        first_steps=await _first_steps(work),
        alerts=found,
        revision=revision,
        published_revision=publisher.published,
    )


async def points(work: Work, back: timedelta) -> list[Point]:
    """The charts: calls of some time until now, in equal stretches."""
    stretch, begin = back / POINTS, work.now - back
    begin_ms = round(begin.timestamp() * 1_000)
    stretch_ms = round(stretch / timedelta(milliseconds=1))
    index = (type_coerce(_CALLS.started_at, BigInteger) - begin_ms) // stretch_ms
    query = (
        select(
            index.label("place"),
            func.count().label("calls"),
            _number_of(_CALLS.outcome == "failed").label("failed"),
            _number_of(_REFUSED).label("refused"),
            _number_of(_CALLS.outcome == "abandoned").label("abandoned"),
            func.avg(_CALLS.setup_s).label("setup_s"),
            func.sum(_CALLS.barge_ins).label("barge_ins"),
            func.sum(_CALLS.yields).label("yields"),
            func.sum(_CALLS.yield_sum_s).label("yield_sum_s"),
            func.sum(_CALLS.turn_gaps).label("turn_gaps"),
            func.sum(_CALLS.turn_gap_sum_s).label("turn_gap_sum_s"),
        )
        .where(_CALLS.started_at >= begin)
        .group_by(index)
    )
    found = {int(row.place): row for row in await work.db.execute(query)}
    setups = await _p95(work, _SETUP_S, index, back)
    gaps = await _p95(work, _TURN_GAP_S, index, back)
    return [
        _point(begin + number * stretch, found.get(number), setups.get(number), gaps.get(number))
        for number in range(POINTS)
    ]


def _number_of(ended_so: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((ended_so, 1), else_=0))


async def _p95(
    work: Work, value: ColumnElement[Any], place: ColumnElement[Any], back: timedelta
) -> dict[int, float]:
    """The 95th percentile of a value by place (nearest rank), of calls of some time until now."""
    ranked = (
        select(
            place.label("place"),
            value.label("value"),
            func.row_number().over(partition_by=place, order_by=value).label("rank"),
            func.count().over(partition_by=place).label("number"),
        )
        .where(_CALLS.started_at >= work.now - back, value.is_not(None))
        .subquery()
    )
    columns = ranked.c
    query = select(columns.place, columns.value).where(
        columns.rank == (columns.number * 95 + 99) // 100
    )
    return {int(row.place): float(row.value) for row in await work.db.execute(query)}


async def _first_steps(work: Work) -> FirstSteps:
    kinds = tables.documents.c
    names = select(kinds.id).where(kinds.kind.in_(["number", "route"])).limit(1)
    published = select(tables.publications.c.id).limit(1)
    called = select(_CALLS.id).limit(1)
    return FirstSteps(
        persona=await work.db.scalar(published) is not None,
        number=await work.db.scalar(names) is not None,
        call=await work.db.scalar(called) is not None,
    )


def _point(
    since: datetime, row: Any, setup_p95_s: float | None, turn_gap_p95_s: float | None
) -> Point:
    if row is None:
        return Point(since=since, calls=0, failed=0, refused=0, abandoned=0, setup_s=None,
                     setup_p95_s=None, barge_ins=0, yield_s=None, turn_gap_s=None,
                     turn_gap_p95_s=None)  # fmt: skip
    return Point(
        since=since,
        calls=row.calls,
        failed=row.failed,
        refused=row.refused,
        abandoned=row.abandoned,
        setup_s=row.setup_s,
        setup_p95_s=setup_p95_s,
        barge_ins=row.barge_ins,
        yield_s=row.yield_sum_s / row.yields if row.yields else None,
        turn_gap_s=row.turn_gap_sum_s / row.turn_gaps if row.turn_gaps else None,
        turn_gap_p95_s=turn_gap_p95_s,
    )
