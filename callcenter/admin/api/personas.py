"""Personas: templates, drafts, versions, publishing, rolling back, trying out."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import delete, insert

from callcenter.admin import contents, personas
from callcenter.admin.api.common import (
    ERRORS,
    Cursor,
    IfMatch,
    Limit,
    Page,
    Reference,
    Stamp,
    WorkIn,
    decode_cursor,
    encode_cursor,
    merge_patch,
    stamped,
)
from callcenter.admin.contents import Change, Content, Report
from callcenter.admin.problems import invalid
from callcenter.admin.security.gate import ApiRoute, needs
from callcenter.admin.store import documents, tables
from callcenter.published.routing import TRIAL_PREFIX
from personas.library import Library
from personas.schema import Persona
from personas.tokens import TokenCounter

TRIAL_LASTS = timedelta(minutes=30)

Comment = Annotated[str, StringConstraints(max_length=1_000)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=40)]
Labels = Annotated[list[Label], Field(max_length=20)]
Number = Annotated[int, Path(ge=1, le=1_000_000, description="Number of a version.")]
Side = Annotated[str, Query(pattern=r"^(draft|[1-9][0-9]{0,5})$")]

routes = APIRouter(prefix="/v1", tags=["personas"], route_class=ApiRoute, responses=ERRORS)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PersonaView(Stamp):
    """A persona.

    Attributes:
        draft: its content as it will be published next.
        published: number of the version that new calls are answered by; null for none.
        archived: out of use; kept for its history.
    """

    name: str
    title: str
    labels: list[str]
    draft: dict[str, Any]
    published: int | None
    archived: bool


class NewPersona(_Body):
    """What a persona starts from: a content of its own, or a template under a new name."""

    content: dict[str, Any] | None = None
    template: str | None = None
    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")] | None = None
    title: Annotated[str, StringConstraints(min_length=1, max_length=120)] | None = None
    labels: Labels = []


class PersonaPatch(_Body):
    """A merge patch: keys that are given replace, null takes a key of the draft out."""

    draft: dict[str, Any] | None = None
    labels: Labels | None = None


class PublishOrder(_Body):
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


class Candidate(_Body):
    """A content that is not stored."""

    content: dict[str, Any]


class PreviewOrder(Candidate):
    """A content, and values for its variables."""

    variables: dict[str, str] = {}


class Preview(BaseModel):
    """A content as a call would have it."""

    role_text: str
    greeting: str
    voice: str
    prompt_hash: str
    prompt_tokens: int
    max_prompt_tokens: int


class Template(BaseModel):
    """A persona to start from."""

    name: str
    title: str
    content: dict[str, Any]


class TrialView(BaseModel):
    """A draft that can be called.

    Attributes:
        called: what to dial, at any gateway.
    """

    called: str
    expires_at: datetime


def _counter(request: Request) -> TokenCounter:
    counter: TokenCounter = request.app.state.count_tokens
    return counter


@routes.get("/templates")
async def list_templates(request: Request) -> list[Template]:
    """The personas that come with the software."""
    library: Library = request.app.state.templates
    return [
        Template(name=name, title=library[name].title, content=_content(library[name]))
        for name in library
    ]


@routes.get("/schemas/persona")
async def persona_schema() -> dict[str, Any]:
    """JSON Schema of a persona's content."""
    return Persona.model_json_schema()


@routes.post("/personas:validate", openapi_extra=needs("viewer", changes=False))
async def validate_persona(body: Candidate, request: Request) -> Report:
    """Checks a content while one types; stores nothing."""
    return contents.report(body.content, _counter(request))


@routes.post("/personas:preview", openapi_extra=needs("viewer", changes=False))
async def preview_persona(body: PreviewOrder, request: Request) -> Preview:
    """Renders a content as a call would; stores nothing."""
    count = _counter(request)
    persona = contents.parse(body.content, "/content")
    values = {**contents.blanks(persona), **body.variables}
    rendered = contents.render(persona, values, count, "/content")
    return Preview(
        role_text=rendered.role_text,
        greeting=rendered.greeting,
        voice=rendered.voice,
        prompt_hash=rendered.prompt_hash,
        prompt_tokens=count(rendered.role_text),
        max_prompt_tokens=persona.limits.max_prompt_tokens,
    )


@routes.get("/personas", response_model=Page[PersonaView])
async def list_personas(work: WorkIn, cursor: Cursor = "", limit: Limit = 50) -> Any:
    """All personas, oldest first."""
    found = await documents.page(work.db, "persona", decode_cursor(cursor), limit + 1)
    more = encode_cursor(found[limit - 1].id) if len(found) > limit else None
    return {"items": [stamped(record) for record in found[:limit]], "next_cursor": more}


@routes.post("/personas", status_code=HTTPStatus.CREATED, response_model=PersonaView)
async def create_persona(
    body: NewPersona, work: WorkIn, request: Request, response: Response
) -> Any:
    """Creates a persona with a draft."""
    record = await personas.create(
        work, _start(body, request.app.state.templates), body.labels, _counter(request)
    )
    response.headers["Location"] = f"/v1/personas/{record.id}"
    return stamped(record, response)


@routes.get("/personas/{reference}", response_model=PersonaView)
async def get_persona(reference: Reference, work: WorkIn, response: Response) -> Any:
    """One persona."""
    return stamped(await documents.get(work.db, "persona", reference), response)


@routes.patch("/personas/{reference}", response_model=PersonaView)
async def change_persona(
    reference: Reference,
    body: PersonaPatch,
    work: WorkIn,
    request: Request,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Changes the draft or the labels."""
    record = await documents.get(work.db, "persona", reference)
    documents.check_tag(record, if_match)
    draft = merge_patch(record.document["draft"], body.draft or {})
    labels = record.document["labels"] if body.labels is None else body.labels
    changed = await personas.save_draft(work, record, draft, labels, _counter(request))
    return stamped(changed, response)


@routes.put("/personas/{reference}/draft", response_model=PersonaView)
async def replace_draft(
    reference: Reference,
    body: dict[str, Any],
    work: WorkIn,
    request: Request,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Replaces the draft's whole content."""
    record = await documents.get(work.db, "persona", reference)
    documents.check_tag(record, if_match)
    labels = record.document["labels"]
    changed = await personas.save_draft(work, record, body, labels, _counter(request))
    return stamped(changed, response)


@routes.delete("/personas/{reference}", status_code=HTTPStatus.NO_CONTENT)
async def delete_persona(reference: Reference, work: WorkIn, if_match: IfMatch = None) -> None:
    """Deletes a persona with its versions; refused while a number or a route uses it."""
    record = await documents.get(work.db, "persona", reference)
    documents.check_tag(record, if_match)
    await personas.remove(work, record)


@routes.post("/personas/{reference}/publish", response_model=PersonaView)
async def publish_persona(
    reference: Reference,
    body: PublishOrder,
    work: WorkIn,
    request: Request,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Answers new calls by a version; live calls keep theirs."""
    record = await documents.get(work.db, "persona", reference)
    if if_match is not None:
        documents.check_tag(record, if_match)
    count = _counter(request)
    return stamped(
        await personas.publish(work, record, body.version, body.comment, count), response
    )


@routes.post("/personas/{reference}/rollback", response_model=PersonaView)
async def roll_back_persona(
    reference: Reference, work: WorkIn, request: Request, response: Response
) -> Any:
    """Publishes the version that was published before the present one."""
    record = await documents.get(work.db, "persona", reference)
    version = await personas.version_before(work.db, record)
    count = _counter(request)
    return stamped(await personas.publish(work, record, version, "", count), response)


@routes.post("/personas/{reference}/archive", response_model=PersonaView)
async def archive_persona(reference: Reference, work: WorkIn, response: Response) -> Any:
    """Takes a persona out of use; refused while a number or a route uses it."""
    record = await documents.get(work.db, "persona", reference)
    return stamped(await personas.archive(work, record, True), response)


@routes.post("/personas/{reference}/restore", response_model=PersonaView)
async def restore_persona(reference: Reference, work: WorkIn, response: Response) -> Any:
    """Takes an archived persona back; it is not published by that."""
    record = await documents.get(work.db, "persona", reference)
    return stamped(await personas.archive(work, record, False), response)


@routes.get("/personas/{reference}/versions")
async def list_versions(reference: Reference, work: WorkIn) -> list[VersionSummary]:
    """All versions, newest first."""
    record = await documents.get(work.db, "persona", reference)
    return [VersionSummary(**fields) for fields in await personas.versions(work.db, record)]


@routes.get("/personas/{reference}/versions/{number}")
async def get_version(reference: Reference, number: Number, work: WorkIn) -> Version:
    """One version."""
    record = await documents.get(work.db, "persona", reference)
    return Version(**await personas.version(work.db, record, number))


@routes.delete("/personas/{reference}/versions/{number}", status_code=HTTPStatus.NO_CONTENT)
async def delete_version(reference: Reference, number: Number, work: WorkIn) -> None:
    """Deletes a version that nobody uses."""
    record = await documents.get(work.db, "persona", reference)
    await personas.remove_version(work, record, number)


@routes.get("/personas/{reference}/diff")
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


@routes.post(
    "/personas/{reference}/trials",
    status_code=HTTPStatus.CREATED,
    openapi_extra=needs("operator"),
)
async def try_draft(reference: Reference, work: WorkIn) -> TrialView:
    """Makes the draft callable for half an hour, by nobody who does not know the made-up number."""
    record = await documents.get(work.db, "persona", reference)
    draft = record.document["draft"]
    await personas.check_voice_usable(work.db, draft["voice"], work.now)
    called, expires_at = f"{TRIAL_PREFIX}{secrets.token_hex(8)}", work.now + TRIAL_LASTS
    trials = tables.trials
    await work.db.execute(delete(trials).where(trials.c.expires_at < work.now))
    await work.db.execute(
        insert(trials).values(
            called=called,
            persona=record.name,
            content=draft,
            expires_at=expires_at,
            created_by=work.actor.name,
        )
    )
    await work.bump()
    await work.audit("try", "persona", record.name, after={"called": called})
    return TrialView(called=called, expires_at=expires_at)


def _start(body: NewPersona, templates: Library) -> Content:
    if (body.content is None) == (body.template is None):
        raise invalid("give either 'content' or 'template'", "/content")
    if body.template is not None and body.template not in templates:
        raise invalid(f"there is no template '{body.template}'", "/template")
    content = body.content if body.template is None else _content(templates[body.template])
    own = {"name": body.name, "title": body.title}
    return {**(content or {}), **{key: value for key, value in own.items() if value is not None}}


def _content(persona: Persona) -> Content:
    return persona.model_dump(mode="json", exclude_none=True)
