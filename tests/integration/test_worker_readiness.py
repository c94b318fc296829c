"""A worker that is ready has stepped a frame, with or without calls."""

import asyncio

from callcenter.link.client import LinkClient
from callcenter.link.protocol import AudioFrame
from callcenter.worker.program import Worker
from engine.interface import PromptRejected, SessionSpec
from engine.rehearsal import RehearsalEngine
from tests.integration.worker_cases import join, settings

PROBE = SessionSpec("probe", "bank", "Be kind.", "nora")


class Refusing(RehearsalEngine):
    """Takes no session."""

    def admit(self, spec: SessionSpec) -> int:
        raise PromptRejected(f"voice {spec.voice!r} is not known here")


async def until(condition) -> None:
    """Waits, a tick at a time."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the tick thread sets no event
            await asyncio.sleep(0.02)


async def test_an_idle_worker_becomes_ready_by_a_frame_of_its_own(redis_url: str) -> None:
    """Before that it is not, and afterwards its only slot is free for a call."""
    worker = Worker(settings(redis_url), RehearsalEngine(1), probe=PROBE)
    assert "80 ms" in worker.unready() or "tick" in worker.unready()
    async with worker.running():
        await until(lambda: worker.unready() == "")
        link = await join(worker, "CA1")
        async with asyncio.timeout(3):
            assert any([isinstance(message, AudioFrame) async for message in first(link, 2)])
        await link.close("done")
        assert worker.unready() == ""


async def first(link: LinkClient, count: int):
    """Some messages."""
    async for message in link.messages():
        yield message
        count -= 1
        if not count:
            return


async def test_a_worker_whose_engine_refuses_says_why(redis_url: str) -> None:
    """On the page that the cluster reads; it is not restarted for that."""
    async with Worker(settings(redis_url), Refusing(1), probe=PROBE).running() as worker:
        await until(lambda: "nora" in worker.unready())
        assert worker.dead() == ""


async def test_a_call_takes_the_last_slot_from_the_probe(redis_url: str) -> None:
    """The worker's own session must never cost a caller the line."""
    from callcenter.worker.sessions import Session
    from callcenter.worker.ticker import Ticker

    class Slow(RehearsalEngine):
        """Never takes a prompt in, so that the probe keeps its slot."""

        def prime(self) -> list[int]:
            return []

    ticker = Ticker(Slow(1), lambda post: None, PROBE)
    ticker.start()
    try:
        await until(lambda: ticker._probe.session is not None)
        ready = ticker.admit(Session(SessionSpec("CA1", "bank", "Be kind.", "nora"), print))
        await until(lambda: ticker._probe.session is None)
        assert not ready.done(), ready.exception()
    finally:
        ticker.stop()
