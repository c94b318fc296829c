"""Calls: from the gateways' journal to the history, live, and hung up."""

import asyncio
import csv
import io
import secrets
import time
from datetime import datetime

import pytest

from callcenter.admin import intake
from callcenter.admin.api import export
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


REFUSED = {
    **{name: ANNOUNCED[name] for name in ("trunk", "called", "caller")},
    "transport": "twilio",
    "gateway_id": "g",
    "outcome": "rejected_capacity",
    "code": "no_capacity",
}


async def test_a_refused_caller_is_in_the_history(either_admin: Admin, gateway: Gateway) -> None:
    """With outcome and reason, among the refused of the overview, and webhooks are told."""
    hook = {"name": "crm", "title": "CRM", "url": "https://example.com/x",
            "events": ["call.refused"]}  # fmt: skip
    assert (await either_admin.http.post("/v1/webhooks", json=hook)).status_code == 201
    before = (await either_admin.http.get("/v1/overview?hours=1")).json()["points"]
    call_id = f"CA{secrets.token_hex(8)}"
    gateway.journal.note(call_id, "call_refused", REFUSED)
    assert await gateway.journal.flush()
    call = await until(either_admin, call_id, "ended")
    assert {name: call[name] for name in REFUSED} == REFUSED
    assert call["duration_s"] == 0
    found = await either_admin.http.get("/v1/calls", params={"outcome": "rejected_capacity"})
    assert call_id in [one["id"] for one in found.json()["items"]]
    after = (await either_admin.http.get("/v1/overview?hours=1")).json()["points"]
    sums = [sum(point["refused"] for point in points) for points in (before, after)]
    assert sums[1] - sums[0] == 1
    told = (await either_admin.http.get("/v1/webhooks/crm/deliveries")).json()["items"]
    assert [one["event"] for one in told] == ["call.refused"]


async def test_a_call_that_another_gateway_takes(admin: Admin, gateway: Gateway) -> None:
    """Refused here and answered there, it is one call; a live one cannot be refused any more."""
    call_id = f"CA{secrets.token_hex(8)}"
    gateway.journal.note(call_id, "call_refused", REFUSED)
    await gateway.call(call_id, ended=False)
    gateway.journal.note(call_id, "call_refused", REFUSED)
    assert await gateway.journal.flush()
    call = await until(admin, call_id, "live")
    assert (call["outcome"], call["code"], call["ended_at"]) == ("", "", None)
    gateway.journal.note(call_id, "call_ended", ENDED)
    await gateway.journal.flush()
    assert (await until(admin, call_id, "ended"))["outcome"] == "answered"


async def test_who_leaves_before_the_audio_is_abandoned(admin: Admin, gateway: Gateway) -> None:
    """A carrier whose caller hangs up while it rings says nothing more."""
    call_id = f"CA{secrets.token_hex(8)}"
    gateway.journal._clock = lambda: time.time() - 600
    gateway.journal.note(call_id, "call_announced", ANNOUNCED)
    await gateway.journal.flush()
    await until(admin, call_id, "ringing")
    await admin.parts.intake.close_forgotten()
    call = await until(admin, call_id, "ended")
    assert (call["outcome"], call["code"]) == ("abandoned", "never_connected")


async def timed(gateway: Gateway, mark: str, index: int, seconds: float | None) -> None:
    """A call that took so long to answer and lasted as long."""
    call_id = f"CA{mark}{index}"
    gateway.journal.note(call_id, "call_announced", ANNOUNCED)
    if seconds is not None:
        gateway.journal.note(call_id, "session_ready", {"setup_s": seconds})
        gateway.journal.note(call_id, "turn", {"kind": "TurnGap", "gap_s": seconds})
    gateway.journal.note(call_id, "call_ended", {**ENDED, "duration_s": seconds})
    assert await gateway.journal.flush()


async def test_the_history_is_sorted(either_admin: Admin, gateway: Gateway) -> None:
    """By every order, in pages, and calls without the time stand at its low end."""
    mark = secrets.token_hex(6)
    for index, seconds in enumerate((2.5, None, 0.125, 2.5)):
        await timed(gateway, mark, index, seconds)
    await until(either_admin, f"CA{mark}3", "ended")

    async def order(sort: str) -> list[str]:
        seen, cursor = [], ""
        while cursor is not None:
            query = {"q": f"CA{mark}", "limit": 1, "cursor": cursor, "sort": sort}
            response = await either_admin.http.get("/v1/calls", params=query)
            assert response.status_code == 200, response.text
            page = response.json()
            seen += [item["id"][-1] for item in page["items"]]
            cursor = page["next_cursor"]
        return seen

    for field in ("duration_s", "setup_s", "turn_gap_mean_s"):
        assert await order(field) == ["1", "2", "0", "3"], field
        assert await order(f"-{field}") == ["3", "0", "2", "1"], field
    assert await order("started_at") == ["0", "1", "2", "3"]
    assert (await either_admin.http.get("/v1/calls?sort=caller")).status_code == 422


async def test_the_history_is_exported(
    either_admin: Admin, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over several pages, with the list's filters; a formula of a caller's is text."""
    monkeypatch.setattr(export, "PAGE_ROWS", 2)
    mark = secrets.token_hex(6)
    for index in range(5):
        await gateway.call(f"CA{mark}{index}")
    formula = {**ANNOUNCED, "caller": '=HYPERLINK("http://x")'}
    gateway.journal.note(f"CA{mark}5", "call_announced", formula)
    await gateway.journal.flush()
    await until(either_admin, f"CA{mark}5", "ringing")
    query = {"q": f"CA{mark}", "sort": "started_at", "columns": "id,caller,duration_s"}
    response = await either_admin.http.get("/v1/calls:export", params=query)
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"].startswith("attachment; filename=")
    head, *lines = csv.reader(io.StringIO(response.text, newline=""))
    assert head == ["id", "caller", "duration_s"]
    assert [line[0] for line in lines] == [f"CA{mark}{index}" for index in range(6)]
    assert lines[0][1:] == ["'+15005550006", "6.000"]
    assert lines[5][1] == '\'=HYPERLINK("http://x")'
    wrong = await either_admin.http.get("/v1/calls:export?columns=id,secret")
    assert (wrong.status_code, "no column 'secret'" in wrong.text) == (422, True)
    told = (await either_admin.http.get("/v1/audit?kind=call")).json()["items"]
    assert "export" in [event["action"] for event in told]


async def test_reports_say_who_called_whom_and_when(admin: Admin, gateway: Gateway) -> None:
    """A receiver need not ask again to file a call."""
    hook = {"name": "crm", "title": "CRM", "url": "https://example.com/x", "events": ["call.ended"]}
    assert (await admin.http.post("/v1/webhooks", json=hook)).status_code == 201
    call_id = f"CA{secrets.token_hex(8)}"
    await gateway.call(call_id)
    call = await until(admin, call_id, "ended")
    (told,) = (await admin.http.get("/v1/webhooks/crm/deliveries")).json()["items"]
    data = told["payload"]["data"]
    assert (data["from"], data["to"]) == ("+15005550006", "+15550100")
    assert (data["persona"], data["persona_version"], data["route"]) == ("bank", "1", "day")
    moments = [datetime.fromisoformat(data[name]) for name in ("started_at", "ended_at")]
    assert moments == [datetime.fromisoformat(call[name]) for name in ("started_at", "ended_at")]
    assert data["outcome"] == "answered"
