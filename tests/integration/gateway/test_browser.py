"""Browser calls against a whole gateway: a second aiortc plays the browser."""

import asyncio
import json
from typing import Any

import pytest

from callcenter.broker.connection import connect
from callcenter.link.protocol import Text
from callcenter.published.board import Command
from tests.integration.gateway.visitor import PAGE, browser, call, code
from tests.servers import valkey
from tests.signing import admins_board


@pytest.mark.timeout(30)
async def test_a_call(make_page: Any) -> None:
    """Audio both ways, captions, late candidates, and a hang-up that gives the slot back."""
    stand, page = await make_page()
    async with browser() as caller:
        pc_id = await call(page, caller)
        (worker,) = stand.workers
        (session,) = worker.sessions.values()
        heard_before = next(iter(worker.frames_heard.values()))
        session.channel.send_control(Text(piece=" Hello", frame=1))
        assert await caller.messages.get() == {"type": "caption", "text": " Hello"}
        late = await page.candidates(
            pc_id, "candidate:9 1 udp 1 192.0.2.99 9 typ host", "candidate:"
        )
        assert late.json() == {"status": "success"}
        await caller.hear(40)
        assert next(iter(worker.frames_heard.values())) > heard_before
        caller.channel.send(json.dumps({"type": "hangup"}))
        assert (await caller.messages.get())["type"] == "ended"
    await stand.until_used(0)
    assert session.spec.persona == "bank"


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("action", "told"), [("hangup", "agent_hangup"), ("handoff", "handoff_to_fallback")]
)
async def test_the_agent_ends_the_call(make_page: Any, action: str, told: str) -> None:
    """The page is told why; a visitor whom the agent would hand over has no line for that."""
    stand, page = await make_page()
    async with browser() as caller:
        await call(page, caller)
        stand.workers[0].act(action)
        assert await caller.messages.get() == {"type": "ended", "code": told}
    await stand.until_used(0)


@pytest.mark.timeout(30)
async def test_orders_from_the_console(make_page: Any, redis_url: str) -> None:
    """A transfer is refused with the reason, and the call goes on; a hang-up is told."""
    stand, page = await make_page(transfer_prefixes="+1555")
    redis = connect(redis_url)
    async with browser() as caller:
        await call(page, caller)
        (call_id,) = stand.workers[0].sessions
        why_not = await admins_board(redis).ask(Command(call_id, "transfer", "+15550199"))
        assert why_not == "a browser's call cannot be transferred to a telephone number"
        caller.heard.clear()
        await caller.hear()
        assert await admins_board(redis).ask(Command(call_id, "hangup")) == ""
        assert await caller.messages.get() == {"type": "ended", "code": "operator_hangup"}
    await redis.aclose()
    await stand.until_used(0)


@pytest.mark.timeout(30)
async def test_browser_vanishes(make_page: Any) -> None:
    """Closing the page without a word ends the call, too."""
    stand, page = await make_page()
    async with browser() as caller:
        await call(page, caller)
    await stand.until_used(0)


@pytest.mark.timeout(30)
async def test_longest_call(make_page: Any) -> None:
    """It is hung up, and the page is told."""
    stand, page = await make_page(webrtc_max_call_s=1.0)
    async with browser() as caller:
        await call(page, caller)
        assert await caller.messages.get() == {"type": "ended", "code": "max_duration"}
    await stand.until_used(0)


@pytest.mark.timeout(30)
async def test_connection_that_never_comes(make_page: Any) -> None:
    """The slot is not held for longer than the connection may take."""
    stand, page = await make_page(webrtc_connect_timeout_s=0.3)
    async with browser() as caller:
        response = await page.offer(await caller.offer(), await page.token())
        assert response.status_code == 200
        assert await stand.slots_used() == 1
        await stand.until_used(0)


@pytest.mark.timeout(30)
async def test_shutdown_ends_browser_calls(make_page: Any) -> None:
    """A gateway that is stopped hard tells the page, gives its slot back, and leaves no task."""
    stand, page = await make_page()
    async with browser() as caller:
        await call(page, caller)
        stand.gateway.should_exit = True
        assert await caller.messages.get() == {"type": "ended", "code": "shutdown"}
        await stand.until_used(0)
    await stand.serving
    assert [task for task in asyncio.all_tasks() if _is_the_gateways(task)] == []


def _is_the_gateways(task: asyncio.Task[Any]) -> bool:
    file = task.get_coro().cr_code.co_filename
    return any(part in file for part in ("/callcenter/", "/aiortc/", "/aioice/"))


@pytest.mark.timeout(30)
async def test_full_house(make_page: Any) -> None:
    """No slot at the workers; the call that is on goes on."""
    stand, page = await make_page(slots=1)
    async with browser() as caller, browser() as second:
        await call(page, caller)
        refused = await page.offer(await second.offer(), await page.token())
        assert code(refused) == (503, "no_capacity")
        await caller.hear(40)
    await stand.until_used(0)


@pytest.mark.timeout(30)
async def test_limits_of_the_gateway_and_of_a_visitor(make_page: Any) -> None:
    """Each is refused with a code of its own."""
    _, page = await make_page(webrtc_calls_per_visitor=1)
    async with browser() as caller, browser() as second:
        await call(page, caller)
        refused = await page.offer(await second.offer(), await page.token())
        assert code(refused) == (429, "too_many_calls")
    _, page = await make_page(webrtc_max_calls=1)
    async with browser() as caller, browser() as second:
        placed = [page.offer(await one.offer(), await page.token()) for one in (caller, second)]
        answers = await asyncio.gather(*placed)  # both before either has been answered
        assert sorted(answer.status_code for answer in answers) == [200, 503]
        assert code(await page.session()) == (503, "no_capacity")


async def test_rate(make_page: Any) -> None:
    """The answer says when to come back."""
    _, page = await make_page(webrtc_requests_per_minute=2)
    for _ in range(2):
        await page.token()
    refused = await page.session()
    assert code(refused) == (429, "too_many_requests")
    assert 1 <= int(refused.headers["Retry-After"]) <= 30


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
async def test_wrong_origin(make_page: Any, origin: str) -> None:
    """Refused at each door; any page may read why."""
    _, page = await make_page()
    token = await page.token()
    page.origin = origin
    for response in (
        await page.session(),
        await page.offer({"sdp": "v=0", "type": "offer"}, token),
        await page.candidates("pc"),
    ):
        assert code(response) == (403, "origin_refused")
        assert not origin or response.headers["access-control-allow-origin"] == "*"


async def test_tokens(make_page: Any) -> None:
    """None, rubbish, expired, and one that was used."""
    _, page = await make_page(webrtc_token_ttl_s=0.2)
    body: dict[str, object] = {"sdp": "v=0", "type": "offer"}
    assert code(await page.offer(body, None)) == (401, "unauthorized")
    assert code(await page.offer(body, "a.b")) == (401, "unauthorized")
    token = await page.token()
    assert code(await page.offer(body, token)) == (400, "bad_request")
    assert code(await page.offer(body, token)) == (401, "token_used")
    token = await page.token()
    await asyncio.sleep(0.25)
    assert code(await page.offer(body, token)) == (401, "token_expired")


async def test_a_token_is_good_for_one_call_at_all_gateways(make_page: Any) -> None:
    """Used at one, it is worth nothing at the other, and takes no slot there."""
    (_, first), (other, second) = await make_page(), await make_page()
    body: dict[str, object] = {"sdp": "v=0", "type": "offer"}
    token = await first.token()
    assert code(await first.offer(body, token)) == (400, "bad_request")
    assert code(await second.offer(body, token)) == (401, "token_used")
    answers = await asyncio.gather(*[first.offer(body, await first.token()) for _ in range(3)])
    assert [code(answer) for answer in answers] == [(400, "bad_request")] * 3
    assert await other.slots_used() == 0


@pytest.mark.timeout(30)
async def test_no_browser_call_begins_without_redis(make_page: Any) -> None:
    """Nobody can tell then whether the token was used."""
    redis = valkey()
    redis.start()
    _, page = await make_page(redis_url=redis.connection_url)
    token, body = await page.token(), {"sdp": "v=0", "type": "offer"}
    await asyncio.to_thread(redis.stop)
    assert code(await page.offer(body, token)) == (503, "token_unchecked")


async def test_browsers_call_nobody_who_is_not_named(make_page: Any) -> None:
    """Without a word about personas, none."""
    _, page = await make_page(webrtc_personas="")
    assert code(await page.session()) == (404, "unknown_persona")
    agents = await page.http.get(f"{page.base_url}/api/agents")
    assert agents.json()["agents"] == []


async def test_bad_bodies(make_page: Any) -> None:
    """Each gets a word of what is wrong, and takes no slot."""
    stand, page = await make_page()
    assert code(await page.session("nobody")) == (404, "unknown_persona")
    assert code(await page.candidates("no such")) == (400, "bad_request")
    token = await page.token()
    assert code(await page.offer({"type": "offer"}, token)) == (400, "bad_request")
    large = await page.offer({"sdp": "x" * 100_000, "type": "offer"}, token)
    assert code(large) == (413, "request_entity_too_large")
    again = await page.offer({"sdp": "v=0", "type": "offer", "pc_id": "x"}, token)
    assert code(again) == (409, "ice_restart_unsupported")
    assert code(await page.offer({"sdp": "nonsense", "type": "offer"}, token))[0] == 400
    await stand.until_used(0)


async def test_who_can_be_called(make_page: Any) -> None:
    """The personas that have a route, and the engines that the workers have."""
    _, page = await make_page()
    answer = (await page.http.get(f"{page.base_url}/api/agents")).json()
    assert answer["engines"] == ["rehearsal"]
    assert [agent["persona"] for agent in answer["agents"]] == ["bank"]


async def test_pages_and_files(make_page: Any) -> None:
    """The demo page and the widget's modules, as browsers accept them and keep them."""
    _, page = await make_page()
    front = await page.http.get(f"{page.base_url}/")
    assert "widget/call.js" in front.text
    assert "frame-ancestors 'none'" in front.headers["content-security-policy"]
    script = await page.http.get(f"{page.base_url}/widget/call.js", headers={"Origin": PAGE})
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["access-control-allow-origin"] == "*"
    assert script.headers["cache-control"] == "no-cache"
    assert (await page.http.get(f"{page.base_url}/widget/../leg.py")).status_code == 404
    assert (await page.http.get(f"{page.base_url}/healthz")).status_code == 200


async def test_turn_credentials_are_the_sessions_own(make_page: Any) -> None:
    """Minted anew each time, and the operator's secret stays here."""
    _, page = await make_page(turn_urls="turn:t.example.com", turn_secret="operators-secret")
    first, second = (await page.session()).json(), (await page.session()).json()
    assert first["ice_servers"][0]["username"] != second["ice_servers"][0]["username"]
    assert "operators-secret" not in json.dumps(first)


async def test_without_a_secret_there_is_no_browser_door(make_stand: Any) -> None:
    """A gateway for telephones only shows no page."""
    stand = await make_stand()
    assert (await stand.http.get(f"{stand.base_url}/")).status_code == 404
    response = await stand.http.post(f"{stand.base_url}/api/session", json={"persona": "bank"})
    assert response.status_code == 404
