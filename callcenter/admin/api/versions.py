"""A persona's versions: published, rolled back, listed, compared. A version never changes."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field, StringConstraints

from callcenter.admin import contents, personas
from callcenter.admin.api.common import ERRORS, Body, IfMatch, Reference, WorkIn, stamped
from callcenter.admin.api.personas import CounterIn, PersonaView
from callcenter.admin.contents import Change, Content
from callcenter.admin.security.gate import ApiRoute
from callcenter.admin.store import documents

Comment = Annotated[str, StringConstraints(max_length=1_000)]
Number = Annotated[int, Path(ge=1, le=1_000_000, description="Number of a version.")]
Side = Annotated[str, Query(pattern=r"^(draft|[1-9][0-9]{0,5})$")]

routes = APIRouter(
    prefix="/v1/personas/{reference}", tags=["personas"], route_class=ApiRoute, responses=ERRORS
)


class PublishOrder(Body):
    """Which version to publish; none for a new one made of the draft."""

    version: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    comment: Comment = ""


class VersionSummary(BaseModel):
    """A version without its content."""

    number: int
    content_hash: str
    comment: str
    created_at: datetime
    created_by: str


class Version(VersionSummary):
    """A version; it never changes."""

    content: dict[str, Any]


@routes.post("/publish", response_model=PersonaView)
async def publish_persona(
    reference: Reference,
    body: PublishOrder,
    work: WorkIn,
    count: CounterIn,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Answers new calls by a version; live calls keep theirs."""
    record = await documents.get(work.db, "persona", reference)
    if if_match is not None:
        documents.check_tag(record, if_match)
    published = await personas.publish(work, record, body.version, body.comment, count)
    return stamped(published, response)


@routes.post("/rollback", response_model=PersonaView)
async def roll_back_persona(
    reference: Reference, work: WorkIn, count: CounterIn, response: Response
) -> Any:
    """Publishes the version that was published before the present one."""
    record = await documents.get(work.db, "persona", reference)
    version = await personas.version_before(work.db, record)
    return stamped(await personas.publish(work, record, version, "", count), response)


@routes.get("/versions")
async def list_versions(reference: Reference, work: WorkIn) -> list[VersionSummary]:
    """All versions, newest first."""
    record = await documents.get(work.db, "persona", reference)
    return [VersionSummary(**fields) for fields in await personas.versions(work.db, record)]


@routes.get("/versions/{number}")
async def get_version(reference: Reference, number: Number, work: WorkIn) -> Version:
    """One version."""
    record = await documents.get(work.db, "persona", reference)
    return Version(**await personas.version(work.db, record, number))


@routes.delete("/versions/{number}", status_code=HTTPStatus.NO_CONTENT)
async def delete_version(reference: Reference, number: Number, work: WorkIn) -> None:
    """Deletes a version that nobody uses."""
    record = await documents.get(work.db, "persona", reference)
    await personas.remove_version(work, record, number)


@routes.get("/diff")
async def compare_versions(
    reference: Reference,
    work: WorkIn,
    before: Side = "1",
    after: Side = "draft",
) -> list[Change]:
    """What changed from one version to another, or to the draft."""
    record = await documents.get(work.db, "persona", reference)

    async def side(name: str) -> Content:
        if name == "draft":
            draft: Content = record.document["draft"]
            return draft
        return await personas.version_content(work.db, record, int(name))

    return contents.compare(await side(before), await side(after))
