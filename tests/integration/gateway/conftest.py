"""A whole gateway on real sockets, in front of a worker that plays a tone.

Valkey, the broker, the link, the gateway's HTTP server and the caller's WebSocket are the real
ones; only the engine behind the link is a stand-in.
"""

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect

from callcenter.broker.broker import Broker
from callcenter.broker.connection import connect as connect_redis
from callcenter.broker.placement import WorkerInfo
from callcenter.evaluation.carrier import Carrier, parse_twiml
from callcenter.gateway.program import Server, server
from callcenter.link.protocol import Action, End, Ready
from callcenter.link.server import LinkServer, SessionLink
from callcenter.link.token import verify
from callcenter.settings import GatewaySettings, WorkerSettings
from tests.integration.gateway.visitor import PAGE, SECRET, Page
from tests.servers import free_port
from tests.signing import PUBLIC_KEY

LINK_SECRET = "link-secret-of-the-tests-0123456789"
AUTH_TOKEN = "auth-token-of-the-tests-0123456789"
NUMBER = "+15550100"
FRAME_S = 0.08
TONE = (6_000 * np.sin(2 * np.pi * 440 * np.arange(1_920) / 24_000)).astype(np.int16)
PACKET = b"\x7f" * 160  # 20 ms of mu-law silence


@dataclass
class ToneWorker:
    """A worker whose engine says one tone, as long as the gateway listens."""

    broker: Broker
    slots: int
    worker_id: str = field(default_factory=lambda: f"worker-{secrets.token_hex(3)}")
    sessions: dict[str, SessionLink] = field(default_factory=dict)
    frames_heard: dict[str, int] = field(default_factory=dict)

    async def start(self) -> None:
        """Listens and registers."""
        self.link = LinkServer(lambda text, now: verify(text, LINK_SECRET, now), self.serve)
        port = await self.link.start("127.0.0.1", 0)
        url = f"ws://127.0.0.1:{port}"
        info = WorkerInfo(
            worker_id=self.worker_id, url=url, epoch=1, slots=self.slots, kind="rehearsal"
        )
        await self.broker.register(info)

    async def serve(self, session: SessionLink) -> None:
        """Says the tone until the gateway leaves."""
        call_id = session.spec.call_id
        self.sessions[call_id], self.frames_heard[call_id] = session, 0
        session.channel.send_control(Ready())
        saying = asyncio.create_task(self.say(session))
        try:
            async for _ in session.messages():
                self.frames_heard[call_id] += 1
        finally:
            saying.cancel()
            del self.sessions[call_id]

    async def say(self, session: SessionLink) -> None:
        """One frame every 80 ms."""
        while True:
            session.channel.send_frame(TONE)
            await asyncio.sleep(FRAME_S)

    def act(self, name: str) -> None:
        """Every engine asks its call for something."""
        for session in self.sessions.values():
            session.channel.send_control(Action(name=name))

    def end(self) -> None:
        """Every session ends from the worker's side."""
        for session in self.sessions.values():
            session.channel.send_control(End(reason="drained"))

    async def die(self) -> None:
        """The process is gone: the port and every connection at once."""
        for session in list(self.sessions.values()):
            session.channel._connection.transport.abort()
        await self.link.stop()


class Caller:
    """A call of Twilio's, message by message."""

    def __init__(self, base_url: str, http: httpx.AsyncClient, number: str = NUMBER) -> None:
        self.base_url = base_url
        self.http = http
        self.carrier = Carrier(AUTH_TOKEN, "+15005550006", number)
        self.form = self.carrier.webhook_form()

    @property
    def call_id(self) -> str:
        """Twilio's name of the call."""
        return self.carrier.call_sid

    async def announce(self, signature: str | None = None) -> httpx.Response:
        """Sends the webhook; signed well unless told otherwise."""
        url = f"{self.base_url}/twilio/voice"
        headers = {"X-Twilio-Signature": signature or self.carrier.sign(url, self.form)}
        return await self.http.post(url, data=self.form, headers=headers)

    async def stream_url(self) -> str:
        """The address of the media socket."""
        response = await self.announce()
        assert response.status_code == 200, response.text
        return parse_twiml(response.text).url

    async def connect(self, url: str, signature: str | None = None) -> ClientConnection:
        """Opens the media socket."""
        headers = {"X-Twilio-Signature": signature or self.carrier.sign(url)}
        return await connect(
            url, additional_headers=headers, compression=None, proxy=None, max_queue=None
        )

    async def start(self) -> ClientConnection:
        """Webhook, socket, connected and start."""
        stream = await self.connect(await self.stream_url())
        await self.say_start(stream)
        return stream

    async def say_start(self, stream: ClientConnection) -> None:
        """The two messages that open a stream."""
        await stream.send(self.carrier.connected())
        await stream.send(self.carrier.start({}))

    async def hear(self, stream: ClientConnection, packets: int = 5) -> None:
        """Waits until so many packets of the agent have come."""
        while packets:
            packets -= json.loads(await stream.recv())["event"] == "media"


@dataclass
class Stand:
    """Gateway, worker and what is needed to call them."""

    base_url: str
    http: httpx.AsyncClient
    broker: Broker
    workers: list[ToneWorker]
    gateway: Server | None = None
    serving: asyncio.Task[None] | None = None

    def caller(self, number: str = NUMBER) -> Caller:
        """A new call."""
        return Caller(self.base_url, self.http, number)

    async def slots_used(self) -> int:
        """As the broker's books have it."""
        return sum(worker.used for worker in await self.broker.workers())

    async def until_used(self, slots: int) -> None:
        """Waits until the broker's books show so many slots in use."""
        while await self.slots_used() != slots:  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.01)

    async def add_worker(self, slots: int) -> ToneWorker:
        """One more worker."""
        worker = ToneWorker(self.broker, slots)
        await worker.start()
        self.workers.append(worker)
        return worker


def one_slot(redis_url: str, pool: str, **settings: object) -> WorkerSettings:
    """Of a real worker on free ports."""
    return WorkerSettings.load(
        redis_url=redis_url,
        link_secret=LINK_SECRET,
        worker_pool=pool,
        worker_port=0,
        worker_http_port=0,
        worker_slots=1,
        **settings,
    )


class RestApi:
    """Twilio's REST interface, which says yes to everything.

    Attributes:
        requests: path and form of each request.
    """

    def __init__(self) -> None:
        self.requests: asyncio.Queue[tuple[str, dict[str, str]]] = asyncio.Queue()
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
        form = dict(parse_qsl((await reader.readexactly(length)).decode()))
        self.requests.put_nowait((head.split()[1], form))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()


@pytest.fixture
async def rest_api() -> AsyncIterator[RestApi]:
    """A stand-in for api.twilio.com."""
    api = RestApi()
    listening = await asyncio.start_server(api.answer, "127.0.0.1", 0)
    api.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening:
        yield api


MakeStand = Callable[..., Awaitable[Stand]]


@pytest.fixture
async def make_stand(redis_url: str, tmp_path: Path) -> AsyncIterator[MakeStand]:
    """Builds stands; keyword arguments are the gateway's settings."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(slots: int = 2, **settings: object) -> Stand:
            url = str(settings.pop("redis_url", redis_url))
            settings["redis_url"] = settings.pop("gateway_redis_url", url)
            return await _make_stand(stack, url, tmp_path, slots, settings)

        yield make


async def _make_stand(
    stack: contextlib.AsyncExitStack,
    redis_url: str,
    folder: Path,
    slots: int,
    overrides: dict[str, object],
) -> Stand:
    pool = str(overrides.pop("pool", f"pool-{secrets.token_hex(4)}"))
    redis = connect_redis(redis_url)
    stack.push_async_callback(redis.aclose)
    broker = Broker(redis, pool, worker_lease_s=60.0)
    stand = Stand("", await stack.enter_async_context(httpx.AsyncClient()), broker, [])
    stack.push_async_callback(_stop_workers, stand)
    await stand.add_worker(slots)
    gateway, stand.serving = await _serve(stack, folder, pool, overrides)
    stand.gateway = gateway
    stand.base_url = f"http://127.0.0.1:{gateway.config.port}"
    return stand


async def _serve(
    stack: contextlib.AsyncExitStack,
    folder: Path,
    pool: str,
    overrides: dict[str, object],
) -> tuple[Server, asyncio.Task[None]]:
    routes = folder / "routes.yaml"
    routes.write_text(
        f"routes: [{{number: '{NUMBER}', persona: bank, transfer_to: '+15550199'}}]\n"
    )
    port = free_port()
    settings = GatewaySettings.load(
        link_secret=LINK_SECRET,
        gateway_port=port,
        public_base_url=f"http://127.0.0.1:{port}",
        **{
            "twilio_auth_token": AUTH_TOKEN,
            "config_public_key": PUBLIC_KEY,
            "gateway_pools": pool,
            "routes_file": routes,
            **overrides,
        },
    )
    gateway = server(settings)
    serving = asyncio.create_task(gateway.serve())
    stack.push_async_callback(_stop, gateway, serving)
    while not gateway.started:
        assert not serving.done(), "the gateway did not start"
        await asyncio.sleep(0.01)
    return gateway, serving


async def _stop(gateway: Server, serving: asyncio.Task[None]) -> None:
    gateway.should_exit = True
    await serving


async def _stop_workers(stand: Stand) -> None:
    for worker in stand.workers:
        await worker.die()


@pytest.fixture
def make_page(make_stand: Any) -> Callable[..., Any]:
    """A stand whose gateway takes browser calls, and a page that may place them."""

    async def make(slots: int = 2, **settings: object) -> tuple[Any, Page]:
        wanted = {"webrtc_secret": SECRET, "webrtc_origins": PAGE, "webrtc_personas": "*"}
        stand = await make_stand(slots, **{**wanted, **settings})
        return stand, Page(stand.http, stand.base_url)

    return make
