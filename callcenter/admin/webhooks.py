"""Tells other systems of calls: a durable queue, signed requests, patience.

    call event -> one delivery for each webhook that wants it (same transaction as the event)
    delivery   -> POST, signed; 2xx is delivered; anything else is tried again, later and later

The signature is that of the Standard Webhooks specification: HMAC-SHA256 over
"{webhook-id}.{webhook-timestamp}.{body}". `webhook-id` is the same at every attempt, so that a
receiver can tell a repetition. The signing secret is derived from the program's own secret, the
webhook's id and how often it was replaced, and is stored nowhere. For a day after it was replaced,
requests carry two signatures, by the new secret and by the one before.

Receivers are strangers to each other: each webhook has a few deliveries under way at once and no
more, so that one which is slow holds up its own only, and what goes wrong with a delivery is put
down with that delivery. After the last attempt it is "failed": seen at the API, delivered again by
hand.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import structlog
from sqlalchemy import insert, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from callcenter import metrics
from callcenter.admin import outgoing
from callcenter.admin.ids import new_id
from callcenter.admin.outgoing import NotSent, Sender
from callcenter.admin.store import calls, documents, tables
from callcenter.admin.store.database import Database
from callcenter.admin.store.faults import described
from callcenter.admin.store.work import Work
from callcenter.background import end_all
from callcenter.records.journal import Entry

EVENTS = ("call.started", "call.answered", "call.ended", "call.refused")
_EVENT_OF = {
    "call_announced": "call.started",
    "session_ready": "call.answered",
    "call_ended": "call.ended",
    "call_refused": "call.refused",
}
RETRY_AFTER_S = (5, 30, 120, 600, 3_600, 21_600, 86_400)
LOCKED_FOR = timedelta(seconds=60)  # longer than an attempt may take (outgoing.TOTAL_S)
OLD_SECRET_FOR = timedelta(hours=24)
LOOK_EVERY_S = 1.0
AT_ONCE = 4  # deliveries of one webhook
MAX_ERROR_CHARS = 500
_TABLE = tables.deliveries

log = structlog.get_logger(__name__)


def signing_secret(master: str, webhook_id: str, number: int = 0) -> str:
    """A webhook's signing secret, `whsec_` and base64.

    Args:
        master: the program's secret.
        webhook_id: whose.
        number: how often it was replaced.
    """
    named = f"webhook {webhook_id} {number}" if number else f"webhook {webhook_id}"
    digest = hmac.new(master.encode(), named.encode(), hashlib.sha256).digest()
    return f"whsec_{base64.b64encode(digest).decode()}"


def replaced(document: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """A webhook's document with its next secret; the one before is good for a while."""
    return {
        **document,
        "secret_number": document.get("secret_number", 0) + 1,
        "old_secret_until": (now + OLD_SECRET_FOR).isoformat(),
    }


def signature(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """One signature, as it stands in `webhook-signature`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def event_id(call_id: str, event: str) -> str:
    """The id of an event of a call, the same for all webhooks and at every attempt."""
    return hashlib.sha256(f"{call_id} {event}".encode()).hexdigest()[:32]


def _event_of(entry: Entry) -> str | None:
    """What a webhook calls it; a route that sends callers on to a number refuses nobody."""
    if entry.kind == "call_refused" and entry.data.get("outcome") == "transferred":
        return "call.ended"
    return _EVENT_OF.get(entry.kind)


def signatures(secrets: Sequence[str], message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of `webhook-signature`: one for each secret that is good."""
    return " ".join(signature(each, message_id, timestamp_s, body) for each in secrets)


def good_secrets(
    master: str, webhook_id: str, document: Mapping[str, Any], now: datetime
) -> list[str]:
    """A webhook's secret, and for a while the one before."""
    number, until = document.get("secret_number", 0), document.get("old_secret_until")
    numbers = [number]
    if until is not None and now < datetime.fromisoformat(until):
        numbers.append(number - 1)
    return [signing_secret(master, webhook_id, each) for each in numbers]


async def enqueue(work: Work, entries: Sequence[Entry]) -> None:
    """Puts a delivery down for every webhook that wants one of these entries."""
    wanted = [(entry, event) for entry in entries if (event := _event_of(entry))]
    if not wanted:
        return
    for webhook in await documents.all_of(work.db, "webhook"):
        for entry, event in wanted:
            if _wants(webhook.document, event):
                await _put_down(work, webhook.id, entry, event)


def _wants(document: Mapping[str, Any], event: str) -> bool:
    """Whether a webhook is told; one in no form of ours keeps no call from being recorded."""
    events = document.get("events")
    return document.get("enabled") is True and isinstance(events, list) and event in events


async def _put_down(work: Work, webhook_id: str, entry: Entry, event: str) -> None:
    same = event_id(entry.call_id, event)
    known = select(_TABLE.c.id).where(_TABLE.c.webhook_id == webhook_id, _TABLE.c.event_id == same)
    if await work.db.scalar(known) is not None:
        return
    payload = {
        "type": event,
        "timestamp": datetime.fromtimestamp(entry.at_s, UTC).isoformat(),
        "data": {"call_id": entry.call_id, **entry.data, **await _who_and_when(work, entry)},
    }
    await work.db.execute(
        insert(_TABLE).values(
            id=new_id("dlv"),
            webhook_id=webhook_id,
            event_id=same,
            event=event,
            payload=payload,
            state="pending",
            attempts=0,
            next_attempt_at=work.now,
            error="",
            created_at=work.now,
        )
    )


async def _who_and_when(work: Work, entry: Entry) -> dict[str, Any]:
    """What a receiver wants with every event: the call, as far as it is known now."""
    row = await calls.get(work.db, entry.call_id)
    if row is None:
        return {}
    times = {name: row[name] and row[name].isoformat() for name in ("started_at", "ended_at")}
    named = ("transport", "trunk", "route", "persona", "persona_version")
    return {"from": row["caller"], "to": row["called"], **times, **{n: row[n] for n in named}}


class Deliverer:
    """Sends what is due.

    Args:
        http: what sends; `outgoing.client` makes it.
        master: the program's secret.
        allow_private: whether addresses of the own network may be told; a webhook's address comes
            from an admin, who need not be the one who runs the network.
    """

    def __init__(
        self, database: Database, http: httpx.AsyncClient, master: str, allow_private: bool
    ) -> None:
        self._database = database
        self._sender = Sender(http, allow_private)
        self._master = master
        self._under_way: set[asyncio.Task[None]] = set()
        self._of_webhook: Counter[str] = Counter()
        self._one_ended = asyncio.Event()

    async def run(self) -> None:
        """Delivers for ever; cancel it at the end of the process, then call `close`."""
        while True:
            self._one_ended.clear()
            try:
                begun = await self._begin_due(datetime.now(UTC))
            except SQLAlchemyError as error:  # the database is away
                log.warning("deliveries_not_read", detail=described(error))
                begun = []
            if begun:
                continue
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._one_ended.wait()
            except TimeoutError:  # time to look for what is due now
                continue

    async def deliver_due(self, now: datetime) -> int:
        """Tries deliveries that are due, once, and waits for them; returns how many."""
        begun = await self._begin_due(now)
        await asyncio.gather(*begun)
        return len(begun)

    async def close(self) -> None:
        """Gives up what is under way; it is due again in a minute."""
        await end_all(self._under_way)
        self._sender.close()

    async def _begin_due(self, now: datetime) -> list[asyncio.Task[None]]:
        """Starts as many deliveries of each webhook as may be under way."""
        begun = []
        for delivery in await self._take(now):
            task = asyncio.create_task(self._deliver(delivery, now))
            webhook_id = delivery["webhook_id"]
            self._of_webhook[webhook_id] += 1
            self._under_way.add(task)
            task.add_done_callback(partial(self._ended, webhook_id))
            begun.append(task)
        return begun

    def _ended(self, webhook_id: str, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._of_webhook[webhook_id] -= 1
        self._one_ended.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("delivery_not_put_down", detail=described(error), exc_info=error)

    async def _take(self, now: datetime) -> list[dict[str, Any]]:
        """Locks some due deliveries, so that another admin process leaves them alone."""
        is_due = (_TABLE.c.state == "pending") & (_TABLE.c.next_attempt_at <= now)
        async with self._database.reading() as db:
            waiting = list(await db.scalars(select(_TABLE.c.webhook_id).where(is_due).distinct()))
        rooms = {each: AT_ONCE - self._of_webhook[each] for each in waiting}
        rooms = {webhook_id: room for webhook_id, room in rooms.items() if room > 0}
        if not rooms:
            return []
        due: list[dict[str, Any]] = []
        async with self._database.writing() as db:
            for webhook_id, room in rooms.items():
                query = (
                    select(_TABLE, tables.documents.c.document)
                    .join(tables.documents, tables.documents.c.id == _TABLE.c.webhook_id)
                    .where(is_due, _TABLE.c.webhook_id == webhook_id)
                    .order_by(_TABLE.c.next_attempt_at)
                    .limit(room)
                )
                due += [row._asdict() for row in await db.execute(query)]
            chosen = _TABLE.c.id.in_([delivery["id"] for delivery in due])
            await db.execute(update(_TABLE).where(chosen).values(next_attempt_at=now + LOCKED_FOR))
        return due

    async def _deliver(self, delivery: dict[str, Any], now: datetime) -> None:
        (outcome,) = await asyncio.gather(self._send(delivery, now), return_exceptions=True)
        if isinstance(outcome, BaseException):  # this delivery's trouble, nobody else's
            log.error("delivery_failed", delivery=delivery["id"], exc_info=outcome)
            outcome = None, type(outcome).__name__
        status, error = outcome
        attempts = delivery["attempts"] + 1
        values: dict[str, Any] = {"attempts": attempts, "status": status, "error": error}
        if not error:
            values |= {"state": "delivered", "delivered_at": now, "next_attempt_at": None}
            result = "delivered"
        elif attempts > len(RETRY_AFTER_S):
            values |= {"state": "failed", "next_attempt_at": None}
            result = "failed"
        else:
            wait = timedelta(seconds=RETRY_AFTER_S[attempts - 1])
            values |= {"next_attempt_at": now + wait}
            result = "retried"
        async with self._database.writing() as db:
            await db.execute(update(_TABLE).where(_TABLE.c.id == delivery["id"]).values(**values))
        metrics.WEBHOOK_DELIVERIES.labels(result).inc()

    async def _send(self, delivery: dict[str, Any], now: datetime) -> tuple[int | None, str]:
        """One attempt; returns the status and what went wrong."""
        body = json.dumps(delivery["payload"], separators=(",", ":")).encode()
        document, event_id = delivery["document"], delivery["event_id"]
        stamp = round(now.timestamp())
        secrets = good_secrets(self._master, delivery["webhook_id"], document, now)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": str(stamp),
            "webhook-signature": signatures(secrets, event_id, stamp, body),
        }
        try:
            status = await self._sender.post(document["url"], body, headers)
        except NotSent as error:  # nobody there, not in time, or an address that may not be called
            why = str(error).encode("ascii", "backslashreplace").decode().replace("\0", "")
            return None, why[:MAX_ERROR_CHARS]
        return status, "" if 200 <= status < 300 else f"answered {status}"


def http_client() -> httpx.AsyncClient:
    """What a `Deliverer` sends with."""
    return outgoing.client()


def delivery_of(webhook_id: str, delivery_id: str) -> Any:
    """Selects a delivery of a webhook."""
    return select(_TABLE).where(
        _TABLE.c.webhook_id == webhook_id,
        or_(_TABLE.c.id == delivery_id, _TABLE.c.event_id == delivery_id),
    )
