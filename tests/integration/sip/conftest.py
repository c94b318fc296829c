"""A whole SIP gateway on real sockets, in front of a worker that says a tone or an echo.

Valkey, broker, link and gateway are the real ones; only the engine behind the link is a stand-in.
The callers are independent programs, or the plain text caller below.
"""

import asyncio
import contextlib
import itertools
import re
import secrets
import shutil
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from callcenter.broker.broker import Broker
from callcenter.broker.connection import connect
from callcenter.broker.placement import WorkerInfo
from callcenter.events import LegDigit
from callcenter.gateway.sip_program import SipGateway
from callcenter.link.protocol import Action, AudioFrame, Ready
from callcenter.link.server import LinkServer, SessionLink
from callcenter.link.token import verify
from callcenter.settings import SipSettings
from callcenter.telephony.sip import leg
from tests.signing import PUBLIC_KEY

LINK_SECRET = "link-secret-of-the-tests-0123456789"
NUMBER = "15550100"
FRAME_S = 0.08
PHASE = 2 * np.pi * np.arange(1_920) / 24_000
TONE = (6_000 * np.sin(1_000 * PHASE)).astype(np.int16)
SCENARIOS = Path(__file__).parent / "scenarios"


def needs(program: str) -> str:
    """The path of an independent program, or the test is skipped."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


@dataclass
class StandInWorker:
    """A worker whose engine says a tone, or what it hears.

    Attributes:
        heard: call id -> everything that came, int16 frames.
        specs: what the sessions were opened with.
    """

    broker: Broker
    slots: int
    echoes: bool = False
    worker_id: str = field(default_factory=lambda: f"worker-{secrets.token_hex(3)}")
    sessions: dict[str, SessionLink] = field(default_factory=dict)
    heard: dict[str, list] = field(default_factory=dict)
    specs: list = field(default_factory=list)

    async def start(self) -> None:
        """Listens and registers."""
        self.link = LinkServer(lambda text, now: verify(text, LINK_SECRET, now), self.serve)
        port = await self.link.start("127.0.0.1", 0)
        await self.broker.register(
            WorkerInfo(
                worker_id=self.worker_id,
                url=f"ws://127.0.0.1:{port}",
                epoch=1,
                slots=self.slots,
                kind="rehearsal",
            )
        )

    async def serve(self, session: SessionLink) -> None:
        """Speaks until the gateway leaves."""
        call_id = session.spec.call_id
        self.specs.append(session.spec)
        self.sessions[call_id], self.heard[call_id] = session, []
        session.channel.send_control(Ready())
        saying = asyncio.create_task(self.say(session))
        try:
            async for message in session.messages():
                if isinstance(message, AudioFrame):
                    self.heard[call_id].append(message.pcm)
                    if self.echoes:
                        session.channel.send_frame(message.pcm)
        finally:
            saying.cancel()
            self.sessions.pop(call_id, None)

    async def say(self, session: SessionLink) -> None:
        """One frame every 80 ms; an echo only needs one to make the gateway answer."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            session.channel.send_frame(np.zeros_like(TONE) if self.echoes else TONE)
            if self.echoes:
                return
            due += FRAME_S
            await asyncio.sleep(due - loop.time())

    def act(self, name: str) -> None:
        """Every engine asks its call for something."""
        for session in self.sessions.values():
            session.channel.send_control(Action(name=name))


@dataclass
class Stand:
    """Gateway, worker, broker."""

    gateway: SipGateway
    worker: StandInWorker
    broker: Broker

    @property
    def udp(self) -> int:
        """The gateway's UDP port."""
        return self.gateway.ports["udp"]

    async def slots_used(self) -> int:
        """As the broker's books have it."""
        return sum(worker.used for worker in await self.broker.workers())

    async def until_free(self) -> None:
        """Waits until no slot is used and no call lives."""
        async with asyncio.timeout(5):
            while await self.slots_used() or len(self.gateway.live):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that legs have told."""
    pressed: list[str] = []

    def told(digit: str) -> LegDigit:
        pressed.append(digit)
        return LegDigit(digit)

    monkeypatch.setattr(leg, "LegDigit", told)
    return pressed


MakeStand = Callable[..., Awaitable[Stand]]
RTP_PORTS = itertools.cycle(range(20_000, 30_000, 200))


@pytest.fixture
async def make_stand(redis_url: str, tmp_path: Path) -> AsyncIterator[MakeStand]:
    """Builds stands; `trunk` holds lines of the trunks file, the rest are settings."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(
            trunk: str = "", slots: int = 4, echoes: bool = False, **settings: object
        ) -> Stand:
            return await _make_stand(stack, redis_url, tmp_path, trunk, slots, echoes, settings)

        yield make


async def _make_stand(
    stack: contextlib.AsyncExitStack,
    redis_url: str,
    folder: Path,
    trunk: str,
    slots: int,
    echoes: bool,
    overrides: dict[str, object],
) -> Stand:
    pool = f"pool-{secrets.token_hex(4)}"
    redis = connect(redis_url)
    stack.push_async_callback(redis.aclose)
    broker = Broker(redis, pool, worker_lease_s=60.0)
    worker = StandInWorker(broker, slots, echoes)
    await worker.start()
    stack.push_async_callback(worker.link.stop)
    path = folder / "trunks.yaml"
    options = "".join(f"    {line}\n" for line in trunk.splitlines())
    path.write_text(
        "trunks:\n  - name: test\n    networks: ['127.0.0.1/32', '::1/128']\n"
        f"{options}"
        f"    numbers: [{{number: '{NUMBER}', persona: bank, transfer_to: '+15550199'}}]\n"
    )
    first = next(RTP_PORTS)
    given: dict[str, object] = {
        "sip_udp_port": 0,
        "sip_tcp_port": 0,
        "rtp_first_port": first,
        "rtp_last_port": first + 199,
        "gateway_pools": pool,
        **overrides,
    }
    settings = SipSettings.load(
        redis_url=redis_url,
        link_secret=LINK_SECRET,
        **{"trunks_file": path, "config_public_key": PUBLIC_KEY, **given},
    )
    gateway = SipGateway(settings)
    await gateway.start()
    stack.push_async_callback(gateway.stop)
    stack.push_async_callback(gateway.drain, 0.05)
    return Stand(gateway, worker, broker)


class Caller:
    """A caller that writes SIP as text: what it sends is exactly what stands here."""

    def __init__(self, port: int, host: str = "127.0.0.1", number: str = NUMBER) -> None:
        self.loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sip, self.rtp = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
        for opened in (self.sip, self.rtp):
            opened.setblocking(False)
            opened.bind((host, 0))
        self.peer = (host, port)
        self.host = f"[{host}]" if ":" in host else host
        self.number = number
        self.call_id, self.tag = secrets.token_hex(8), secrets.token_hex(4)
        self.cseq = 0
        self.to_tag = ""
        self.remote_rtp: tuple[str, int] | None = None
        self.inbox: list[str] = []

    def close(self) -> None:
        """Closes both sockets."""
        self.sip.close()
        self.rtp.close()

    def sdp(self, formats: str = "0 8 101", extra: str = "a=sendrecv") -> str:
        """An offer."""
        family = "IP6" if "[" in self.host else "IP4"
        host = self.host.strip("[]")
        return (
            f"v=0\r\no=- 1 1 IN {family} {host}\r\ns=-\r\nc=IN {family} {host}\r\nt=0 0\r\n"
            f"m=audio {self.rtp.getsockname()[1]} RTP/AVP {formats}\r\n"
            f"a=rtpmap:101 telephone-event/8000\r\n{extra}\r\n"
        )

    def request(
        self,
        method: str,
        body: str = "",
        cseq: int | None = None,
        branch: str = "",
        extra: str = "",
    ) -> str:
        """A request of this call."""
        if cseq is None:
            self.cseq += 1
        port = self.sip.getsockname()[1]
        target = f"sip:{self.number}@{self.host}:{self.peer[1]}"
        to_tag = f";tag={self.to_tag}" if self.to_tag else ""
        kind = "Content-Type: application/sdp\r\n" if body.startswith("v=0") else ""
        self.branch = branch or f"z9hG4bK{secrets.token_hex(6)}"
        return (
            f"{method} {target} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self.host}:{port};branch={self.branch};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:caller@{self.host}>;tag={self.tag}\r\n"
            f"To: <{target}>{to_tag}\r\nCall-ID: {self.call_id}\r\n"
            f"CSeq: {self.cseq if cseq is None else cseq} {method}\r\n"
            f"Contact: <sip:caller@{self.host}:{port}>\r\n{extra}{kind}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )

    def send(self, text: str | bytes) -> None:
        """Sends a message."""
        self.sip.sendto(text.encode() if isinstance(text, str) else text, self.peer)

    async def receive(self, timeout_s: float = 3.0) -> str:
        """The next message."""
        async with asyncio.timeout(timeout_s):
            data, _ = await self.loop.sock_recvfrom(self.sip, 65_535)
        return data.decode("utf-8", "surrogateescape")

    async def response(self, status: int | None = None, timeout_s: float = 3.0) -> str:
        """The next response with that status, or the next final one; requests wait."""
        while True:
            text = await self.receive(timeout_s)
            if not text.startswith("SIP/2.0"):
                self.inbox.append(text)
                continue
            got = int(text.split()[1])
            if got == status or (status is None and got >= 200):
                return text

    async def incoming(self, method: str, timeout_s: float = 3.0) -> str:
        """The next request of a method."""
        while True:
            for text in list(self.inbox):
                self.inbox.remove(text)
                if text.startswith(method + " "):
                    return text
            text = await self.receive(timeout_s)
            if text.startswith(method + " "):
                return text

    async def call(self, body: str | None = None, extra: str = "") -> str:
        """INVITE, 200, ACK; returns the 200."""
        self.send(self.request("INVITE", self.sdp() if body is None else body, extra=extra))
        answer = await self.response(200)
        self.take(answer)
        self.send(self.request("ACK", cseq=self.cseq))
        return answer

    def take(self, answer: str) -> None:
        """Learns To tag and RTP address from a 200."""
        found = re.search(r"^To:.*;tag=([^;\s]+)", answer, re.MULTILINE)
        assert found is not None
        self.to_tag = found[1]
        port = re.search(r"^m=audio (\d+)", answer, re.MULTILINE)
        assert port is not None
        self.remote_rtp = (self.peer[0], int(port[1]))

    async def ask(self, method: str, body: str = "", extra: str = "") -> str:
        """A request and its final response."""
        self.send(self.request(method, body, extra=extra))
        return await self.response()

    def answer(
        self, request: str, status: str = "200 OK", body: str = "", to_tag: str = ""
    ) -> None:
        """Answers a request of the gateway."""
        kept = [
            line
            for line in request.split("\r\n")
            if line.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")
        ]
        tag = f";tag={to_tag}" if to_tag else ""
        kept = [f"{line}{tag}" if line.startswith("To:") else line for line in kept]
        kept.append(f"Contact: <sip:human@{self.host}:{self.sip.getsockname()[1]}>")
        if body:
            kept.append("Content-Type: application/sdp")
        lines = [f"SIP/2.0 {status}", *kept, f"Content-Length: {len(body)}", "", body]
        self.send("\r\n".join(lines))

    def send_rtp(
        self, payload: bytes, sequence: int, payload_type: int = 0, timestamp: int | None = None
    ) -> None:
        """One packet of 20 ms."""
        stamp = sequence * 160 if timestamp is None else timestamp
        header = struct.pack("!BBHII", 0x80, payload_type, sequence & 0xFFFF, stamp, 0x1234)
        self.rtp.sendto(header + payload, self.remote_rtp)

    async def hear(self, packets: int, timeout_s: float = 3.0) -> list[bytes]:
        """The next RTP packets."""
        got = []
        async with asyncio.timeout(timeout_s):
            while len(got) < packets:
                got.append(await self.loop.sock_recv(self.rtp, 2_048))
        return got


@pytest.fixture
async def make_caller() -> AsyncIterator[Callable[..., Caller]]:
    """Callers that are closed at the end."""
    callers: list[Caller] = []

    def make(*args: object, **kwargs: object) -> Caller:
        callers.append(Caller(*args, **kwargs))
        return callers[-1]

    yield make
    for caller in callers:
        caller.close()


async def run(*command: str | Path, timeout_s: float = 20.0, cwd: Path | None = None) -> str:
    """Runs an independent program; its output, or the test fails with it."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        output, _ = await process.communicate()
        pytest.fail(f"{command[0]} ran past {timeout_s} s:\n{output.decode()[-3000:]}")
    text = output.decode("utf-8", "replace")
    assert process.returncode == 0, f"{command[0]} ended {process.returncode}:\n{text[-4000:]}"
    return text
