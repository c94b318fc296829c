"""The whole configuration as one YAML file, out and in, for people who keep it in version control.

Importing is idempotent: what is as the bundle says is left alone, what differs gets a new revision,
and what the bundle does not name stays. The order is that in which things refer to each other.
Keys and webhook secrets are not in it.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.cyaml import CParser as _Parser  # type: ignore[attr-defined]
from yaml.resolver import Resolver

from callcenter.admin import contents, personas
from callcenter.admin.api.documents import parse, store_changed, store_new
from callcenter.admin.api.voices import store_voice
from callcenter.admin.api.webhooks import Webhook, given
from callcenter.admin.problems import conflict, from_validation, invalid
from callcenter.admin.security.bodies import check_text
from callcenter.admin.store import documents, tables
from callcenter.admin.store.documents import Record
from callcenter.admin.store.work import Work
from callcenter.admin.voices.audio import MAX_UPLOAD_BYTES
from callcenter.admin.voices.clips import MeasuredClip, measured
from callcenter.admin.voices.consent import Consent
from callcenter.published.documents import Limit, Number, Route, Schedule
from callcenter.published.trunk import Trunk
from personas.tokens import TokenCounter

VERSION = 1
MAX_DEPTH = 40
MAX_PARTS = 100_000  # a large configuration has some thousands
_VOICE_FIELDS = ("name", "title", "gender", "language", "licence", "source", "transcript")
_KINDS = ("trunk", "schedule", "route", "number", "limit")  # after what they refer to


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BundledVoice(_Strict):
    """A voice with its clip in base64 (the normalised WAV)."""

    name: str
    title: str
    gender: str
    language: str
    licence: str
    source: str
    transcript: str
    consent: Consent | None
    clip: str = Field(max_length=MAX_UPLOAD_BYTES)


class BundledPersona(_Strict):
    """A persona: its draft, and the content that is published, if any."""

    draft: dict[str, Any]
    published: dict[str, Any] | None
    labels: list[str] = []


class Bundle(_Strict):
    """Everything."""

    version: int = VERSION
    voices: list[BundledVoice] = []
    personas: list[BundledPersona] = []
    trunks: list[Trunk] = []
    schedules: list[Schedule] = []
    routes: list[Route] = []
    numbers: list[Number] = []
    limits: list[Limit] = []
    webhooks: list[Webhook] = []


class ImportReport(BaseModel):
    """How many things an import made, changed and left alone."""

    created: int
    updated: int
    unchanged: int


async def export(work: Work) -> str:
    """The configuration as YAML."""
    data: dict[str, Any] = {"version": VERSION}
    data["voices"] = [
        await _voice(work, record) for record in await documents.all_of(work.db, "voice")
    ]
    data["personas"] = [
        await _persona(work, record) for record in await documents.all_of(work.db, "persona")
    ]
    for kind in _KINDS:
        data[f"{kind}s"] = [record.document for record in await documents.all_of(work.db, kind)]
    data["webhooks"] = [
        given(record.document) for record in await documents.all_of(work.db, "webhook")
    ]
    return await asyncio.to_thread(
        yaml.safe_dump, data, sort_keys=False, allow_unicode=True, width=100
    )


def _line_of(error: Exception) -> str:
    """Where reading stopped, if the parser knows."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return ""
    return f"; look at line {mark.line + 1}, column {mark.column + 1}"


def read(text: str) -> Bundle:
    """Reads a bundle; a Problem (422) that names what is wrong.

    It computes for seconds where the file is large, so call it in a thread.
    """
    try:
        data = _Loader(text).get_single_data()
    except _Refused as error:
        raise invalid(f"the bundle is refused: {error}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise invalid(f"the bundle is not valid YAML{_line_of(error)}") from None
    _check_texts(data)
    try:
        # Loose at the top: YAML has dates where JSON has texts.
        bundle = Bundle.model_validate(data)
    except ValidationError as error:
        raise from_validation(error) from None
    if bundle.version != VERSION:
        raise invalid(f"this release reads bundles of version {VERSION}", "/version")
    return bundle


def clips(voices: Iterable[BundledVoice]) -> dict[str, MeasuredClip]:
    """The voices' clips by name, decoded and measured; a Problem (422) if one is none.

    It computes for some tenths of a second each, so call it in a thread.
    """
    found = {}
    for voice in voices:
        try:
            content = base64.b64decode(voice.clip, validate=True)
        except ValueError:  # other characters than those of base64
            raise invalid("the clip is not base64", f"/voices/{voice.name}/clip") from None
        found[voice.name] = measured(content)
    return found


async def load(
    work: Work, bundle: Bundle, measures: Mapping[str, MeasuredClip], count: TokenCounter
) -> ImportReport:
    """Brings the configuration to what the bundle says.

    Args:
        work: the transaction.
        bundle: what is wanted.
        measures: by name, the clips of the voices that were not there when it was read.
        count: counts the prompts' text tokens.
    """
    done: Counter[str] = Counter()
    for voice in bundle.voices:
        done[await _put_voice(work, voice, measures)] += 1
    for persona in bundle.personas:
        done[await _put_persona(work, persona, count)] += 1
    for trunk in bundle.trunks:
        done[await _put_document(work, "trunk", trunk.model_dump(mode="json"))] += 1
    for schedule in bundle.schedules:
        done[await _put_document(work, "schedule", schedule.model_dump(mode="json"))] += 1
    fresh = await _announce_numbers(work, bundle.numbers)
    for route in bundle.routes:
        done[await _put_document(work, "route", route.model_dump(mode="json"))] += 1
    for number in bundle.numbers:
        outcome = await _put_document(work, "number", number.model_dump(mode="json"))
        done["created" if number.name in fresh else outcome] += 1
    for limit in bundle.limits:
        done[await _put_document(work, "limit", limit.model_dump(mode="json"))] += 1
    for webhook in bundle.webhooks:
        done[await _put_webhook(work, webhook)] += 1
    if not work.audited:
        await work.audit("import", "bundle", "unchanged")
    return ImportReport(**{name: done[name] for name in ("created", "updated", "unchanged")})


async def _announce_numbers(work: Work, numbers: list[Number]) -> set[str]:
    """Stores new numbers without their targets; returns which.

    A number may lead to a route, and a route is reached by a number: one of them must come first.
    """
    fresh = set()
    for number in numbers:
        if await documents.find(work.db, "number", number.name) is None:
            bare = {**number.model_dump(mode="json"), "route": None, "persona": None}
            await _put_document(work, "number", bare)
            fresh.add(number.name)
    return fresh


async def _voice(work: Work, record: Record) -> dict[str, Any]:
    columns = tables.clips.c
    query = select(columns.content).where(columns.sha256 == record.document["sha256"])
    clip = await work.db.scalar(query)
    return {
        **{name: record.document[name] for name in _VOICE_FIELDS},
        "consent": record.document["consent"],
        "clip": base64.b64encode(clip or b"").decode(),
    }


async def _persona(work: Work, record: Record) -> dict[str, Any]:
    number = record.document["published"]
    return {
        "draft": record.document["draft"],
        "published": (
            None if number is None else await personas.version_content(work.db, record, number)
        ),
        "labels": record.document["labels"],
    }


async def _put_voice(work: Work, voice: BundledVoice, measures: Mapping[str, MeasuredClip]) -> str:
    fields = {name: getattr(voice, name) for name in _VOICE_FIELDS}
    record = await documents.find(work.db, "voice", voice.name)
    if record is None:
        if voice.name not in measures:
            raise conflict("voice_gone", f"voice '{voice.name}' was deleted meanwhile; try again")
        await store_voice(work, fields, measures[voice.name], voice.consent)
        return "created"
    consent = None if voice.consent is None else voice.consent.model_dump(mode="json")
    document = {**record.document, **fields, "consent": consent}
    return await _put(work, record, document)


async def _put_persona(work: Work, bundled: BundledPersona, count: TokenCounter) -> str:
    draft = contents.check(bundled.draft, count, "/personas")
    record = await documents.find(work.db, "persona", draft.name)
    outcome = "unchanged"
    if record is None:
        record = await personas.create(work, bundled.draft, bundled.labels, count)
        outcome = "created"
    number = record.document["published"]
    present = None if number is None else await personas.version_content(work.db, record, number)
    if bundled.published is not None and bundled.published != present:
        record = await personas.save_draft(work, record, bundled.published, bundled.labels, count)
        record = await personas.publish(work, record, None, "imported", count)
        outcome = "created" if outcome == "created" else "updated"
    kept = (record.document["draft"], record.document["labels"])
    if kept != (bundled.draft, bundled.labels):
        await personas.save_draft(work, record, bundled.draft, bundled.labels, count)
        outcome = "created" if outcome == "created" else "updated"
    return outcome


async def _put_document(work: Work, kind: str, document: dict[str, Any]) -> str:
    record = await documents.find(work.db, kind, document["name"])
    parsed = parse(kind, document)
    if record is None:
        await store_new(work, kind, parsed)
        return "created"
    if record.document == parsed.model_dump(mode="json"):
        return "unchanged"
    await store_changed(work, record, parsed)
    return "updated"


async def _put_webhook(work: Work, webhook: Webhook) -> str:
    document = webhook.model_dump(mode="json")
    record = await documents.find(work.db, "webhook", webhook.name)
    if record is None:
        await documents.create(work, "webhook", webhook.name, document)
        return "created"
    return await _put(work, record, {**record.document, **document})


async def _put(work: Work, record: Record, document: dict[str, Any]) -> str:
    if record.document == document:
        return "unchanged"
    await work.bump()
    await documents.change(work, record, document)
    return "updated"


class _Refused(yaml.YAMLError):
    """YAML that is well-formed and not taken; says why."""


class _Loader(Composer, _Parser, SafeConstructor, Resolver):
    """The safe loader, within limits, without aliases: a small file of them can be gigabytes.

    Its parser is libyaml's. Its composer is not: that one keeps every other thread, the event loop
    among them, from running until the whole file is read.
    """

    def __init__(self, text: str) -> None:
        _Parser.__init__(self, text)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self._depth = self._parts = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """One more part of the file."""
        if self.check_event(yaml.AliasEvent):
            raise _Refused("aliases (*name) are not understood here; write it out")
        self._parts += 1
        self._depth += 1
        if self._depth > MAX_DEPTH or self._parts > MAX_PARTS:
            raise _Refused(
                f"it is nested more than {MAX_DEPTH} deep, or has more than {MAX_PARTS} parts"
            )
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _check_texts(data: Any) -> None:
    waiting = [data]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            check_text(item)
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item
