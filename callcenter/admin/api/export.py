"""The history of calls as a file for spreadsheets, streamed page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from callcenter.admin import csv_rows
from callcenter.admin.api.calls import Filters, FiltersIn, view
from callcenter.admin.api.common import ERRORS, WorkIn
from callcenter.admin.problems import invalid
from callcenter.admin.security.gate import ApiRoute, needs
from callcenter.admin.store import calls
from callcenter.admin.store.database import Database

COLUMNS = (
    "id", "started_at", "ended_at", "state", "outcome", "code", "caller", "called", "transport",
    "trunk", "route", "persona", "persona_version", "voice", "duration_s", "setup_s",
    "first_sound_s", "turn_gaps", "turn_gap_mean_s", "barge_ins", "yields", "yield_mean_s",
    "gateway_id", "worker_id",
)  # fmt: skip
PAGE_ROWS = 500
MAX_ROWS = 100_000

routes = APIRouter(prefix="/v1", tags=["calls"], route_class=ApiRoute, responses=ERRORS)


@routes.get(
    "/calls:export",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}}, "description": "A line for each call."}},
    openapi_extra=needs("viewer", changes=True),
)
async def export_calls(
    work: WorkIn,
    request: Request,
    filters: FiltersIn,
    columns: Annotated[
        str, Query(max_length=400, description="Names with commas between; empty for all.")
    ] = "",
) -> StreamingResponse:
    """The history as CSV, at most 100,000 calls; the audit log says who took it.

    Text that begins with = + - @ gets an apostrophe in front, so that no spreadsheet runs it.
    """
    wanted = _columns(columns)
    await work.audit("export", "call", "", after={"columns": list(wanted)})
    database: Database = request.app.state.database
    name = f"calls-{datetime.now(UTC):%Y-%m-%d}.csv"
    return StreamingResponse(
        _lines(database, filters, wanted),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _columns(wanted: str) -> tuple[str, ...]:
    names = tuple(name for name in wanted.split(",") if name) or COLUMNS
    for name in names:
        if name not in COLUMNS:
            raise invalid(f"there is no column '{name}'; choose from {', '.join(COLUMNS)}")
    return names


async def _lines(
    database: Database, filters: Filters, columns: tuple[str, ...]
) -> AsyncIterator[str]:
    """Each page has a transaction of its own: a slow reader holds nothing."""
    yield csv_rows.row(columns)
    after: tuple[float, str] | None = None
    for _ in range(MAX_ROWS // PAGE_ROWS):
        async with database.reading() as db:
            found = await calls.page(db, filters.search, after, PAGE_ROWS, filters.order)
        for one in found:
            call = view(one)
            yield csv_rows.row([getattr(call, name) for name in columns])
        if len(found) < PAGE_ROWS:
            return
        after = calls.place_of(found[-1], filters.order)
