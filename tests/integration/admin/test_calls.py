"""Calls: from the gateways' journal to the history, live, and hung up."""

import asyncio
import secrets
import time

import pytest

from callcenter.admin import intake
from callcenter.broker.connection import connect
from callcenter.records.journal import STREAM, Entry, Journal, encode
from tests.integration.admin.conftest import Admin
from tests.signing import readers_board

ANNOUNCED = {
    "trunk": "twilio",
    "called": "+15550100",
    "caller": "+15005550006",
    "route": "day",
    "persona": "bank",
    "persona_version": "1",
    "voice": "clara",
    "voice_sha256": "abc",
    "prompt_hash": "def",
}
ENDED = {"outcome": "answered", "code": "hangup", "duration_s": 6.0, "quality": {"packets_in": 3}}


class Gateway:
    """Writes the journal as a gateway does."""

    def __init__(self, redis_url: str) -> None:
        self.redis = connect(redis_url)
        self.journal = Journal(self.redis)

    async def call(self, call_id: str, *, ended: bool = True) -> None:
        """A whole call's entries."""
        note = self.journal.of(call_id)
        note("call_announced", ANNOUNCED)
        note("call_began", {"gateway_id": "g", "worker_id": "w"})
        note("session_ready", {"setup_s": 0.5})
        note("first_sound", {"after_s": 0.2})
        note("turn", {"kind": "TurnGap", "gap_s": 0.4})
        note("turn", {"kind": "TurnGap", "gap_s": 0.6})
        note("turn", {"kind": "BargeIn"})
        note("turn", {"kind": "Yielded", "latency_s": 0.3})
        note("text", {"piece": " <b>Hello</b>"})
        if ended:
            note("call_ended", ENDED)
        assert await self.journal.flush()


@pytest.fixture
async def gateway(redis_url: str):
    """Over the tests' Valkey."""
    found = Gateway(redis_url)
    yield found
    await found.redis.aclose()


async def until(admin: Admin, call_id: str, state: str) -> dict:
    """Waits until the history shows a call in a state."""
    while True:
        response = await admin.http.get(f"/v1/calls/{call_id}")
        if response.status_code == 200 and response.json()["state"] == state:
            return response.json()
        await asyncio.sleep(0.05)


async def test_a_call_adds_up(either_admin: Admin, gateway: Gateway) -> None:
    """What was pinned, how it went, how it ended; and every event in order."""
    call_id = f"CA{secrets.token_hex(8)}"
    await gateway.call(call_id)
    call = await until(either_admin, call_id, "ended")
    assert {name: call[name] for name in ANNOUNCED} == ANNOUNCED
    assert (call["setup_s"], call["first_sound_s"], call["duration_s"]) == (0.5, 0.2, 6.0)
    assert (call["turn_gaps"], call["turn_gap_mean_s"]) == (2, pytest.approx(0.5))
    assert (call["barge_ins"], call["yield_mean_s"]) == (1, pytest.approx(0.3))
    assert call["quality"] == {"packets_in": 3}
    events = (await either_admin.http.get(f"/v1/calls/{call_id}/events")).json()["items"]
    assert len(events) == 10
    assert (events[0]["kind"], events[-1]["kind"]) == ("call_announced", "call_ended")
    overview = (await either_admin.http.get("/v1/overview?hours=1")).json()
    assert overview["points"][-1]["calls"] >= 1
    assert overview["points"][-1]["turn_gap_s"] == pytest.approx(0.5)


async def test_the_history_is_searched(either_admin: Admin, gateway: Gateway) -> None:
    """By number, id, persona, state and time; latest first, in pages."""
    mark = secrets.token_hex(6)
    for index in range(3):
        await gateway.call(f"CA{mark}{index}", ended=index < 2)
    await until(either_admin, f"CA{mark}1", "ended")
    await until(either_admin, f"CA{mark}2", "live")

    async def found(**query: str) -> list[str]:
        response = await either_admin.http.get("/v1/calls", params={"limit": "200", **query})
        assert response.status_code == 200, response.text
        return [item["id"] for item in response.json()["items"] if mark in item["id"]]

    assert await found(q=f"CA{mark}") == [f"CA{mark}{index}" for index in (2, 1, 0)]
    assert len(await found(q="5550100", persona="bank")) == 3
    assert await found(state="active") == [f"CA{mark}2"]
    assert len(await found(state="ended", outcome="answered")) == 2
    assert await found(q="5550100%") == []
    assert await found(since="2200-01-01T00:00:00Z") == []
    seen, cursor = [], ""
    while cursor is not None:
        query = {"q": f"CA{mark}", "limit": 2, "cursor": cursor}
        page = (await either_admin.http.get("/v1/calls", params=query)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert len(seen) == len(set(seen)) == 3


async def test_a_live_call_is_followed(admin: Admin, gateway: Gateway) -> None:
    """What was, then what comes, until the end; HTML in it stays text."""
    call_id = f"CA{secrets.token_hex(8)}"
    await gateway.call(call_id, ended=False)
    await until(admin, call_id, "live")
    seen = []

    async def watch() -> None:
        async for event in admin.parts.state.follow(call_id, True):
            seen.append(event.kind)  # noqa: PERF401 - one by one, as they come

    watching = asyncio.create_task(watch())
    while len(seen) < 9:  # noqa: ASYNC110 - the watcher tells nobody
        await asyncio.sleep(0.02)
    gateway.journal.note(call_id, "call_ended", ENDED)
    await gateway.journal.flush()
    await asyncio.wait_for(watching, 5)
    assert len(seen) == 10
    await until(admin, call_id, "ended")
    shown = await admin.http.get(f"/v1/calls/{call_id}/stream")
    assert shown.headers["Content-Type"].startswith("text/event-stream")
    assert shown.text.count("event: ") == 11
    assert shown.text.endswith("event: end\ndata: {}\n\n")


async def test_a_call_is_hung_up(admin: Admin, gateway: Gateway) -> None:
    """The order reaches a gateway; an ended call cannot be hung up again."""
    call_id = f"CA{secrets.token_hex(8)}"
    await gateway.call(call_id, ended=False)
    await until(admin, call_id, "live")
    deaf = await admin.http.post(f"/v1/calls/{call_id}/hangup")
    assert (deaf.status_code, deaf.json()["code"]) == (409, "nobody_listens")
    orders = readers_board(gateway.redis).orders()
    heard = asyncio.create_task(anext(orders))
    response = deaf
    while response.status_code != 202:
        response = await admin.http.post(f"/v1/calls/{call_id}/hangup")
    order = await asyncio.wait_for(heard, 5)
    assert (order.call_id, order.action) == (call_id, "hangup")
    await orders.aclose()
    gateway.journal.note(call_id, "call_ended", ENDED)
    await gateway.journal.flush()
    await until(admin, call_id, "ended")
    over = await admin.http.post(f"/v1/calls/{call_id}/hangup")
    assert over.json()["code"] == "call_ended"


async def test_strange_entries_do_not_stop_the_journal(admin: Admin, gateway: Gateway) -> None:
    """Of another release, or of a stranger: left out, and the next call is there."""
    for fields in ({"x": "y"}, {"call": "c", "at": "z", "kind": "k", "data": "{}"}):
        await gateway.redis.xadd("cc:journal", fields)
    odd = {"kind": ["TurnGap"], "gap_s": "fast"}
    gateway.journal.note("CAodd", "turn", odd)
    gateway.journal.note("CAodd", "call_announced", {"called": "x" * 500, "persona": 7})
    call_id = f"CA{secrets.token_hex(8)}"
    await gateway.call(call_id)
    await until(admin, call_id, "ended")
    assert len((await admin.http.get("/v1/calls/CAodd")).json()["called"]) == 120


async def test_calls_that_were_forgotten_are_closed(admin: Admin, gateway: Gateway) -> None:
    """A gateway that dies writes no end; after a while the history says so."""
    call_id = f"CA{secrets.token_hex(8)}"
    gateway.journal._clock = lambda: time.time() - 100_000
    await gateway.call(call_id, ended=False)
    await until(admin, call_id, "live")
    await admin.parts.intake.close_forgotten()
    call = await until(admin, call_id, "ended")
    assert (call["outcome"], call["code"]) == ("failed", "gateway_lost")


async def test_what_a_dead_process_had_read_is_not_lost(
    admin: Admin, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process takes its entries over and stores them."""
    call_id = f"CA{secrets.token_hex(8)}"
    monkeypatch.setattr(intake, "DEAD_AFTER_MS", 0)
    entry = encode(Entry(call_id, time.time(), "call_announced", ANNOUNCED))
    async with admin.parts.database.writing():  # the app's own loop cannot store anything now
        await gateway.redis.xadd(STREAM, entry)
        await gateway.redis.xreadgroup(intake.GROUP, "dead", {STREAM: ">"}, count=500)
    await admin.parts.intake.take_over()
    while await admin.parts.intake.read_once("0") != ">":
        pass
    await until(admin, call_id, "ringing")
