"""Webhooks: signed, queued with the event, tried again, delivered again."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text, update

from callcenter import metrics
from callcenter.admin import webhooks
from callcenter.admin.store import tables
from callcenter.admin.store.work import SYSTEM, Work
from callcenter.admin.webhooks import RETRY_AFTER_S, Deliverer
from callcenter.records.journal import Entry
from tests.integration.admin.conftest import ADMIN_SECRET, Admin

ENDED = Entry("call-1", 1_790_000_000.0, "call_ended", {"outcome": "answered"})


@dataclass
class Receiver:
    """Somebody else's system.

    Attributes:
        answers: statuses to give, one after the other; 200 when they are used up.
    """

    answers: list[int] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer."""
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.requests.append((headers, body))
        status = self.answers.pop(0) if self.answers else 200
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Listens on a free port."""
    found = Receiver()
    listening = await asyncio.start_server(found.answer, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/hook"
    async with listening:
        yield found


async def hook(admin: Admin, url: str, *events: str) -> dict:
    """Makes a webhook that is not delivered to by the app's own loop."""
    body = {"name": "crm", "title": "CRM", "url": url, "events": list(events or ["call.ended"])}
    response = await admin.http.post("/v1/webhooks", json=body)
    assert response.status_code == 201, response.text
    return response.json()


async def happen(admin: Admin, *entries: Entry) -> None:
    """Something happens to a call; the app's own loop never finds it due."""
    long_after = datetime.now(UTC) + timedelta(days=1_000)
    async with admin.parts.database.writing() as db:
        await webhooks.enqueue(Work(db, SYSTEM, long_after), entries)


async def deliver(admin: Admin, after: timedelta = timedelta()) -> int:
    """Delivers what is due a thousand days and some time later."""
    deliverer = Deliverer(admin.parts.database, admin.parts.http, ADMIN_SECRET, True)
    return await deliverer.deliver_due(datetime.now(UTC) + timedelta(days=1_000, seconds=1) + after)


async def deliveries(admin: Admin) -> list[dict]:
    """As the API shows them."""
    return (await admin.http.get("/v1/webhooks/crm/deliveries")).json()["items"]


async def test_a_delivery_is_signed(either_admin: Admin, receiver: Receiver) -> None:
    """By the secret that was shown once, over id, time and body (Standard Webhooks)."""
    made = await hook(either_admin, receiver.url)
    await happen(either_admin, ENDED)
    assert await deliver(either_admin) == 1
    headers, body = receiver.requests[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(made["secret"].removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert json.loads(body)["data"] == {"call_id": "call-1", "outcome": "answered"}
    assert (await deliveries(either_admin))[0]["state"] == "delivered"
    assert "secret" not in (await either_admin.http.get("/v1/webhooks/crm")).json()


def signed_by(secret: str, headers: dict[str, str], body: bytes) -> str:
    """What a receiver with that secret expects among the signatures."""
    stamp = int(headers["webhook-timestamp"])
    return webhooks.signature(secret, headers["webhook-id"], stamp, body)


async def test_a_secret_is_replaced(either_admin: Admin, receiver: Receiver) -> None:
    """For a day both sign, then the new one alone; changes and bundles leave that as it is."""
    first = await hook(either_admin, receiver.url)
    url = "/v1/webhooks/crm"
    second = (await either_admin.http.post(f"{url}/replace_secret")).json()
    assert (second["secret_number"], first["secret_number"]) == (1, 0)
    assert second["secret"] != first["secret"]
    tag = {"If-Match": "*"}
    patched = await either_admin.http.patch(url, json={"title": "x"}, headers=tag)
    assert patched.status_code == 200, patched.text
    assert patched.json()["secret_number"] == 1
    forged = await either_admin.http.patch(url, json={"secret_number": 0}, headers=tag)
    assert forged.status_code == 422
    text = (await either_admin.http.get("/v1/export")).text
    assert "secret_number" not in text
    yaml = {"Content-Type": "application/yaml"}
    same = await either_admin.http.put("/v1/import", content=text, headers=yaml)
    assert same.json()["updated"] == 0, same.text
    for call_id, after_days in (("call-1", 0), ("call-2", 2)):
        then = datetime.now(UTC) + timedelta(days=after_days)
        async with either_admin.parts.database.writing() as db:
            await webhooks.enqueue(
                Work(db, SYSTEM, then + timedelta(seconds=60)),
                [Entry(call_id, ENDED.at_s, "call_ended", {})],
            )
        deliverer = Deliverer(
            either_admin.parts.database, either_admin.parts.http, ADMIN_SECRET, True
        )
        assert await deliverer.deliver_due(then + timedelta(seconds=61)) == 1
    (early, early_body), (late, late_body) = receiver.requests
    assert early["webhook-signature"].split() == [
        signed_by(second["secret"], early, early_body),
        signed_by(first["secret"], early, early_body),
    ]
    assert late["webhook-signature"] == signed_by(second["secret"], late, late_body)


async def test_a_failure_is_tried_again_later(either_admin: Admin, receiver: Receiver) -> None:
    """Later and later, with the same id; the queue survives in the database between."""
    receiver.answers = [500, 404]
    await hook(either_admin, receiver.url)
    await happen(either_admin, ENDED)
    assert await deliver(either_admin) == 1
    assert await deliver(either_admin) == 0
    first = (await deliveries(either_admin))[0]
    assert (first["state"], first["status"], first["attempts"]) == ("pending", 500, 1)
    assert await deliver(either_admin, timedelta(seconds=RETRY_AFTER_S[0] + 1)) == 1
    assert await deliver(either_admin, timedelta(seconds=RETRY_AFTER_S[0] + 1)) == 0
    assert await deliver(either_admin, timedelta(seconds=60)) == 1
    assert (await deliveries(either_admin))[0]["state"] == "delivered"
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1
    assert len(receiver.requests) == 3


async def test_nobody_listens_for_ever(admin: Admin) -> None:
    """After the last attempt it has failed, and can be delivered again by hand."""
    await hook(admin, "http://127.0.0.1:9/")
    await happen(admin, ENDED)
    for attempt in range(len(RETRY_AFTER_S) + 1):
        assert await deliver(admin, timedelta(days=2 * attempt)) == 1
    failed = (await deliveries(admin))[0]
    assert (failed["state"], failed["attempts"]) == ("failed", len(RETRY_AFTER_S) + 1)
    assert "no connection" in failed["error"]
    again = await admin.http.post(f"/v1/webhooks/crm/deliveries/{failed['id']}/redeliver")
    assert (again.status_code, again.json()["state"]) == (202, "pending")


async def test_an_event_is_delivered_once(admin: Admin, receiver: Receiver) -> None:
    """Though the journal's entry was read twice; others are not asked for."""
    await hook(admin, receiver.url)
    other = Entry("call-1", 1_790_000_000.0, "call_announced", {})
    await happen(admin, ENDED, other)
    await happen(admin, ENDED)
    assert await deliver(admin) == 1
    assert len(receiver.requests) == 1


async def test_two_processes_do_not_deliver_twice(admin: Admin, receiver: Receiver) -> None:
    """A taken delivery is locked for a minute."""
    await hook(admin, receiver.url)
    await happen(admin, ENDED)
    assert sorted(await asyncio.gather(deliver(admin), deliver(admin))) == [0, 1]


async def test_private_networks_are_off_limits(admin: Admin, receiver: Receiver) -> None:
    """Unless whoever runs the program allows them."""
    await hook(admin, receiver.url)
    await happen(admin, ENDED)
    deliverer = Deliverer(admin.parts.database, admin.parts.http, ADMIN_SECRET, False)
    await deliverer.deliver_due(datetime.now(UTC) + timedelta(days=1_001))
    assert not receiver.requests
    assert "private network" in (await deliveries(admin))[0]["error"]


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://x", "http://", "//x", "http://user:x@host/", "http://host:99999/"),
        f"https://{'a' * 64}.example.com/",
    ],
)
async def test_bad_addresses(admin: Admin, url: str) -> None:
    """Refused when they are put down."""
    body = {"name": "crm", "title": "CRM", "url": url, "events": ["call.ended"]}
    assert (await admin.http.post("/v1/webhooks", json=body)).status_code == 422


async def test_the_loop_delivers_by_itself(admin: Admin, receiver: Receiver) -> None:
    """From the journal to the receiver without anybody's help."""
    await hook(admin, receiver.url)
    admin.parts.deliverer._sender._allow_private = True
    async with admin.parts.database.writing() as db:
        await webhooks.enqueue(Work(db, SYSTEM, datetime.now(UTC)), [ENDED])
    while not receiver.requests:  # noqa: ASYNC110 - the receiver tells nobody
        await asyncio.sleep(0.05)
    async with admin.parts.database.reading() as db:
        assert await db.scalar(text("SELECT count(*) FROM deliveries")) == 1


async def other_hook(admin: Admin, name: str, url: str) -> None:
    """One more webhook for the end of calls."""
    body = {"name": name, "title": name, "url": url, "events": ["call.ended"]}
    assert (await admin.http.post("/v1/webhooks", json=body)).status_code == 201


async def test_a_slow_receiver_holds_up_its_own_only(admin: Admin, receiver: Receiver) -> None:
    """It has a hundred deliveries due, and never answers one; the other's are all delivered."""
    begun = 0

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal begun
        begun += 1
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as deaf:
        await other_hook(admin, "deaf", f"http://127.0.0.1:{deaf.sockets[0].getsockname()[1]}/")
        await other_hook(admin, "crm", receiver.url)
        ends = [Entry(f"call-{number}", ENDED.at_s, "call_ended", {}) for number in range(100)]
        admin.parts.deliverer._sender._allow_private = True
        async with admin.parts.database.writing() as db:
            await webhooks.enqueue(Work(db, SYSTEM, datetime.now(UTC)), ends)
        async with asyncio.timeout(20):
            while len(receiver.requests) < 100:  # noqa: ASYNC110 - the receiver tells nobody
                await asyncio.sleep(0.05)
        assert begun == webhooks.AT_ONCE


async def test_what_goes_wrong_with_one_delivery_is_its_own(
    admin: Admin, receiver: Receiver
) -> None:
    """A URL from before such were refused, and a mistake of ours: the next one goes out."""
    await hook(admin, receiver.url)
    for name in ("odd", "broken"):
        await other_hook(admin, name, "http://127.0.0.1:9/")
    async with admin.parts.database.writing() as db:
        for name, url in (("odd", f"http://{'a' * 64}.example:99999/"), ("broken", None)):
            document = {"url": url, "enabled": True, "events": ["call.ended"], "name": name}
            columns = tables.documents.c
            chosen = (columns.kind == "webhook") & (columns.name == name)
            await db.execute(update(tables.documents).where(chosen).values(document=document))
    await happen(admin, ENDED)
    failed = metrics.WEBHOOK_DELIVERIES.labels("retried")._value.get()
    assert await deliver(admin) == 3
    assert len(receiver.requests) == 1
    assert metrics.WEBHOOK_DELIVERIES.labels("retried")._value.get() - failed == 2
    for name, why in (("odd", "URL cannot be used"), ("broken", "AttributeError")):
        query = select(tables.deliveries.c.error).join(
            tables.documents, tables.documents.c.id == tables.deliveries.c.webhook_id
        )
        async with admin.parts.database.reading() as db:
            error = await db.scalar(query.where(tables.documents.c.name == name))
        assert why in error
