"""Erases calls: their rows, their events, what webhooks were told of them, kept answers.

Journal entries have their ids in common with `call_events`, so the caller of these functions can
take the same entries out of Redis. The audit log is not touched: it names calls by their id only.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from callcenter.admin.store import tables
from callcenter.admin.store.replays import KEPT
from callcenter.admin.webhooks import EVENTS, event_id

BATCH = 200  # calls of one transaction: others wait for their turn no longer than that takes
_CALLS, _EVENTS, _TOLD = tables.calls, tables.call_events, tables.deliveries
_ANSWERS = tables.idempotency


async def old_calls(db: AsyncConnection, begun_before: datetime) -> list[str]:
    """Ids of some ended calls that began before a moment, the oldest first."""
    query = (
        select(_CALLS.c.id)
        .where(_CALLS.c.state == "ended", _CALLS.c.started_at < begun_before)
        .order_by(_CALLS.c.started_at)
        .limit(BATCH)
    )
    return [call_id for (call_id,) in await db.execute(query)]


async def calls_from(db: AsyncConnection, number: str) -> tuple[list[str], int]:
    """Ids of some ended calls from a number, and how many are still going on."""
    forms = spellings(number)
    query = select(_CALLS.c.id, _CALLS.c.state).where(_CALLS.c.caller.in_(forms))
    found = (await db.execute(query.order_by(_CALLS.c.started_at))).all()
    ended = [row.id for row in found if row.state == "ended"]
    return ended[:BATCH], len(found) - len(ended)


def spellings(number: str) -> list[str]:
    """The forms in which carriers send one caller's number: "+49…", "49…", "0049…"."""
    bare = number.strip()
    digits = bare.removeprefix("+")
    if not digits.isdigit():  # a SIP user, "anonymous": as it is
        return [bare]
    digits = digits.removeprefix("00")
    return [f"+{digits}", digits, f"00{digits}"]


async def journal_entries(db: AsyncConnection, calls: Sequence[str]) -> list[str]:
    """Ids of all that was put down of some calls."""
    query = select(_EVENTS.c.id).where(_EVENTS.c.call_id.in_(calls))
    return [key for (key,) in await db.execute(query)]


async def erase(db: AsyncConnection, calls: Sequence[str]) -> None:
    """Erases calls and all that hangs on them.

    Args:
        db: a writing transaction.
        calls: at most `BATCH` ids.
    """
    told = [event_id(call_id, event) for call_id in calls for event in EVENTS]
    await db.execute(delete(_EVENTS).where(_EVENTS.c.call_id.in_(calls)))
    await db.execute(delete(_TOLD).where(_TOLD.c.event_id.in_(told)))
    await db.execute(delete(_CALLS).where(_CALLS.c.id.in_(calls)))
    await _forget_answers(db, calls)


async def _forget_answers(db: AsyncConnection, calls: Sequence[str]) -> None:
    """Answers that are kept for a repetition show a call with its caller."""
    words = [call_id.encode() for call_id in calls]
    kept = (await db.execute(select(_ANSWERS.c.actor, _ANSWERS.c.key, _ANSWERS.c.body))).all()
    for row in kept:
        if any(word in row.body for word in words):
            same = (_ANSWERS.c.actor == row.actor) & (_ANSWERS.c.key == row.key)
            await db.execute(delete(_ANSWERS).where(same))


async def tidy(db: AsyncConnection, now: datetime, told_before: datetime | None) -> None:
    """Erases what has no call to go with: old deliveries, answers, sessions, trials.

    Args:
        db: a writing transaction.
        now: the moment.
        told_before: deliveries that were made before it go; None keeps all.
    """
    await db.execute(delete(_ANSWERS).where(_ANSWERS.c.created_at < now - KEPT))
    await db.execute(delete(tables.sessions).where(tables.sessions.c.expires_at < now))
    await db.execute(delete(tables.trials).where(tables.trials.c.expires_at < now))
    if told_before is not None:
        old = (_TOLD.c.created_at < told_before) & (_TOLD.c.state != "pending")
        some = select(_TOLD.c.id).where(old).limit(10 * BATCH)
        await db.execute(delete(_TOLD).where(_TOLD.c.id.in_(some)))
