"""A whole worker process' parts with real sockets, a real Valkey and the rehearsal engine."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping
from typing import Any

import httpx
import numpy as np
import pytest
from structlog.testing import capture_logs

from callcenter.broker.broker import Broker
from callcenter.broker.connection import connect
from callcenter.broker.placement import WorkerInfo
from callcenter.errors import ConfigurationError, Draining, LinkLost, NoCapacity, Unauthorized
from callcenter.link.client import LinkClient
from callcenter.link.protocol import (
    AudioFrame,
    DrainSoon,
    End,
    OpenSession,
    Stats,
    Text,
    prompt_hash,
)
from callcenter.link.refusals import PromptRefused, SessionFailed, StaleClaim
from callcenter.link.token import SessionToken, sign, verify
from callcenter.media.phase import MARGIN_S
from callcenter.media.units import PACKET_S
from callcenter.media.uplink import Uplink
from callcenter.settings import WorkerSettings
from callcenter.worker.program import Worker
from engine.interface import Engine, Frame, PromptRejected, SessionSpec, TickResult
from engine.rehearsal import RehearsalEngine

SECRET = "s" * 32
PROMPT = prompt_hash("nora", "Be kind.")
QUIET = np.zeros(1_920, np.int16)


def settings(redis_url: str, **overrides: object) -> WorkerSettings:
    """A worker on free ports, in a pool of its own."""
    values: dict[str, object] = {
        "redis_url": redis_url,
        "link_secret": SECRET,
        "worker_id": "w1",
        "worker_pool": f"pool-{time.time_ns()}",
        "worker_port": 0,
        "worker_http_port": 0,
        "heartbeat_s": 0.05,
        "drain_deadline_s": 5.0,
    }
    return WorkerSettings.load(**values | overrides)


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What was logged."""
    with capture_logs() as lines:
        yield lines


@contextlib.asynccontextmanager
async def books(config: WorkerSettings) -> AsyncIterator[Broker]:
    """The gateway's view of the worker's pool."""
    async with connect(config.redis_url) as client:
        yield Broker(client, config.worker_pool)


def opening(call_id: str, voice: str = "nora") -> OpenSession:
    """A session's first message."""
    return OpenSession(
        call_id=call_id,
        persona="bank",
        persona_version="1",
        role_text="Be kind.",
        voice=voice,
        prompt_hash=prompt_hash(voice, "Be kind."),
    )


def token_for(
    worker: Worker, call_id: str, fencing_token: int = 1, prompt: str = PROMPT, **fields: object
) -> str:
    """A session token as a gateway signs it; `fields` replace what would be right."""
    token = SessionToken(
        call_id=call_id,
        worker_id="w1",
        epoch=worker.epoch,
        fencing_token=fencing_token,
        prompt_hash=prompt,
        expires_at_s=time.time() + 30,
    )
    return sign(token.model_copy(update=fields), SECRET)


async def join(worker: Worker, call_id: str, **fields: int) -> LinkClient:
    """Opens a session."""
    return await LinkClient.open(worker.url, token_for(worker, call_id, **fields), opening(call_id))


async def hear(link: LinkClient, frames: int) -> tuple[list[np.ndarray], str]:
    """Speaks silence and listens for some frames."""
    heard: list[np.ndarray] = []
    words = ""
    async for message in link.messages():
        if isinstance(message, AudioFrame):
            heard.append(message.pcm)
            link.send(QUIET)
        elif isinstance(message, Text):
            words += message.piece
        if len(heard) == frames:
            break
    return heard, words


async def test_a_claimed_call_is_greeted(redis_url: str) -> None:
    """From the broker's claim to the first words, through the claim's own url and epoch."""
    config = settings(redis_url)
    async with Worker(config, RehearsalEngine(2)).running(), books(config) as broker:
        claim = await broker.claim("CA1", PROMPT, "g1")
        token = SessionToken(
            call_id="CA1",
            worker_id=claim.worker_id,
            epoch=claim.epoch,
            fencing_token=claim.fencing_token,
            prompt_hash=PROMPT,
            expires_at_s=time.time() + 30,
        )
        link = await LinkClient.open(claim.url, sign(token, SECRET), opening("CA1"))
        heard, words = await hear(link, 12)
        await link.close("caller_hung_up")
    assert np.abs(np.concatenate(heard)).max() > 3_000
    assert words.startswith(" Hello")


async def test_either_link_secret_will_do_while_it_is_being_rotated(redis_url: str) -> None:
    """Workers change first: gateways that sign with the old or the new one are both served."""
    fresh = "n" * 32
    config = settings(redis_url, link_secret=fresh, link_secret_secondary=SECRET)
    async with Worker(config, RehearsalEngine(2)).running() as worker:
        for secret, call_id in ((SECRET, "CA1"), (fresh, "CA2")):
            token = sign(verify(token_for(worker, call_id), SECRET, time.time()), secret)
            link = await LinkClient.open(worker.url, token, opening(call_id))
            assert len((await hear(link, 1))[0]) == 1
            await link.close("caller_hung_up")


async def test_frames_come_at_the_ticks_pace(redis_url: str) -> None:
    """25 frames take two seconds, whatever the caller sends."""
    async with Worker(settings(redis_url), RehearsalEngine(1)).running() as worker:
        link = await join(worker, "CA1")
        await hear(link, 1)
        started = time.monotonic()
        await hear(link, 25)
        assert time.monotonic() - started == pytest.approx(2.0, abs=0.15)
        await link.close("done")


async def test_frames_come_to_lie_just_before_the_ticks(redis_url: str) -> None:
    """The worker tells how long frames wait, the uplink moves its boundaries: waits get short."""
    waits_s: list[float] = []

    async def speak(link: LinkClient, uplink: Uplink) -> None:
        clock = asyncio.get_running_loop()
        began = clock.time()
        for packet in range(1_000):
            await asyncio.sleep(max(0.0, began + packet * PACKET_S - clock.time()))
            uplink.push(b"\xff" * 160, clock.time())
            while (frame := uplink.pop(clock.time())) is not None:
                link.send(frame)

    async with Worker(settings(redis_url), RehearsalEngine(1)).running() as worker:
        link, uplink = await join(worker, "CA1"), Uplink("audio/x-mulaw", 8_000)
        speaking = asyncio.create_task(speak(link, uplink))
        async for message in link.messages():
            if isinstance(message, AudioFrame) and message.waited_s is not None:
                waits_s.append(message.waited_s)
                uplink.waited(message.waited_s)
            if len(waits_s) == 50:
                break
        speaking.cancel()
        await link.close("done")
    # The shortest of a second lies within one packet of the margin, unless the machine stalls.
    assert min(waits_s[-12:]) < MARGIN_S + PACKET_S + 0.005


async def test_the_books_show_sessions_and_prompts(redis_url: str) -> None:
    """A session that came without a claim is in the books after a heartbeat, and leaves them."""
    config = settings(redis_url)
    async with Worker(config, RehearsalEngine(2)).running() as worker, books(config) as broker:
        link = await join(worker, "CA1")
        await asyncio.sleep(0.15)
        (info,) = await broker.workers()
        assert (info.used, info.kind, info.state) == (1, "rehearsal", "open")
        assert info.primed == {PROMPT}
        assert await broker.renew("CA1", 1)
        await link.close("done")
        assert await broker.release("CA1", 1)
        await asyncio.sleep(0.15)
        assert (await broker.workers())[0].used == 0
    async with books(config) as broker:
        assert await broker.workers() == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"worker_id": "w2"}, Unauthorized),
        ({"epoch": 1}, StaleClaim),
        ({"expires_at_s": 1.0}, Unauthorized),
        ({"call_id": "CA2"}, Unauthorized),
        ({"prompt_hash": "other"}, Unauthorized),
    ],
)
async def test_a_token_for_something_else_is_refused(
    redis_url: str, change: dict[str, object], error: type[Exception]
) -> None:
    """Wrong worker, process, time, call or prompt; the right one still gets in afterwards."""
    async with Worker(settings(redis_url), RehearsalEngine(1)).running() as worker:
        about = {"call_id": "CA1"} | change
        with pytest.raises(error) as caught:
            await LinkClient.open(worker.url, token_for(worker, **about), opening("CA1"))
        assert type(caught.value) is error
        link = await join(worker, "CA1")
        await link.close("done")


async def test_one_session_a_call_and_the_newest_claim_wins(redis_url: str) -> None:
    """The same claim again is refused, a newer one takes over, the older never comes back."""
    async with Worker(settings(redis_url), RehearsalEngine(2)).running() as worker:
        first = await join(worker, "CA1", fencing_token=5)
        with pytest.raises(StaleClaim, match="already has its session"):
            await join(worker, "CA1", fencing_token=5)
        second = await join(worker, "CA1", fencing_token=6)
        with pytest.raises(StaleClaim, match="took this call over"):
            await hear(first, 100)
        await hear(second, 2)
        await second.close("done")
        await asyncio.sleep(0.1)
        with pytest.raises(StaleClaim, match="newer claim"):
            await join(worker, "CA1", fencing_token=5)
        await (await join(worker, "CA1", fencing_token=6)).close("done")
        await first.close("done")


async def test_a_full_worker_refuses_and_a_freed_slot_is_free_at_once(redis_url: str) -> None:
    """503 before the upgrade; the session that is there goes on."""
    async with Worker(settings(redis_url), RehearsalEngine(1)).running() as worker:
        link = await join(worker, "CA1")
        with pytest.raises(NoCapacity, match="all 1 slots"):
            await join(worker, "CA2")
        await hear(link, 2)
        await link.close("done")
        await asyncio.sleep(0.1)
        await (await join(worker, "CA2")).close("done")


async def test_a_gateway_that_dies_frees_its_slot(redis_url: str) -> None:
    """No end message, just a broken connection."""
    async with Worker(settings(redis_url), RehearsalEngine(1)).running() as worker:
        link = await join(worker, "CA1")
        link._channel._connection.transport.abort()
        await asyncio.sleep(0.1)
        await (await join(worker, "CA2")).close("done")


async def test_a_drain_lets_calls_end_and_takes_no_new_ones(redis_url: str) -> None:
    """The gateway is warned, newcomers refused, and at the second signal the rest is ended."""
    config = settings(redis_url)
    async with Worker(config, RehearsalEngine(2)).running() as worker:
        link = await join(worker, "CA1")
        await hear(link, 2)
        worker.drain()
        assert worker.unready() == "draining"
        with pytest.raises(Draining):
            await join(worker, "CA2")
        messages = link.messages()
        seen = [message async for message in _until(messages, DrainSoon)]
        assert seen[-1] == DrainSoon(deadline_s=5.0)
        worker.drain()
        rest = [message async for message in messages]
        assert rest[-1] == End(reason="drained")
        assert isinstance(rest[-2], Stats)
        assert rest[-2].frames_out > 0
        await link.close("done")


async def test_somebody_else_can_drain_a_worker_through_the_books(redis_url: str) -> None:
    """The worker learns of it with its next heartbeat, and the program ends."""
    config = settings(redis_url)
    worker = Worker(config, RehearsalEngine(1))
    program = asyncio.create_task(worker.run())
    async with books(config) as broker:
        async with asyncio.timeout(3):
            await worker.started.wait()
            assert await broker.drain("w1")
            assert await program == 0


async def test_a_newer_process_of_the_same_worker_ends_this_one(redis_url: str) -> None:
    """With an error, so that whoever started both notices."""
    config = settings(redis_url)
    worker = Worker(config, RehearsalEngine(1))
    program = asyncio.create_task(worker.run())
    async with books(config) as broker, asyncio.timeout(3):
        await worker.started.wait()
        newer = WorkerInfo("w1", "ws://elsewhere", worker.epoch + 1, slots=1)
        assert await broker.register(newer)
        assert await program == 1
        assert [info.url for info in await broker.workers()] == ["ws://elsewhere"]


async def test_redis_down_ends_no_call_and_new_ones_get_in_directly(redis_url: str) -> None:
    """The worker needs the books for nothing but being found."""
    config = settings("redis://127.0.0.1:1", redis_timeout_s=0.1)
    async with Worker(config, RehearsalEngine(2)).running() as worker:
        link = await join(worker, "CA1")
        await hear(link, 5)
        await link.close("done")
        assert worker.unready() == ""


async def test_the_pages_show_health_readiness_and_numbers(redis_url: str) -> None:
    """Ready while it ticks, not while it drains; the metrics move with a call."""
    async with (
        Worker(settings(redis_url), RehearsalEngine(2)).running() as worker,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{worker.http_port}") as http,
    ):
        link = await join(worker, "CA1")
        await hear(link, 3)
        assert (await http.get("/healthz")).text == "ok\n"
        assert (await http.get("/readyz")).status_code == 200
        page = (await http.get("/metrics")).text
        assert 'worker_slots_used{engine="rehearsal"} 1.0' in page
        assert 'engine_frame_seconds_count{engine="rehearsal",stage="total"}' in page
        worker.drain()
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/else")).status_code == 404
        await link.close("done")


async def test_a_taken_port_is_told_by_its_settings_name(redis_url: str) -> None:
    """Instead of a bare OSError."""
    async with Worker(settings(redis_url), RehearsalEngine(1)).running() as worker:
        taken = int(worker.url.rsplit(":", 1)[1])
        second = Worker(settings(redis_url, worker_port=taken), RehearsalEngine(1))
        with pytest.raises(ConfigurationError, match=f"WORKER_PORT={taken}"):
            async with second.running():
                pass


class Moody(RehearsalEngine):
    """An engine that fails when a session's role asks for it."""

    def __init__(self, slots: int) -> None:
        super().__init__(slots)
        self._voices: dict[int, str] = {}

    def admit(self, spec: SessionSpec) -> int:
        if spec.voice == "nobody":
            raise PromptRejected("voice 'nobody' is not known here")
        slot = super().admit(spec)
        self._voices[slot] = spec.voice
        return slot

    def tick(self, inputs: Mapping[int, Frame]) -> TickResult:
        if any(self._voices[slot] == "boom" for slot in inputs):
            raise ZeroDivisionError
        result = super().tick(inputs)
        bad = {slot for slot in inputs if self._voices[slot] == "nan"}
        good = {slot: out for slot, out in result.outputs.items() if slot not in bad}
        return TickResult(good, dict.fromkeys(bad, "no numbers"))


async def join_as(worker: Worker, call_id: str, voice: str) -> LinkClient:
    """Opens a session with a certain voice."""
    spec = opening(call_id, voice)
    return await LinkClient.open(
        worker.url, token_for(worker, call_id, prompt=spec.prompt_hash), spec
    )


async def test_what_the_engine_refuses_or_loses_ends_that_session_only(redis_url: str) -> None:
    """An unknown voice and a failed row; the neighbour hears nothing of it."""
    engine: Engine = Moody(3)
    async with Worker(settings(redis_url), engine).running() as worker:
        good = await join(worker, "CA1")
        with pytest.raises(PromptRefused, match="nobody"):
            await join_as(worker, "CA2", "nobody")
        with pytest.raises(SessionFailed, match="no numbers"):
            await hear(await join_as(worker, "CA3", "nan"), 5)
        heard, _ = await hear(good, 5)
        assert len(heard) == 5
        await good.close("done")


async def test_an_engine_that_raises_ends_its_sessions_and_serves_the_next(
    redis_url: str, logged: list[MutableMapping[str, Any]]
) -> None:
    """One bad tick is no reason to end the process; several in a row are."""
    worker = Worker(settings(redis_url), Moody(2))
    program = asyncio.create_task(worker.run())
    async with asyncio.timeout(5):
        await worker.started.wait()
        with pytest.raises(SessionFailed, match="engine failed"):
            await hear(await join_as(worker, "CA1", "boom"), 5)
        (line,) = [line for line in logged if line["event"] == "engine_failed"]
        assert (line["session_ids"], line["call"]) == (["CA1"], "tick")
        link = await join(worker, "CA2")
        await hear(link, 2)
        await link.close("done")
        assert worker.unready() == ""
        for number in range(3):
            with pytest.raises((SessionFailed, LinkLost, Draining)):
                await hear(await join_as(worker, f"CA{number + 3}", "boom"), 5)
        assert await program == 1


async def _until(messages: AsyncIterator[object], kind: type) -> AsyncIterator[object]:
    """Messages up to the first of a kind."""
    async for message in messages:
        yield message
        if isinstance(message, kind):
            return
