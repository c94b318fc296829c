"""Tells other systems of calls: a durable queue, signed requests, patience.

    call event -> one delivery for each webhook that wants it (same transaction as the event)
    delivery   -> POST, signed; 2xx is delivered; anything else is tried again, later and later

The signature is that of the Standard Webhooks specification: HMAC-SHA256 over
"{webhook-id}.{webhook-timestamp}.{body}". `webhook-id` is the same at every attempt, so that a
receiver can tell a repetition. The signing secret is derived from the program's own secret and is
stored nowhere.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import structlog
from sqlalchemy import insert, or_, select, update
from sqlalchemy.exc import DBAPIError

from callcenter.admin.ids import new_id
from callcenter.admin.store import calls, documents, tables
from callcenter.admin.store.database import Database
from callcenter.admin.store.work import Work
from callcenter.records.journal import Entry

EVENTS = ("call.started", "call.answered", "call.ended", "call.refused")
_EVENT_OF = {
    "call_announced": "call.started",
    "session_ready": "call.answered",
    "call_ended": "call.ended",
    "call_refused": "call.refused",
}
RETRY_AFTER_S = (5, 30, 120, 600, 3_600, 21_600, 86_400)
ATTEMPT_TIMEOUT_S = 10.0
LOCKED_FOR = timedelta(seconds=60)
LOOK_EVERY_S = 1.0
BATCH = 20
_TABLE = tables.deliveries

log = structlog.get_logger(__name__)


def signing_secret(master: str, webhook_id: str) -> str:
    """A webhook's signing secret, `whsec_` and base64."""
    digest = hmac.new(master.encode(), f"webhook {webhook_id}".encode(), hashlib.sha256).digest()
    return f"whsec_{base64.b64encode(digest).decode()}"


def signature(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
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


async def enqueue(work: Work, entries: Sequence[Entry]) -> None:
    """Puts a delivery down for every webhook that wants one of these entries."""
    wanted = [(entry, event) for entry in entries if (event := _event_of(entry))]
    if not wanted:
        return
    for webhook in await documents.all_of(work.db, "webhook"):
        for entry, event in wanted:
            if webhook.document["enabled"] and event in webhook.document["events"]:
                await _put_down(work, webhook.id, entry, event)


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
        master: the program's secret.
        allow_private: whether addresses of the own network may be told; a webhook's address comes
            from an admin, who need not be the one who runs the network.
    """

    def __init__(
        self, database: Database, http: httpx.AsyncClient, master: str, allow_private: bool
    ) -> None:
        self._database = database
        self._http = http
        self._master = master
        self._allow_private = allow_private

    async def run(self) -> None:
        """Delivers for ever; cancel it at the end of the process."""
        while True:
            try:
                sent = await self.deliver_due(datetime.now(UTC))
            except DBAPIError as error:  # the database is away
                log.warning("deliveries_not_read", detail=str(error))
                sent = 0
            if not sent:
                await asyncio.sleep(LOOK_EVERY_S)

    async def deliver_due(self, now: datetime) -> int:
        """Tries every delivery that is due, once; returns how many."""
        due = await self._take(now)
        await asyncio.gather(*[self._deliver(delivery, now) for delivery in due])
        return len(due)

    async def _take(self, now: datetime) -> list[dict[str, Any]]:
        """Locks some due deliveries, so that another admin process leaves them alone."""
        query = (
            select(_TABLE, tables.documents.c.document)
            .join(tables.documents, tables.documents.c.id == _TABLE.c.webhook_id)
            .where(_TABLE.c.state == "pending", _TABLE.c.next_attempt_at <= now)
            .order_by(_TABLE.c.next_attempt_at)
            .limit(BATCH)
        )
        async with self._database.reading() as db:
            if (await db.execute(query)).first() is None:
                return []
        async with self._database.writing() as db:
            due = [row._asdict() for row in await db.execute(query)]
            chosen = _TABLE.c.id.in_([delivery["id"] for delivery in due])
            await db.execute(update(_TABLE).where(chosen).values(next_attempt_at=now + LOCKED_FOR))
        return due

    async def _deliver(self, delivery: dict[str, Any], now: datetime) -> None:
        status, error = await self._send(delivery, now)
        attempts = delivery["attempts"] + 1
        values: dict[str, Any] = {"attempts": attempts, "status": status, "error": error}
        if not error:
            values |= {"state": "delivered", "delivered_at": now, "next_attempt_at": None}
        elif attempts > len(RETRY_AFTER_S):
            values |= {"state": "failed", "next_attempt_at": None}
        else:
            wait = timedelta(seconds=RETRY_AFTER_S[attempts - 1])
            values |= {"next_attempt_at": now + wait}
        async with self._database.writing() as db:
            await db.execute(update(_TABLE).where(_TABLE.c.id == delivery["id"]).values(**values))

    async def _send(self, delivery: dict[str, Any], now: datetime) -> tuple[int | None, str]:
        """One attempt; returns the status and what went wrong."""
        url = delivery["document"]["url"]
        body = json.dumps(delivery["payload"], separators=(",", ":")).encode()
        stamp = round(now.timestamp())
        secret = signing_secret(self._master, delivery["webhook_id"])
        headers = {
            "Content-Type": "application/json",
            "webhook-id": delivery["event_id"],
            "webhook-timestamp": str(stamp),
            "webhook-signature": signature(secret, delivery["event_id"], stamp, body),
        }
        if not self._allow_private and (why := await private_address(url)):
            return None, why
        try:
            response = await self._http.post(
                url, content=body, headers=headers, timeout=ATTEMPT_TIMEOUT_S
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:  # nobody there, or not in time
            log.info("webhook_not_reached", detail=f"{type(error).__name__}: {error}")
            return None, _why_not_reached(error)
        if response.is_success:
            return response.status_code, ""
        return response.status_code, f"answered {response.status_code}"


def _why_not_reached(error: httpx.HTTPError | httpx.InvalidURL) -> str:
    """In words; the library's own go to the log."""
    match error:
        case httpx.ConnectTimeout() | httpx.ConnectError():
            return "no connection: nobody answers at this address, or its certificate is not valid"
        case httpx.TimeoutException():
            return f"no answer within {ATTEMPT_TIMEOUT_S:g} s"
        case httpx.InvalidURL() | httpx.UnsupportedProtocol():
            return "the address is no web address"
    return "the connection broke before an answer came"


async def private_address(url: str) -> str:
    """Why a URL may not be called: its host is in a private network; "" if it is not."""
    host = urlsplit(url).hostname or ""
    try:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # no such name
        return f"there is no host named {host}; check the address"
    for *_, address in found:
        if not ipaddress.ip_address(str(address[0]).split("%")[0]).is_global:
            return f"{host} is an address of a private network; WEBHOOKS_PRIVATE allows those"
    return ""


def delivery_of(webhook_id: str, delivery_id: str) -> Any:
    """Selects a delivery of a webhook."""
    return select(_TABLE).where(
        _TABLE.c.webhook_id == webhook_id,
        or_(_TABLE.c.id == delivery_id, _TABLE.c.event_id == delivery_id),
    )
