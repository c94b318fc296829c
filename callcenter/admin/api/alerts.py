"""What a person should see to: capacity, publishing, voices, failing calls and webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel
from sqlalchemy import case, func, select

from callcenter.admin import personas
from callcenter.admin.api.workers import PoolView
from callcenter.admin.store import documents, tables
from callcenter.admin.store.documents import Record
from callcenter.admin.store.work import Work
from callcenter.admin.voices.consent import why_blocked

CONSENT_ENDS_SOON = timedelta(days=14)
RECENT = timedelta(hours=1)
FEW_FAILED = 3  # as many may fail in an hour without a word
FAILED_SHARE = 0.1
LOST = ("failed", "rejected_capacity")  # ours to see to; who hangs up while it rings is not
_CALLS, _DELIVERIES = tables.calls.c, tables.deliveries.c


class Alert(BaseModel):
    """Something that a person should see to."""

    level: Literal["warning", "error"]
    code: str
    text: str


def error(code: str, text: str) -> Alert:
    """Calls suffer now."""
    return Alert(level="error", code=code, text=text)


def warning(code: str, text: str) -> Alert:
    """Calls may suffer, or somebody misses news of them."""
    return Alert(level="warning", code=code, text=text)


def of_pools(pools: Sequence[PoolView]) -> list[Alert]:
    """Pools without a worker, and no free slot anywhere."""
    alerts = [
        error("no_worker", f"pool {pool.name} has no worker") for pool in pools if not pool.workers
    ]
    if any(pool.workers for pool in pools) and not any(pool.free for pool in pools):
        alerts.append(error("no_free_slot", "no worker has a free slot for a new call"))
    return alerts


async def of_voices(work: Work) -> list[Alert]:
    """Consents that end soon, and personas whose voice may not speak any more."""
    voices = {record.name: record for record in await documents.all_of(work.db, "voice")}
    alerts = [found for record in voices.values() if (found := _ends_soon(record, work.now))]
    for persona in await documents.all_of(work.db, "persona"):
        published = persona.document["published"]
        if published is None:
            continue
        content = await personas.version_content(work.db, persona, published)
        voice = voices.get(content["voice"])
        why = "its voice is gone" if voice is None else _blocked(voice, work.now)
        if why:
            alerts.append(error("voice_blocked", f"persona {persona.name} cannot answer: {why}"))
    return alerts


async def of_calls(work: Work) -> list[Alert]:
    """Many calls that failed in the last hour."""
    failed = func.coalesce(func.sum(case((_CALLS.outcome.in_(LOST), 1), else_=0)), 0)
    query = select(func.count(), failed).where(_CALLS.started_at >= work.now - RECENT)
    number, lost = (await work.db.execute(query)).one()
    if lost <= max(FEW_FAILED, FAILED_SHARE * number):
        return []
    return [error("calls_fail", f"{lost} of {number} calls failed in the last hour")]


async def of_webhooks(work: Work) -> list[Alert]:
    """Webhooks that did not take what was sent to them in the last hour."""
    names = {record.id: record.name for record in await documents.all_of(work.db, "webhook")}
    query = (
        select(_DELIVERIES.webhook_id, func.count())
        .where(_DELIVERIES.state == "failed", _DELIVERIES.created_at >= work.now - RECENT)
        .group_by(_DELIVERIES.webhook_id)
    )
    return [
        warning("webhook_fails", f"webhook {names[key]}: {number} deliveries were given up")
        for key, number in await work.db.execute(query)
        if key in names
    ]


def of_tasks(trouble: str) -> list[Alert]:
    """Tasks beside the routes that have ended and were started again."""
    return [error("task_ends", trouble)] if trouble else []


def of_journal(aside: int) -> list[Alert]:
    """Entries of calls that could not be stored."""
    if not aside:
        return []
    text = f"{aside} entries of the call journal were put aside: see cc:journal:aside in Redis"
    return [warning("journal_entries_aside", text)]


def _ends_soon(voice: Record, now: datetime) -> Alert | None:
    until = (voice.document["consent"] or {}).get("expires_at")
    if until is None or not timedelta(0) < datetime.fromisoformat(until) - now < CONSENT_ENDS_SOON:
        return None
    return warning("consent_ends", f"the consent for voice {voice.name} ends on {until[:10]}")


def _blocked(voice: Record, now: datetime) -> str:
    return why_blocked({**voice.document, "name": voice.name}, now)
