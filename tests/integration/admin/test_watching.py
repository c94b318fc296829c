"""Live views: how many there may be, and what a slow reader costs the others."""

import asyncio
import secrets
import time
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert

from callcenter import metrics
from callcenter.admin import following
from callcenter.admin.api.watching import MAX_OF_ONE
from callcenter.admin.store import tables
from callcenter.broker.connection import connect
from callcenter.records.journal import STREAM, Entry, encode
from tests.integration.admin.conftest import Admin, Filled, serving

POOL = 15  # connections of SQLAlchemy's pool: 5 and 10 more


async def begin(admin: Admin, *pieces: str) -> str:
    """A live call that has said something; gives its id."""
    call_id = f"CA{secrets.token_hex(8)}"
    redis = connect(admin.parts.settings.redis_url)
    for kind, data in (("call_announced", {}), *(("text", {"piece": each}) for each in pieces)):
        await redis.xadd(STREAM, encode(Entry(call_id, time.time(), kind, data)))
    await redis.aclose()
    while (await admin.http.get(f"/v1/calls/{call_id}")).status_code != 200:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return call_id


async def say(admin: Admin, call_id: str, number: int, kind: str = "text") -> None:
    """More of it."""
    redis = connect(admin.parts.settings.redis_url)
    async with redis.pipeline(transaction=False) as pipe:
        for index in range(number):
            pipe.xadd(STREAM, encode(Entry(call_id, time.time(), kind, {"piece": str(index)})))
        await pipe.execute()
    await redis.aclose()


async def test_a_view_holds_no_connection_while_its_reader_waits(either_admin: Admin) -> None:
    """More views than the pool has connections, each in the middle of a long past."""
    call_id = f"CA{secrets.token_hex(8)}"
    async with either_admin.parts.database.writing() as db:
        rows = [
            {"id": f"{n:013d}-000000", "call_id": call_id, "at": datetime.now(UTC),
             "kind": "text", "data": {}}
            for n in range(3 * following.PAGE_EVENTS)
        ]  # fmt: skip
        await db.execute(insert(tables.call_events), rows)
    views = [either_admin.parts.follower.follow(call_id, False) for _ in range(POOL + 5)]
    async with asyncio.timeout(10):
        for view in views:
            await anext(view)
        assert (await either_admin.http.get("/v1/overview")).status_code == 200
        assert len([event async for event in views[0]]) == 3 * following.PAGE_EVENTS - 1
    for view in views:
        await view.aclose()


async def test_one_key_has_so_many_views(admin: Admin) -> None:
    """One more is refused in words, others' are not; an ended one makes room."""
    call_id = await begin(admin)
    viewer, other = await admin.key("viewer"), await admin.key("viewer")
    url = f"/v1/calls/{call_id}/stream"

    async def watch(secret: str) -> tuple[int, bool]:
        async with admin.acting(secret) as http:
            answer = await http.get(url)
            return answer.status_code, answer.text.endswith("event: end\ndata: {}\n\n")

    watching = [asyncio.create_task(watch(viewer)) for _ in range(MAX_OF_ONE)]
    watchers = admin.parts.state.watchers
    while watchers._open.total() < MAX_OF_ONE:  # noqa: ASYNC110 - they tell nobody
        await asyncio.sleep(0.01)
    async with admin.acting(viewer) as http:
        refused = await http.get(url)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
    assert "close one" in refused.json()["detail"]
    assert refused.headers["Retry-After"]
    beside = asyncio.create_task(watch(other))
    while watchers._open.total() < MAX_OF_ONE + 1:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.01)
    await say(admin, call_id, 1, "call_ended")
    async with asyncio.timeout(10):
        assert set(await asyncio.gather(*watching, beside)) == {(200, True)}
    assert not watchers._open


async def test_a_watcher_who_does_not_read_is_let_go(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The buffer is bounded; one who reads gets everything, in order and once."""
    monkeypatch.setattr(following, "QUEUE_EVENTS", 10)
    call_id = await begin(admin, "first")
    slow = admin.parts.follower.follow(call_id, True)
    assert (await anext(slow)).kind == "call_announced"
    assert (await anext(slow)).kind == "text"
    heard = asyncio.create_task(anext(slow))
    await asyncio.sleep(0.1)  # it waits for its queue now
    await say(admin, call_id, 1)
    await heard
    before = metrics.WATCHERS_DROPPED.labels("slow")._value.get()
    await say(admin, call_id, 30)
    while metrics.WATCHERS_DROPPED.labels("slow")._value.get() == before:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        assert len([event async for event in slow]) < 10
    assert not admin.parts.follower._queues


async def test_a_view_that_is_let_go_does_not_say_that_the_call_is_over(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the browser asks again."""
    monkeypatch.setattr(following, "FOLLOW_MAX_S", 0.3)
    call_id = await begin(admin)
    answer = await admin.http.get(f"/v1/calls/{call_id}/stream")
    assert answer.text.count("event: ") == 1


async def test_nothing_is_lost_between_the_past_and_the_present(admin: Admin) -> None:
    """Events that come while a view begins are shown, once, in order."""
    call_id = await begin(admin)
    redis = connect(admin.parts.settings.redis_url)

    async def speak() -> None:
        for index in range(200):
            entry = Entry(call_id, time.time(), "text", {"piece": str(index)})
            await redis.xadd(STREAM, encode(entry))
            await asyncio.sleep(0.002)
        await redis.xadd(STREAM, encode(Entry(call_id, time.time(), "call_ended", {})))

    async def watch(after_s: float) -> list[str]:
        await asyncio.sleep(after_s)
        follow = admin.parts.follower.follow(call_id, True)
        return [event.data.get("piece", event.kind) async for event in follow]

    async with asyncio.timeout(20):
        _, *seen = await asyncio.gather(speak(), *(watch(0.05 * each) for each in range(6)))
    await redis.aclose()
    expected = ["call_announced", *map(str, range(200)), "call_ended"]
    assert seen == [expected] * 6


async def test_a_busy_database_is_said_at_once(any_database: Filled, redis_url: str) -> None:
    """All connections in use: 503 within seconds, and well again afterwards."""
    async with serving(any_database.url, redis_url, any_database.secret) as app:
        engine = app.parts.database._engine
        held = [await engine.connect() for _ in range(POOL)]
        began = time.monotonic()
        answer = await app.http.get("/v1/calls")
        took_s = time.monotonic() - began
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert took_s < 5
        for connection in held:
            await connection.close()
        assert (await app.http.get("/v1/calls")).status_code == 200
        assert not app.parts.state.supervisor.trouble()


async def test_a_task_that_ended_is_seen(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    """At /readyz and on the console; once it ends again and again, the app is not ready.

    It is started again by itself, and calls that came meanwhile are recorded.
    """
    while (await admin.http.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - first publication
        await asyncio.sleep(0.05)

    async def odd(start: str) -> str:
        raise LookupError("nobody foresaw that")

    with monkeypatch.context() as patch:
        patch.setattr(admin.parts.intake, "read_once", odd)
        while not (trouble := (await admin.http.get("/readyz")).json().get("trouble")):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert trouble.startswith("intake has ended 1 times")
        codes = [each["code"] for each in (await admin.http.get("/v1/overview")).json()["alerts"]]
        assert "task_ends" in codes
        while (failing := await admin.http.get("/readyz")).status_code == 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert "last by LookupError" in failing.json()["why"]
    assert await begin(admin)


async def test_a_forced_end_ends_every_loop(sqlite: Filled, redis_url: str) -> None:
    """Even one that loses a cancellation, as a client library may at a time-out."""
    serves, ended = asyncio.Event(), asyncio.Event()

    async def deaf() -> None:
        serves.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def serve() -> None:
        async with serving(sqlite.url, redis_url, sqlite.secret) as app:
            app.parts.state.supervisor.keep("deaf", deaf)
            await asyncio.Event().wait()

    server = asyncio.create_task(serve())
    await serves.wait()
    server.cancel()
    await asyncio.gather(server, return_exceptions=True)
    assert ended.is_set()
