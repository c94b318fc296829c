"""Voices: uploaded, measured, listened to, and used only with consent."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, Response, UploadFile
from pydantic import Field, StringConstraints
from sqlalchemy import insert, select
from starlette.datastructures import UploadFile as UploadedFile

from callcenter.admin.api.common import (
    ERRORS,
    Body,
    IfMatch,
    Reference,
    Stamp,
    WorkIn,
    get_tagged,
    stamped,
)
from callcenter.admin.api.pages import Page, WindowIn, list_documents
from callcenter.admin.problems import conflict, invalid, not_found
from callcenter.admin.security.bodies import check_text
from callcenter.admin.security.gate import ApiRoute, needs, prepared_by
from callcenter.admin.store import documents, tables
from callcenter.admin.store.documents import Record
from callcenter.admin.store.work import Work
from callcenter.admin.voices import audio
from callcenter.admin.voices.clips import MeasuredClip, measured
from callcenter.admin.voices.consent import Consent, why_blocked
from callcenter.admin.voices.formats import TAKEN
from callcenter.admin.voices.quality import Quality
from callcenter.published.board import Clips
from callcenter.published.document import Name, Title

MULTIPART_OVERHEAD_BYTES = 65_536
_CLIPS = tables.clips

Gender = Annotated[str, StringConstraints(pattern=r"^(female|male|neutral)$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")]
Long = Annotated[str, StringConstraints(max_length=2_000)]

routes = APIRouter(prefix="/v1/voices", tags=["voices"], route_class=ApiRoute, responses=ERRORS)


class VoiceView(Stamp):
    """A voice.

    Attributes:
        sha256: of the normalised clip; calls pin it.
        blocked: why it may not be used for new calls; "" if it may.
        consent: null until somebody puts it down.
    """

    name: str
    title: str
    gender: str
    language: str
    licence: str
    source: str
    transcript: str
    disabled: bool
    sha256: str
    original_sha256: str
    quality: Quality
    consent: Consent | None
    blocked: str


class VoicePatch(Body):
    """What may change of a voice; its clip never does."""

    title: Title | None = None
    gender: Gender | None = None
    language: Language | None = None
    licence: Annotated[str, StringConstraints(min_length=1, max_length=400)] | None = None
    source: Long | None = None
    transcript: Long | None = None
    disabled: bool | None = None


class Revocation(Body):
    """Why a consent was taken back."""

    why: Annotated[str, Field(min_length=1, max_length=400)]


@routes.get("", response_model=Page[VoiceView])
async def list_voices(work: WorkIn, window: WindowIn) -> Any:
    """All voices, oldest first."""
    return await list_documents(work, "voice", window, lambda record: view(record, work))


async def _measure_upload(request: Request) -> None:
    """Decodes and measures the file, in a thread; the rest of the form is the handler's."""
    file = (await request.form()).get("file")
    if isinstance(file, UploadedFile):  # else the handler says what is missing
        request.state.clip = await asyncio.to_thread(measured, await file.read())


@routes.post(
    "",
    status_code=HTTPStatus.CREATED,
    response_model=VoiceView,
    openapi_extra=needs(
        "admin", max_body_bytes=audio.MAX_UPLOAD_BYTES + MULTIPART_OVERHEAD_BYTES, replays=False
    ),
)
@prepared_by(_measure_upload)
async def upload_voice(
    work: WorkIn,
    request: Request,
    response: Response,
    file: Annotated[UploadFile, File(description=f"{TAKEN}, 1 to 20 s.")],
    name: Annotated[Name, Form()],
    title: Annotated[Title, Form()],
    gender: Annotated[Gender, Form()],
    language: Annotated[Language, Form()] = "en",
    licence: Annotated[str, Form(min_length=1, max_length=400)] = "own recording",
    source: Annotated[str, Form(max_length=2_000)] = "",
    transcript: Annotated[str, Form(max_length=2_000)] = "",
) -> Any:
    """Uploads a clip; it may be used once its consent is put down."""
    fields = {
        "name": name,
        "title": title,
        "gender": gender,
        "language": language,
        "licence": licence,
        "source": source,
        "transcript": transcript,
    }
    for text in fields.values():
        check_text(text)
    record = await store_voice(work, fields, request.state.clip, None)
    return view(record, work, response)


@routes.get("/{reference}", response_model=VoiceView)
async def get_voice(reference: Reference, work: WorkIn, response: Response) -> Any:
    """One voice."""
    return view(await documents.get(work.db, "voice", reference), work, response)


@routes.get(
    "/{reference}/audio",
    response_class=Response,
    responses={200: {"content": {"audio/wav": {}}, "description": "The clip."}},
)
async def listen_to_voice(reference: Reference, work: WorkIn) -> Response:
    """The clip as the engines hear it: WAV, mono, 24 kHz."""
    record = await documents.get(work.db, "voice", reference)
    content = await work.db.scalar(
        select(_CLIPS.c.content).where(_CLIPS.c.sha256 == record.document["sha256"])
    )
    return Response(content, media_type="audio/wav", headers={"Cache-Control": "private"})


@routes.get(
    "/{reference}/codes",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}, "description": "safetensors"}},
)
async def get_voice_codes(reference: Reference, work: WorkIn, request: Request) -> Response:
    """The clip's codes, if a worker has computed them (safetensors)."""
    record = await documents.get(work.db, "voice", reference)
    clips: Clips = request.app.state.clips
    codes = await clips.codes(record.document["sha256"])
    if codes is None:
        raise not_found("codes of voice", record.name)
    return Response(codes, media_type="application/octet-stream")


@routes.patch("/{reference}", response_model=VoiceView)
async def change_voice(
    reference: Reference,
    body: VoicePatch,
    work: WorkIn,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Changes what is said about a voice, or switches it off."""
    record = await get_tagged(work, "voice", reference, if_match)
    changes = body.model_dump(exclude_none=True)
    await work.bump()
    changed = await documents.change(work, record, {**record.document, **changes})
    return view(changed, work, response)


@routes.put("/{reference}/consent", response_model=VoiceView)
async def put_consent(
    reference: Reference, body: Consent, work: WorkIn, response: Response, if_match: IfMatch = None
) -> Any:
    """Puts the consent down; a revoked one is replaced by a new one only."""
    record = await get_tagged(work, "voice", reference, if_match)
    if body.revoked_at is not None:
        raise invalid("revoke a consent by its own request", "/revoked_at")
    if body.kind == "written" and not body.document:
        raise invalid("say where the signed document is kept", "/document")
    for moment in ("granted_at", "expires_at"):
        given = getattr(body, moment)
        if given is not None and given.tzinfo is None:
            raise invalid("give the time zone", f"/{moment}")
    document = {**record.document, "consent": body.model_dump(mode="json")}
    await work.bump()
    return view(await documents.change(work, record, document, action="consent"), work, response)


@routes.post("/{reference}/consent/revoke", response_model=VoiceView)
async def revoke_consent(
    reference: Reference, body: Revocation, work: WorkIn, response: Response
) -> Any:
    """Takes the consent back: no new call uses the voice from now on."""
    record = await documents.get(work.db, "voice", reference)
    consent = record.document["consent"]
    if consent is None or consent["revoked_at"] is not None:
        raise conflict("no_consent", f"voice '{record.name}' has no consent to revoke")
    revoked = {**consent, "revoked_at": work.now.isoformat(), "revoked_why": body.why}
    await work.bump()
    document = {**record.document, "consent": revoked}
    return view(await documents.change(work, record, document, action="revoke"), work, response)


@routes.delete("/{reference}", status_code=HTTPStatus.NO_CONTENT)
async def delete_voice(reference: Reference, work: WorkIn, if_match: IfMatch = None) -> None:
    """Deletes a voice and its clip; refused while a persona speaks with it."""
    record = await get_tagged(work, "voice", reference, if_match)
    users = await users_of_voice(work, record.name)
    if users:
        raise conflict("in_use", f"voice '{record.name}' is used by {', '.join(users)}", users)
    await work.bump()
    await documents.remove(work, record)


async def store_voice(
    work: Work, fields: dict[str, Any], clip: MeasuredClip, consent: Consent | None
) -> Record:
    """Stores a measured clip; a Problem if there is one like it."""
    document = {
        **fields,
        "disabled": False,
        "sha256": clip.sha256,
        "original_sha256": clip.original_sha256,
        "quality": clip.quality.model_dump(),
        "consent": None if consent is None else consent.model_dump(mode="json"),
    }
    known = select(_CLIPS.c.sha256).where(_CLIPS.c.sha256 == clip.sha256)
    if await work.db.scalar(known) is not None:
        raise conflict("clip_known", "there is a voice with this very clip already")
    await work.bump()
    record = await documents.create(work, "voice", str(fields["name"]), document)
    clips = {"voice_id": record.id, "sha256": clip.sha256, "media_type": "audio/wav"}
    await work.db.execute(insert(_CLIPS).values(**clips, content=clip.wav))
    return record


async def users_of_voice(work: Work, name: str) -> list[str]:
    """Whose draft or version speaks with a voice."""
    users = [
        f"persona {record.name}"
        for record in await documents.all_of(work.db, "persona")
        if record.document["draft"].get("voice") == name
    ]
    versions, heads = tables.persona_versions.c, tables.documents.c
    query = select(heads.name, versions.number, versions.content).join_from(
        tables.persona_versions, tables.documents, versions.persona_id == heads.id
    )
    for persona, number, content in await work.db.execute(query):
        if content.get("voice") == name:
            users.append(f"persona {persona} version {number}")
    return users


def view(record: Record, work: Work, response: Response | None = None) -> dict[str, Any]:
    """A voice as the API shows it."""
    blocked = why_blocked({**record.document, "name": record.name}, work.now)
    return {**stamped(record, response), "blocked": blocked}
