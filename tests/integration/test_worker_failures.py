"""Engines that refuse, lose a row or raise: what the worker makes of it."""

import asyncio
from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs

from callcenter.errors import Draining, LinkLost
from callcenter.link.client import LinkClient
from callcenter.link.refusals import PromptRefused, SessionFailed
from callcenter.worker.program import Worker
from engine.interface import Engine, Frame, PromptRejected, SessionSpec, TickResult
from engine.rehearsal import RehearsalEngine
from tests.integration.worker_cases import hear, join, opening, settings, token_for


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


async def test_an_engine_that_raises_ends_its_sessions_and_serves_the_next(redis_url: str) -> None:
    """One bad tick is no reason to end the process; several in a row are."""
    worker = Worker(settings(redis_url), Moody(2))
    program = asyncio.create_task(worker.run())
    with capture_logs() as logged:
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
