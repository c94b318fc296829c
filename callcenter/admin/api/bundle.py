"""Export and import of the whole configuration."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from callcenter.admin import bundle
from callcenter.admin.api.common import ERRORS, WorkIn
from callcenter.admin.bundle import ImportReport
from callcenter.admin.problems import invalid
from callcenter.admin.security.gate import ApiRoute, needs, prepared_by
from callcenter.admin.store import documents
from callcenter.admin.store.database import Database

MAX_BUNDLE_BYTES = 64_000_000
MEDIA_TYPE = "application/yaml"
_YAML_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    }
}

routes = APIRouter(prefix="/v1", tags=["bundle"], route_class=ApiRoute, responses=ERRORS)


@routes.get(
    "/export",
    response_class=Response,
    responses={200: {"content": {MEDIA_TYPE: {}}, "description": "The configuration."}},
    openapi_extra=needs("admin"),
)
async def export_bundle(work: WorkIn) -> Response:
    """The whole configuration as one YAML file; no secrets are in it."""
    return Response(await bundle.export(work), media_type=MEDIA_TYPE)


async def _read_bundle(request: Request) -> None:
    """Reads the file in a thread, and computes what it brings that is new."""
    try:
        text = (await request.body()).decode()
    except UnicodeDecodeError:
        raise invalid("the bundle is not UTF-8 text") from None
    wanted = await asyncio.to_thread(bundle.read, text)
    database: Database = request.app.state.database
    async with database.reading() as db:
        known = {record.name for record in await documents.all_of(db, "voice")}
    fresh = [voice for voice in wanted.voices if voice.name not in known]
    request.state.clips = await asyncio.to_thread(bundle.clips, fresh)
    request.state.bundle = wanted


@routes.put(
    "/import",
    openapi_extra={**needs("admin", max_body_bytes=MAX_BUNDLE_BYTES, fresh=True), **_YAML_BODY},
)
@prepared_by(_read_bundle)
async def import_bundle(work: WorkIn, request: Request) -> ImportReport:
    """Brings the configuration to what the file says; all of it or nothing."""
    found = request.state
    return await bundle.load(work, found.bundle, found.clips, request.app.state.count_tokens)
