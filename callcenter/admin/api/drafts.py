"""Writing a persona: templates, checks while one types, the prompt as a call has it, trials."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import delete, insert

from callcenter.admin import contents, personas
from callcenter.admin.api.common import ERRORS, Body, Reference, WorkIn
from callcenter.admin.api.personas import CounterIn, TemplatesIn
from callcenter.admin.contents import Report
from callcenter.admin.security.gate import ApiRoute, needs
from callcenter.admin.store import documents, tables
from callcenter.published.routing import TRIAL_PREFIX
from personas.schema import Persona

TRIAL_LASTS = timedelta(minutes=30)

routes = APIRouter(prefix="/v1", tags=["personas"], route_class=ApiRoute, responses=ERRORS)


class Candidate(Body):
    """A content that is not stored."""

    content: dict[str, Any]


class PreviewOrder(Candidate):
    """A content, and values for its variables."""

    variables: dict[str, str] = Field(default={})


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


@routes.get("/templates")
async def list_templates(templates: TemplatesIn) -> list[Template]:
    """The personas that come with the software."""
    return [
        Template(name=name, title=templates[name].title, content=contents.written(templates[name]))
        for name in templates
    ]


@routes.get("/schemas/persona")
async def persona_schema() -> dict[str, Any]:
    """JSON Schema of a persona's content."""
    return Persona.model_json_schema()


@routes.post("/personas:validate", openapi_extra=needs("viewer", changes=False))
async def validate_persona(body: Candidate, count: CounterIn) -> Report:
    """Checks a content while one types; stores nothing."""
    return contents.report(body.content, count)


@routes.post("/personas:preview", openapi_extra=needs("viewer", changes=False))
async def preview_persona(body: PreviewOrder, count: CounterIn) -> Preview:
    """Renders a content as a call would; stores nothing."""
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
    await work.audit("try", "persona", record.name, after={"expires_at": expires_at.isoformat()})
    return TrialView(called=called, expires_at=expires_at)
