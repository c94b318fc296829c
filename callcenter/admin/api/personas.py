"""Personas: created, changed as drafts, archived. `versions` and `drafts` stand beside it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field, StringConstraints

from callcenter.admin import contents, personas
from callcenter.admin.api.common import (
    ERRORS,
    Body,
    IfMatch,
    Reference,
    Stamp,
    WorkIn,
    get_tagged,
    merge_patch,
    stamped,
)
from callcenter.admin.api.pages import Page, WindowIn, list_documents
from callcenter.admin.contents import Content
from callcenter.admin.problems import invalid
from callcenter.admin.security.gate import ApiRoute
from callcenter.admin.store import documents
from personas.library import Library
from personas.tokens import TokenCounter

Label = Annotated[str, StringConstraints(min_length=1, max_length=40)]
Labels = Annotated[list[Label], Field(max_length=20)]

routes = APIRouter(prefix="/v1/personas", tags=["personas"], route_class=ApiRoute, responses=ERRORS)


def _counter(request: Request) -> TokenCounter:
    counter: TokenCounter = request.app.state.count_tokens
    return counter


def _templates(request: Request) -> Library:
    library: Library = request.app.state.templates
    return library


CounterIn = Annotated[TokenCounter, Depends(_counter)]
TemplatesIn = Annotated[Library, Depends(_templates)]


class PersonaView(Stamp):
    """A persona.

    Attributes:
        name: unique; routes and numbers name it. Does not change.
        title: for people; also what visitors of a web page see.
        labels: words to sort by.
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


class NewPersona(Body):
    """What a persona starts from: a content of its own, or a template under a new name.

    Attributes:
        content: the whole content, as GET /v1/schemas/persona describes it; without `template`.
        template: name of one of GET /v1/templates; without `content`.
        name: of the new persona; small letters, digits and underscores, a letter first.
        title: of the new persona, for people.
        labels: words to sort by.
    """

    content: dict[str, Any] | None = None
    template: str | None = None
    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")] | None = None
    title: Annotated[str, StringConstraints(min_length=1, max_length=120)] | None = None
    labels: Labels = Field(default=[])


class PersonaPatch(Body):
    """A merge patch: keys that are given replace, null takes a key of the draft out.

    Attributes:
        draft: changes of the content; the title is one of its keys.
        labels: all labels, not only new ones.
    """

    draft: dict[str, Any] | None = None
    labels: Labels | None = None


@routes.get("", response_model=Page[PersonaView])
async def list_personas(work: WorkIn, window: WindowIn) -> Any:
    """All personas, oldest first."""
    return await list_documents(work, "persona", window)


@routes.post("", status_code=HTTPStatus.CREATED, response_model=PersonaView)
async def create_persona(
    body: NewPersona, work: WorkIn, templates: TemplatesIn, count: CounterIn, response: Response
) -> Any:
    """Creates a persona with a draft."""
    record = await personas.create(work, _start(body, templates), body.labels, count)
    response.headers["Location"] = f"/v1/personas/{record.id}"
    return stamped(record, response)


@routes.get("/{reference}", response_model=PersonaView)
async def get_persona(reference: Reference, work: WorkIn, response: Response) -> Any:
    """One persona."""
    return stamped(await documents.get(work.db, "persona", reference), response)


@routes.patch("/{reference}", response_model=PersonaView)
async def change_persona(
    reference: Reference,
    body: PersonaPatch,
    work: WorkIn,
    count: CounterIn,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Changes the draft or the labels."""
    record = await get_tagged(work, "persona", reference, if_match)
    draft = merge_patch(record.document["draft"], body.draft or {})
    labels = record.document["labels"] if body.labels is None else body.labels
    changed = await personas.save_draft(work, record, draft, labels, count)
    return stamped(changed, response)


@routes.put("/{reference}/draft", response_model=PersonaView)
async def replace_draft(
    reference: Reference,
    body: dict[str, Any],
    work: WorkIn,
    count: CounterIn,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Replaces the draft's whole content."""
    record = await get_tagged(work, "persona", reference, if_match)
    labels = record.document["labels"]
    changed = await personas.save_draft(work, record, body, labels, count)
    return stamped(changed, response)


@routes.delete("/{reference}", status_code=HTTPStatus.NO_CONTENT)
async def delete_persona(reference: Reference, work: WorkIn, if_match: IfMatch = None) -> None:
    """Deletes a persona with its versions; refused while a number or a route uses it."""
    record = await get_tagged(work, "persona", reference, if_match)
    await personas.remove(work, record)


@routes.post("/{reference}/archive", response_model=PersonaView)
async def archive_persona(reference: Reference, work: WorkIn, response: Response) -> Any:
    """Takes a persona out of use; refused while a number or a route uses it."""
    record = await documents.get(work.db, "persona", reference)
    return stamped(await personas.archive(work, record, True), response)


@routes.post("/{reference}/restore", response_model=PersonaView)
async def restore_persona(reference: Reference, work: WorkIn, response: Response) -> Any:
    """Takes an archived persona back; it is not published by that."""
    record = await documents.get(work.db, "persona", reference)
    return stamped(await personas.archive(work, record, False), response)


def _start(body: NewPersona, templates: Library) -> Content:
    if (body.content is None) == (body.template is None):
        raise invalid("give either 'content' or 'template'", "/content")
    if body.template is not None and body.template not in templates:
        raise invalid(f"there is no template '{body.template}'", "/template")
    content = body.content if body.template is None else contents.written(templates[body.template])
    own = {"name": body.name, "title": body.title}
    return {**(content or {}), **{key: value for key, value in own.items() if value is not None}}
