"""Browser calls against a whole gateway: a second aiortc plays the browser."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import av
import httpx
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from callcenter.link.protocol import Text
from callcenter.media.units import rms

SECRET = "secret-of-the-tests-0123456789abcdef"
PAGE = "https://www.example.com"


@dataclass
class Page:
    """A page in a browser, as far as the gateway sees it."""

    http: httpx.AsyncClient
    base_url: str
    origin: str = PAGE

    async def session(self, persona: str = "bank") -> httpx.Response:
        """Asks for a call."""
        return await self._send("POST", "/api/session", {"persona": persona})

    async def token(self) -> str:
        """A good token."""
        response = await self.session()
        assert response.status_code == 200, response.text
        token: str = response.json()["token"]
        return token

    async def offer(self, body: dict[str, object], token: str | None) -> httpx.Response:
        """Places the call."""
        return await self._send("POST", "/api/offer", body, token)

    async def candidates(self, pc_id: str, *candidates: str) -> httpx.Response:
        """Sends late addresses."""
        items = [{"candidate": text, "sdp_mid": "0", "sdp_mline_index": 0} for text in candidates]
        return await self._send("PATCH", "/api/offer", {"pc_id": pc_id, "candidates": items})

    async def _send(
        self, method: str, path: str, body: object, token: str | None = None
    ) -> httpx.Response:
        headers = {"Origin": self.origin} if self.origin else {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        url = self.base_url + path
        return await self.http.request(method, url, json=body, headers=headers)


@dataclass
class Browser:
    """Its end of the connection."""

    peer: RTCPeerConnection
    heard: list[np.ndarray] = field(default_factory=list)
    messages: asyncio.Queue[dict[str, str]] = field(default_factory=asyncio.Queue)
    listening: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.peer.addTrack(AudioStreamTrack())
        self.channel = self.peer.createDataChannel("events")
        self.channel.on("message", lambda text: self.messages.put_nowait(json.loads(text)))
        self.peer.on("track", self._on_track)

    def _on_track(self, track: Any) -> None:
        self.listening = asyncio.create_task(self._listen(track))

    async def _listen(self, track: Any) -> None:
        while True:
            av_frame: av.AudioFrame = await track.recv()
            self.heard.append(av_frame.to_ndarray())

    async def offer(self) -> dict[str, object]:
        """The body of the request."""
        await self.peer.setLocalDescription(await self.peer.createOffer())
        local = self.peer.localDescription
        return {"sdp": local.sdp, "type": local.type}

    async def accept(self, answer: dict[str, str]) -> None:
        """Takes the answer."""
        description = RTCSessionDescription(answer["sdp"], answer["type"])
        await self.peer.setRemoteDescription(description)

    async def hear(self, packets: int = 10) -> None:
        """Waits until the agent's tone comes."""
        while sum(rms(packet.ravel()) > 1_000 for packet in self.heard) < packets:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        """Goes away."""
        if self.listening is not None:
            self.listening.cancel()
        await self.peer.close()


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A browser that leaves no task behind."""
    opened = Browser(RTCPeerConnection(RTCConfiguration(iceServers=[])))
    yield opened
    await opened.close()


@pytest.fixture
def make_page(make_stand: Any) -> Callable[..., Any]:
    """A stand whose gateway takes browser calls, and a page that may place them."""

    async def make(slots: int = 2, **settings: object) -> tuple[Any, Page]:
        wanted = {"webrtc_secret": SECRET, "webrtc_origins": PAGE, **settings}
        stand = await make_stand(slots, **wanted)
        return stand, Page(stand.http, stand.base_url)

    return make


async def call(page: Page, caller: Browser) -> str:
    """Places a call that is answered; returns the connection's id."""
    response = await page.offer(await caller.offer(), await page.token())
    assert response.status_code == 200, response.text
    await caller.accept(response.json())
    await caller.hear()
    pc_id: str = response.json()["pc_id"]
    return pc_id


def code(response: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal, which must have words for its visitor, too."""
    body = response.json()
    assert body["message"]
    return response.status_code, body["code"]


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
async def test_agent_hangs_up(make_page: Any) -> None:
    """The page is told why."""
    stand, page = await make_page()
    async with browser() as caller:
        await call(page, caller)
        stand.workers[0].act("hangup")
        assert await caller.messages.get() == {"type": "ended", "code": "agent_hangup"}
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
    """A gateway that is stopped hard gives its slots back first."""
    stand, page = await make_page()
    async with browser() as caller:
        await call(page, caller)
        stand.gateway.should_exit = True
        await stand.until_used(0)


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
    async with browser() as caller:
        await call(page, caller)
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


async def test_bad_bodies(make_page: Any) -> None:
    """Each gets a word of what is wrong, and takes no slot."""
    stand, page = await make_page()
    assert code(await page.session("nobody")) == (404, "unknown_persona")
    assert code(await page.candidates("no such")) == (400, "bad_request")
    token = await page.token()
    assert code(await page.offer({"type": "offer"}, token)) == (400, "bad_request")
    large = await page.offer({"sdp": "x" * 100_000, "type": "offer"}, token)
    assert code(large) == (413, "request_entity_too_large")
    assert code(await page.offer({"sdp": "nonsense", "type": "offer"}, token))[0] == 400
    await stand.until_used(0)


async def test_who_can_be_called(make_page: Any) -> None:
    """The personas that have a route, and the engines that the workers have."""
    _, page = await make_page()
    answer = (await page.http.get(f"{page.base_url}/api/agents")).json()
    assert answer["engines"] == ["rehearsal"]
    assert [agent["persona"] for agent in answer["agents"]] == ["bank"]


async def test_pages_and_files(make_page: Any) -> None:
    """The demo page and the widget's modules, with types that browsers accept."""
    _, page = await make_page()
    front = await page.http.get(f"{page.base_url}/")
    assert "widget/call.js" in front.text
    script = await page.http.get(f"{page.base_url}/widget/call.js", headers={"Origin": PAGE})
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["access-control-allow-origin"] == "*"
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
