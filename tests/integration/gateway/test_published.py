"""A gateway answers by what the admin app has published, also when nothing of that is left."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from callcenter.broker.connection import connect
from callcenter.errors import Refused
from tests.integration.admin.conftest import Admin, serving
from tests.integration.gateway.conftest import Stand
from tests.integration.gateway.visitor import PAGE, SECRET, Page, browser, code
from tests.integration.gateway.visitor import call as call_from
from tests.servers import valkey

BANK, HOTEL = "+15550100", "+15550105"
pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def admin(redis_url: str, tmp_path) -> AsyncIterator[Admin]:
    """An admin app that gives the shipped personas numbers; nobody else's configuration counts."""
    redis = connect(redis_url)
    await redis.flushdb()
    await redis.aclose()
    url = f"sqlite:///{tmp_path}/admin.db"
    async with serving(url, redis_url, first_numbers=True) as app:
        await until_published(app)
        yield app


async def until_published(admin: Admin) -> None:
    """Waits until the board has the newest configuration."""
    while True:
        overview = (await admin.http.get("/v1/overview")).json()
        if overview["revision"] == overview["published_revision"]:
            return
        await asyncio.sleep(0.05)


async def answered_by(stand: Stand, number: str) -> str:
    """Calls a number and says which persona and greeting the worker was told."""
    others, caller = await stand.slots_used(), stand.caller(number)
    try:
        stream = await caller.start()
    except Refused:
        return "nobody"
    await caller.hear(stream)
    spec = stand.workers[0].sessions[caller.call_id].spec
    await stream.close()
    await stand.until_used(others)
    return f"{spec.persona} {spec.persona_version}: {spec.greeting}"


async def until_answered(stand: Stand, number: str, words: str) -> None:
    """Calls until a new configuration has come through."""
    while words not in await answered_by(stand, number):  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.1)


async def test_published_rolled_back_and_live_calls_untouched(admin: Admin, make_stand) -> None:
    """A number's persona changes for new calls; a live one goes on with what it was claimed by."""
    stand = await make_stand(slots=2, routes_file=None)
    assert (await answered_by(stand, BANK)).startswith("airline 1: ")
    tag = {"If-Match": "*"}
    await admin.http.patch(f"/v1/numbers/{BANK}", json={"persona": "bank"}, headers=tag)
    await until_answered(stand, BANK, "bank 1: ")
    live = stand.caller(BANK)
    announced = await live.stream_url()
    draft = {"draft": {"greeting": "{{company}}, {{agent_name}}, new words."}}
    await admin.http.patch("/v1/personas/bank", json=draft, headers=tag)
    await admin.http.post("/v1/personas/bank/publish", json={})
    await until_answered(stand, BANK, "bank 2: Cedar Valley Bank, Alex Morgan, new words.")
    stream = await live.connect(announced)
    await live.say_start(stream)
    await live.hear(stream)
    assert stand.workers[0].sessions[live.call_id].spec.persona_version == "1"
    await stream.close()
    await admin.http.post("/v1/personas/bank/rollback", json={})
    await until_answered(stand, BANK, "bank 1: ")


async def test_calls_without_admin_and_database(redis_url: str, make_stand, tmp_path) -> None:
    """The admin app is stopped and its database deleted: calls are answered as before."""
    url = f"sqlite:///{tmp_path}/admin.db"
    async with serving(url, redis_url, first_numbers=True) as app:
        await until_published(app)
    for file in tmp_path.glob("admin.db*"):
        file.unlink()
    stand = await make_stand(slots=2, routes_file=None)
    assert "hotel" in await answered_by(stand, HOTEL)
    fresh = stand.caller("+19995550000")
    assert "not in service" in (await fresh.announce()).text


async def test_what_is_not_a_persona(admin: Admin, make_stand) -> None:
    """With every slot taken, the overflow counts: a message, a transfer, a refusal."""
    stand = await make_stand(slots=1, routes_file=None)
    tag = {"If-Match": "*"}
    for index, (target, words) in enumerate(
        [
            ({"kind": "message", "text": "We are closed."}, "<Say>We are closed.</Say>"),
            ({"kind": "transfer", "to": "+15550199"}, "<Dial>+15550199</Dial>"),
            ({"kind": "reject", "reason": "busy"}, '<Reject reason="busy"'),
        ]
    ):
        bank = {"kind": "personas", "personas": [{"persona": "bank"}]}
        route = {"name": f"r{index}", "title": "x", "target": bank, "overflow": [target]}
        route["match"] = {"called": BANK}
        await admin.http.patch(f"/v1/numbers/{BANK}", json={"persona": None}, headers=tag)
        made = await admin.http.post("/v1/routes", json={**route, "priority": 10 - index})
        assert made.status_code == 201, made.text
        await until_answered(stand, BANK, "bank")
        holder = stand.caller(HOTEL)
        stream = await holder.start()
        text = ""
        while words not in text:
            text = (await stand.caller(BANK).announce()).text
        await stream.close()
        await stand.until_used(0)


async def test_hung_up_from_the_console(admin: Admin, make_stand) -> None:
    """The order goes to the gateway that carries the call; the record says how it ended."""
    stand = await make_stand(slots=2, routes_file=None)
    caller = stand.caller(HOTEL)
    stream = await caller.start()
    await caller.hear(stream)
    status = 0
    while status != 202:
        status = (await admin.http.post(f"/v1/calls/{caller.call_id}/hangup")).status_code
        await asyncio.sleep(0.05)
    await asyncio.wait_for(stream.wait_closed(), 10)
    call = {}
    while call.get("state") != "ended":
        call = (await admin.http.get(f"/v1/calls/{caller.call_id}")).json()
        await asyncio.sleep(0.05)
    assert (call["code"], call["transport"]) == ("operator_hangup", "twilio")
    assert (call["persona"], call["persona_version"]) == ("hotel", "1")
    assert call["voice_sha256"]
    assert call["quality"]["packets_out"] > 0


async def until_live(admin: Admin, call_id: str) -> None:
    """Waits until the history shows a call as live."""
    while True:
        found = await admin.http.get(f"/v1/calls/{call_id}")
        if found.status_code == 200 and found.json()["state"] == "live":
            return
        await asyncio.sleep(0.05)


async def test_transferred_from_the_console(admin: Admin, make_stand, rest_api) -> None:
    """By the carrier's REST interface; without an account the console says why not."""
    settings = {
        "twilio_account_sid": "AC1",
        "twilio_api_base_url": rest_api.url,
        "transfer_prefixes": "+1555,+49",
    }
    plain = {"transfer_prefixes": "+1555"}
    for more, status in ((plain, 409), (settings, 202)):
        stand = await make_stand(slots=2, routes_file=None, **more)
        caller = stand.caller(HOTEL)
        stream = await caller.start()
        await caller.hear(stream)
        await until_live(admin, caller.call_id)
        path = f"/v1/calls/{caller.call_id}:transfer"
        assert (await admin.http.post(path, json={"to": "0800"})).status_code == 422
        keys = await admin.http.post(f"/v1/calls/{caller.call_id}:press", json={"keys": "1#"})
        assert (keys.status_code, keys.json()["code"]) == (409, "not_pressed")
        assert "no keys can be pressed over twilio" in keys.json()["detail"]
        premium = await admin.http.post(path, json={"to": "+19005550142"})
        assert (premium.status_code, premium.json()["code"]) == (409, "not_transferred")
        assert "TRANSFER_PREFIXES of the gateway does not allow" in premium.json()["detail"]
        answer = await admin.http.post(path, json={"to": "+15550142"})
        assert answer.status_code == status, answer.text
        if status == 409:
            assert "TWILIO_ACCOUNT_SID is not set" in answer.json()["detail"]
            await caller.hear(stream)
        await stream.close()
    path, form = await rest_api.requests.get()
    assert caller.call_id in path
    assert "<Dial>+15550142</Dial>" in form["Twiml"]
    audit = (await admin.http.get("/v1/audit")).json()["items"]
    (put_down,) = [each for each in audit if each["action"] == "transfer"]
    assert (put_down["object_name"], put_down["actor"]) == (caller.call_id, "first admin")
    kinds = []
    while "call_ended" not in kinds:
        events = await admin.http.get(f"/v1/calls/{caller.call_id}/events")
        kinds = [event["kind"] for event in events.json()["items"]]
    assert kinds.index("transfer") < kinds.index("call_ended")
    over = await admin.http.post(f"/v1/calls/{caller.call_id}:transfer", json={"to": "+15550142"})
    assert over.json()["code"] == "call_not_live"


async def test_a_limit_counts_browser_calls_too(admin: Admin, make_stand) -> None:
    """The second visitor is told; when the first one leaves, the place is free."""
    limit = {"name": "one", "title": "One", "scope": "all", "max_concurrent": 1}
    made = await admin.http.post("/v1/limits", json=limit)
    assert made.status_code == 201, made.text
    await until_published(admin)
    wanted = {"webrtc_secret": SECRET, "webrtc_origins": PAGE, "webrtc_personas": "*"}
    stand = await make_stand(slots=3, routes_file=None, **wanted)
    page = Page(stand.http, stand.base_url)
    async with browser() as caller, browser() as second:
        await call_from(page, caller)
        refused = await page.offer(await second.offer(), await page.token())
        assert code(refused) == (503, "limit_reached")
        assert (await stand.caller(HOTEL).announce()).status_code == 503
    await stand.until_used(0)
    assert "hotel" in await answered_by(stand, HOTEL)


async def test_nothing_is_left_but_gateway_and_worker(make_stand, tmp_path) -> None:
    """Admin app and database gone, then Redis: live calls go on, new ones find the worker."""
    redis = valkey()
    redis.start()
    url = f"sqlite:///{tmp_path}/admin.db"
    async with serving(url, redis.connection_url, first_numbers=True) as app:
        await until_published(app)
    for file in tmp_path.glob("admin.db*"):
        file.unlink()
    stand = await make_stand(slots=2, routes_file=None, redis_url=redis.connection_url)
    live = stand.caller(HOTEL)
    stream = await live.start()
    await live.hear(stream)
    await asyncio.to_thread(redis.stop)
    fresh = stand.caller(BANK)
    second = await fresh.start()
    await fresh.hear(second, packets=20)
    await live.hear(stream, packets=40)
    specs = [session.spec for session in stand.workers[0].sessions.values()]
    assert {spec.persona for spec in specs} == {"hotel", "airline"}
    assert all(spec.voice_sha256 for spec in specs)
    await stream.close()
    await second.close()


async def test_a_limit_sends_calls_to_the_overflow(admin: Admin, make_stand) -> None:
    """One call at once for a persona; the second one hears why, and a place that is free counts."""
    stand = await make_stand(slots=4, routes_file=None)
    limit = {"name": "one", "title": "One", "scope": "persona", "subject": "hotel"}
    made = await admin.http.post("/v1/limits", json={**limit, "max_concurrent": 1})
    assert made.status_code == 201, made.text
    tag = {"If-Match": "*"}
    await admin.http.patch(f"/v1/numbers/{BANK}", json={"persona": "bank"}, headers=tag)
    await until_answered(stand, BANK, "bank")  # the limit came through with it
    holder = stand.caller(HOTEL)
    stream = await holder.start()
    await holder.hear(stream)
    refused = await stand.caller(HOTEL).announce()
    assert refused.status_code == 503
    assert "bank" in await answered_by(stand, BANK)
    await stream.close()
    await stand.until_used(0)
    assert "hotel" in await answered_by(stand, HOTEL)
