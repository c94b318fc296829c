"""What a person looks at first: is it well, how many calls, how fast are answers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from sqlalchemy import BigInteger, case, func, select, type_coerce

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
routes = APIRouter(prefix="/v1", tags=["overview"], route_class=ApiRoute, responses=ERRORS)


class Point(BaseModel):
    """A stretch of the chart.

    Attributes:
        calls: that began in it.
        setup_s: mean time until a call was answered.
        yield_s: mean time until the agent fell silent for a barge-in.
        turn_gap_s: mean time until the agent answered.
    """

    since: datetime
    calls: int
    failed: int
    setup_s: float | None
    barge_ins: int
    yield_s: float | None
    turn_gap_s: float | None


class Overview(BaseModel):
    """The state of everything.

    Attributes:
        revision: of the configuration in the database.
        published_revision: of the one that gateways have; null before the first.
    """

    live_calls: int
    slots: int
    free_slots: int
    pools: list[PoolView]
    points: list[Point]
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
    return Overview(
        live_calls=int(await work.db.scalar(live) or 0),
        slots=sum(pool.slots for pool in pools),
        free_slots=sum(pool.free for pool in pools),
        pools=pools,
        points=await points(work, timedelta(hours=hours)),
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
            func.sum(case((_CALLS.outcome == "failed", 1), else_=0)).label("failed"),
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
    return [_point(begin + number * stretch, found.get(number)) for number in range(POINTS)]


def _point(since: datetime, row: Any) -> Point:
    if row is None:
        return Point(since=since, calls=0, failed=0, setup_s=None, barge_ins=0, yield_s=None,
                     turn_gap_s=None)  # fmt: skip
    return Point(
        since=since,
        calls=row.calls,
        failed=row.failed,
        setup_s=row.setup_s,
        barge_ins=row.barge_ins,
        yield_s=row.yield_sum_s / row.yields if row.yields else None,
        turn_gap_s=row.turn_gap_sum_s / row.turn_gaps if row.turn_gaps else None,
    )
