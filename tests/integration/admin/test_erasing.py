"""Calls end their time: erased one by one, by caller, and by age; nothing of them is left."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from callcenter.admin import intake
from callcenter.admin.aside import ASIDE_STREAM
from callcenter.admin.store import erasure, tables
from callcenter.records.journal import STREAM
from tests.integration.admin.conftest import Admin, Filled, serving
from tests.integration.admin.test_calls import ANNOUNCED, Gateway, until

CALLER = str(ANNOUNCED["caller"])
DAY_MS = 86_400_000


@pytest.fixture
async def gateway(redis_url: str):
    """Over the tests' Valkey, with an empty journal."""
    found = Gateway(redis_url)
    await found.redis.delete(STREAM, ASIDE_STREAM)
    yield found
    await found.redis.aclose()


async def everything(admin: Admin) -> str:
    """All that the database and the journal hold, as text; without the audit log's own ids."""
    found = []
    async with admin.parts.database.reading() as db:
        for table in tables.metadata.tables.values():
            found += [str(row) for row in await db.execute(table.select())]
    for stream in (STREAM, ASIDE_STREAM):
        found.append(str(await admin.parts.redis.xrange(stream)))
    return "\n".join(found)


async def a_call(admin: Admin, gateway: Gateway, call_id: str, *, ended: bool = True) -> None:
    """A call that the database knows, with a webhook that was to be told of it."""
    await gateway.call(call_id, ended=ended)
    await until(admin, call_id, "ended" if ended else "live")


async def a_webhook(admin: Admin) -> None:
    """One that nobody listens at: deliveries wait."""
    body = {
        "name": "crm",
        "title": "CRM",
        "url": "https://192.0.2.1/",
        "events": ["call.started", "call.ended"],
    }
    assert (await admin.http.post("/v1/webhooks", json=body)).status_code == 201


async def test_a_call_is_erased(either_admin: Admin, gateway: Gateway) -> None:
    """Row, events, deliveries, kept answers, journal; another call stays; the audit log tells."""
    await a_webhook(either_admin)
    await a_call(either_admin, gateway, "gone")
    await a_call(either_admin, gateway, "stays")
    assert (await either_admin.http.get("/v1/webhooks/crm/deliveries")).json()["items"]
    assert (await either_admin.http.delete("/v1/calls/gone")).status_code == 204
    assert (await either_admin.http.get("/v1/calls/gone")).status_code == 404
    assert (await either_admin.http.get("/v1/calls/gone/events")).status_code == 404
    assert (await either_admin.http.get("/v1/calls/stays")).status_code == 200
    left = [line for line in (await everything(either_admin)).splitlines() if "gone" in line]
    assert len(left) == 1, left  # the audit entry
    deliveries = (await either_admin.http.get("/v1/webhooks/crm/deliveries")).json()["items"]
    assert {one["payload"]["data"]["call_id"] for one in deliveries} == {"stays"}
    event = (await either_admin.http.get("/v1/audit?kind=call")).json()["items"][0]
    assert (event["action"], event["object_name"], event["after"]) == ("erase", "gone", None)
    assert (await either_admin.http.delete("/v1/calls/gone")).status_code == 404


async def test_a_live_call_stays(admin: Admin, gateway: Gateway) -> None:
    """End it first."""
    await a_call(admin, gateway, "talking", ended=False)
    answer = await admin.http.delete("/v1/calls/talking")
    assert (answer.status_code, answer.json()["code"]) == (409, "call_live")


async def test_only_admins_erase(admin: Admin) -> None:
    """An operator runs the floor, and keeps what happened there."""
    operator = admin.acting(await admin.key("operator"))
    assert (await operator.delete("/v1/calls/x")).status_code == 403
    assert (await operator.post("/v1/calls:erase", json={"number": "x"})).status_code == 403


async def test_a_caller_is_erased(either_admin: Admin, gateway: Gateway) -> None:
    """However carriers wrote the number; it is nowhere any more, not even in the audit log."""
    await a_webhook(either_admin)
    forms = [CALLER, CALLER.removeprefix("+"), "00" + CALLER.removeprefix("+")]
    for index, form in enumerate(forms):
        ANNOUNCED["caller"] = form
        await a_call(either_admin, gateway, f"call-{index}")
    ANNOUNCED["caller"] = "+4930999"
    await a_call(either_admin, gateway, "other")
    ANNOUNCED["caller"] = CALLER
    await a_call(either_admin, gateway, "talking", ended=False)
    answer = await either_admin.http.post("/v1/calls:erase", json={"number": f" {CALLER} "})
    assert answer.json() == {"erased": 3, "more": False, "live": 1}
    assert (await either_admin.http.get("/v1/calls/other")).status_code == 200
    gateway.journal.note("talking", "call_ended", {"outcome": "answered", "code": "hangup"})
    assert await gateway.journal.flush()
    await until(either_admin, "talking", "ended")
    answer = await either_admin.http.post("/v1/calls:erase", json={"number": CALLER})
    assert answer.json() == {"erased": 1, "more": False, "live": 0}
    assert CALLER.removeprefix("+") not in await everything(either_admin)
    events = (await either_admin.http.get("/v1/audit?kind=call")).json()["items"]
    assert events[0]["after"] == {"calls": 1, "by": "caller"}


async def test_kept_answers_go_too(admin: Admin, gateway: Gateway) -> None:
    """An answer that is kept for a repetition shows the caller."""
    await a_call(admin, gateway, "answered")
    body = json.dumps({"id": "answered", "caller": CALLER}).encode()
    values = {
        "actor": "key_1", "key": "k", "request_hash": "", "status": 202, "headers": {},
        "body": body, "created_at": datetime.now(UTC),
    }  # fmt: skip
    async with admin.parts.database.writing() as db:
        await db.execute(tables.idempotency.insert().values(**values))
    await admin.http.delete("/v1/calls/answered")
    assert CALLER not in await everything(admin)


async def test_redis_is_away(admin: Admin, gateway: Gateway, monkeypatch) -> None:
    """Nothing is erased by halves: 503, and the call is there."""
    await a_call(admin, gateway, "whole")

    async def away(*_: object) -> None:
        raise OSError("away")

    with monkeypatch.context() as patch:
        patch.setattr(admin.parts.redis, "xdel", away)
        answer = await admin.http.delete("/v1/calls/whole")
    assert (answer.status_code, answer.json()["code"]) == (503, "redis_unavailable")
    assert len((await admin.http.get("/v1/calls/whole/events")).json()["items"]) == 10


async def test_old_calls_are_erased(any_database: Filled, redis_url: str, gateway: Gateway) -> None:
    """By age, in batches, with the journal and old deliveries; how many stands in the audit log."""
    more = {"calls_kept_days": 30}
    async with serving(any_database.url, redis_url, any_database.secret, **more) as admin:
        await a_call(admin, gateway, "young")
        await _copies(admin, erasure.BATCH + 7, age_days=31)
        assert await admin.parts.housekeeper.tidy(datetime.now(UTC)) == erasure.BATCH + 7
        assert await admin.parts.housekeeper.tidy(datetime.now(UTC)) == 0
        assert "old-" not in await everything(admin)
        assert (await admin.http.get("/v1/calls/young")).status_code == 200
        (event, *_) = (await admin.http.get("/v1/audit?kind=call")).json()["items"]
        assert (event["actor_kind"], event["after"]["calls"]) == ("system", erasure.BATCH + 7)


async def test_calls_may_be_kept_for_ever(sqlite: Filled, redis_url: str, gateway: Gateway) -> None:
    """With 0 days."""
    more = {"calls_kept_days": 0}
    async with serving(sqlite.url, redis_url, sqlite.secret, **more) as admin:
        await a_call(admin, gateway, "young")
        await _copies(admin, 3, age_days=10_000)
        assert await admin.parts.housekeeper.tidy(datetime.now(UTC)) == 0
        assert (await admin.http.get("/v1/calls/old-1")).status_code == 200


async def test_the_journal_forgets_what_nobody_read(admin: Admin, gateway: Gateway) -> None:
    """Entries of calls that are older than is allowed, whatever became of them."""
    month_ago = round((datetime.now(UTC) - timedelta(days=100)).timestamp() * 1_000)
    await gateway.redis.xadd(STREAM, {"call": "lost"}, id=f"{month_ago}-1")
    await gateway.call("fresh")
    await admin.parts.housekeeper.tidy(datetime.now(UTC))
    entries = await gateway.redis.xrange(STREAM)
    assert len(entries) == 10
    assert "lost" not in str(entries)


@pytest.mark.parametrize(
    ("number", "forms"),
    [
        ("+4930123", ["+4930123", "4930123", "004930123"]),
        ("004930123", ["+4930123", "4930123", "004930123"]),
        ("4930123", ["+4930123", "4930123", "004930123"]),
        ("anonymous", ["anonymous"]),
        ("alice@example", ["alice@example"]),
    ],
)
def test_spellings(number: str, forms: list[str]) -> None:
    """One caller, in all the ways that carriers write them."""
    assert erasure.spellings(number) == forms


def test_ids_of_the_journal() -> None:
    """Those of the database lead back to Redis'."""
    assert intake.plain(intake.padded("1700000000000-7")) == "1700000000000-7"


async def _copies(admin: Admin, number: int, age_days: int) -> None:
    """Ended calls of another time, copied from the one that is there."""
    shift = age_days * DAY_MS
    async with admin.parts.database.writing() as db:
        row = (await db.execute(tables.calls.select())).first()._asdict()
        rows = [{**row, "id": f"old-{index}"} for index in range(number)]
        await db.execute(tables.calls.insert(), rows)
        await db.execute(
            text(f"UPDATE calls SET started_at = started_at - {shift} WHERE id LIKE 'old-%'")  # noqa: S608
        )


async def set_aside(admin: Admin, key: str, call_id: str, data: object) -> None:
    """An entry that the intake did not understand."""
    fields = {"call": call_id, "at": "soon", "kind": "call_announced", "data": json.dumps(data)}
    await admin.parts.redis.xadd(STREAM, fields, id=key)  # type: ignore[arg-type]
    while key not in [entry["entry"] for entry in await put_aside(admin)]:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def put_aside(admin: Admin) -> list[dict[str, str]]:
    """What is put aside, the oldest first."""
    return [fields for _, fields in await admin.parts.redis.xrange(ASIDE_STREAM)]


async def aside_of(admin: Admin) -> list[str]:
    """Calls of which an entry is put aside."""
    return [fields["call"] for fields in await put_aside(admin)]


async def test_what_was_put_aside_is_erased_with_its_call(admin: Admin, gateway: Gateway) -> None:
    """By the call's id, and by a caller's number though no table knows the call; others stay."""
    await a_call(admin, gateway, "gone")
    now_ms = round(datetime.now(UTC).timestamp() * 1_000)
    await set_aside(admin, f"{now_ms + 1_000}-0", "gone", {"text": "a word"})
    await set_aside(admin, f"{now_ms + 1_000}-1", "unknown", {"caller": "004930123"})
    await set_aside(admin, f"{now_ms + 1_000}-2", "unknown", {"text": "a word"})
    await set_aside(admin, f"{now_ms + 1_000}-3", "stays", {"caller": "+4930123456"})
    assert (await admin.http.delete("/v1/calls/gone")).status_code == 204
    assert await aside_of(admin) == ["unknown", "unknown", "stays"]
    answer = await admin.http.post("/v1/calls:erase", json={"number": "+4930123"})
    assert answer.json() == {"erased": 0, "more": False, "live": 0}
    assert await aside_of(admin) == ["stays"]
    journal = await admin.parts.redis.xrange(STREAM)
    assert {fields["call"] for _, fields in journal} == {"stays"}


async def test_what_was_put_aside_ends_its_time(admin: Admin, gateway: Gateway) -> None:
    """By the moment at which the journal got it."""
    now = datetime.now(UTC)
    old_ms, new_ms = (round(now.timestamp() * 1_000) - days * DAY_MS for days in (31, 29))
    aside = admin.parts.state.aside
    for number in range(250):  # more than one page
        await aside.put(f"{old_ms}-{number}", {"call": f"old-{number}"}, "not_stored")
    await aside.put(f"{new_ms}-0", {"call": "new"}, "not_stored")
    await admin.parts.state.eraser.trim(round((now - timedelta(days=30)).timestamp() * 1_000))
    assert await aside_of(admin) == ["new"]
