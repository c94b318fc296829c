"""A worker from its first heartbeat to its end: the books, drains, signals, its pages."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx
import pytest

from callcenter.broker.broker import Broker
from callcenter.broker.placement import WorkerInfo
from callcenter.errors import ConfigurationError, Draining
from callcenter.link.client import LinkClient
from callcenter.link.protocol import DrainSoon, End, Stats
from callcenter.worker import ticker
from callcenter.worker.program import Worker
from engine.interface import Frame, TickResult
from engine.rehearsal import RehearsalEngine
from tests.integration.redis_servers import HOST, running, start
from tests.integration.worker_cases import PROMPT, SECRET, books, claimed, hear, join, settings


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


async def test_a_worker_on_an_address_of_version_6(redis_url: str) -> None:
    """Its books, its link and its pages."""
    config = settings(redis_url, worker_host="::1")
    async with Worker(config, RehearsalEngine(1)).running() as worker, books(config) as broker:
        assert worker.url.startswith("ws://[::1]:")
        link = await claimed(broker)
        await hear(link, 2)
        await link.close("done")
        async with httpx.AsyncClient() as http:
            page = await http.get(f"http://[::1]:{worker.http_port}/healthz")
        assert page.status_code == 200


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


class Gated(RehearsalEngine):
    """Takes no prompt in before it is let, and hangs in a tick when it is told."""

    def __init__(self, slots: int) -> None:
        super().__init__(slots)
        self.prompts, self.ticks = threading.Event(), threading.Event()
        self.ticks.set()

    def prime(self) -> list[int]:
        return super().prime() if self.prompts.is_set() else []

    def tick(self, inputs: Mapping[int, Frame]) -> TickResult:
        self.ticks.wait()
        return super().tick(inputs)


async def test_a_drain_while_a_prompt_is_taken_in(redis_url: str) -> None:
    """The call begins and is warned then; one that has not begun when all are ended is refused."""
    engine = Gated(2)
    async with Worker(settings(redis_url), engine).running() as worker:
        first, second = (asyncio.create_task(join(worker, name)) for name in ("CA1", "CA2"))
        async with asyncio.timeout(3):
            while len(worker._admission.sessions) < 2:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        worker.drain()
        engine.prompts.set()
        link = await first
        assert await anext(link.messages()) == DrainSoon(deadline_s=5.0)
        await (await second).close("done")
        await link.close("done")
    engine.prompts.clear()
    async with Worker(settings(redis_url), engine).running() as worker:
        late = asyncio.create_task(join(worker, "CA3"))
        async with asyncio.timeout(3):
            while not worker._admission.sessions:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
            worker.drain()
            worker.drain()
            with pytest.raises(Draining, match="had not begun"):
                await late


async def test_an_engine_that_hangs_keeps_no_worker_alive(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread is left behind, in the midst of a tick, with a call and with a prompt waiting."""
    monkeypatch.setattr(ticker, "STOP_S", 0.2)
    engine = Gated(2)
    engine.prompts.set()
    worker = Worker(settings(redis_url), engine)
    program = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(5):
            await worker.started.wait()
            live = await join(worker, "CA1")
            await hear(live, 1)
            engine.prompts.clear()
            engine.ticks.clear()
            waiting = asyncio.create_task(join(worker, "CA2"))
            while len(worker._admission.sessions) < 2:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
            worker.drain()
            worker.drain()
            with pytest.raises(Draining):
                await waiting
            assert [message async for message in live.messages()][-1] == End(reason="drained")
            assert await program == 0
    finally:
        engine.ticks.set()


@pytest.mark.timeout(60)  # starts a process
async def test_a_stalled_redis_keeps_no_worker_alive(tmp_path: Path) -> None:
    """It answers nothing and closes nothing: the first signal is heard, the second one obeyed."""
    server = start(tmp_path)
    url = f"redis://{HOST}:{server.port}"
    config = settings(url, worker_pool="stalled")
    async with running(server), books(config) as broker:
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "callcenter", "worker"),
            env={
                **os.environ,
                "REDIS_URL": url,
                "LINK_SECRET": SECRET,
                "WORKER_POOL": "stalled",
                "WORKER_PORT": "0",
                "WORKER_HTTP_PORT": "0",
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            link = await _claimed(broker)
            server.process.send_signal(signal.SIGSTOP)
            worker.send_signal(signal.SIGTERM)
            messages = link.messages()
            assert [message async for message in _until(messages, DrainSoon)]
            worker.send_signal(signal.SIGTERM)
            assert [message async for message in messages][-1] == End(reason="drained")
            async with asyncio.timeout(10):
                said, _ = await worker.communicate()
        finally:
            server.process.send_signal(signal.SIGCONT)
            if worker.returncode is None:
                worker.kill()
        assert worker.returncode == 0, said.decode()
        assert b"leaving_unheard" in said


async def _claimed(broker: Broker) -> LinkClient:
    """A call on the pool's only worker, once that has come up."""
    async with asyncio.timeout(40):
        while not await broker.workers():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.1)
    return await claimed(broker)


async def _until(messages: AsyncIterator[object], kind: type) -> AsyncIterator[object]:
    """Messages up to the first of a kind."""
    async for message in messages:
        yield message
        if isinstance(message, kind):
            return
