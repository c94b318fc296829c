"""Calls that find the first pool full are answered by the next one, and say by which engine."""

import contextlib
import secrets
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from callcenter.broker.broker import Broker
from callcenter.broker.connection import connect
from callcenter.evaluation.call import place_call
from callcenter.evaluation.plan import CallPlan
from callcenter.evaluation.script import Step
from callcenter.worker.program import Worker
from engine.rehearsal import RehearsalEngine
from tests.integration.gateway.conftest import AUTH_TOKEN, NUMBER, one_slot
from tests.recordings import caller


class CpuEngine(RehearsalEngine):
    """Stands in the second pool as the cascade would; the gateway sees no more than its kind."""

    kind = "cascade"


@contextlib.asynccontextmanager
async def two_pools(redis_url: str) -> AsyncIterator[tuple[str, str]]:
    """Two pools of one slot each; the second one's engine is another."""
    first, second = (f"pool-{secrets.token_hex(4)}" for _ in range(2))
    async with (
        Worker(one_slot(redis_url, first), RehearsalEngine(slots=1)).running(),
        Worker(one_slot(redis_url, second), CpuEngine(slots=1)).running(),
    ):
        yield first, second


def sessions(engine: str) -> float:
    """How many sessions of the bank began on this kind of engine."""
    labels = {"persona": "bank", "engine": engine}
    return REGISTRY.get_sample_value("callcenter_sessions_total", labels) or 0.0


def gaps(engine: str) -> float:
    """How many turns of the bank were answered by this kind of engine."""
    labels = {"persona": "bank", "engine": engine, "kind": "gap"}
    return REGISTRY.get_sample_value("callcenter_turn_gap_seconds_count", labels) or 0.0


async def test_the_cpu_pool_takes_what_the_first_pool_cannot(make_stand, redis_url) -> None:
    """The second call hears the second pool's engine, the third is told that all are busy."""
    before = sessions("rehearsal"), sessions("cascade")
    async with two_pools(redis_url) as (first, second):
        stand = await make_stand(slots=0, gateway_pools=f"{first},{second}")
        with capture_logs() as logged:
            for _ in range(2):
                guest = stand.caller()
                stream = await guest.start()
                await guest.hear(stream)
        refused = await stand.caller().announce()
    assert refused.status_code == 503
    assert "busy" in refused.text
    began = [line for line in logged if line["event"] == "call_began"]
    assert [(line["engine"], line["pool"]) for line in began] == [
        ("rehearsal", first),
        ("cascade", second),
    ]
    assert (sessions("rehearsal"), sessions("cascade")) == (before[0] + 1, before[1] + 1)


@pytest.mark.alone
@pytest.mark.timeout(60)
async def test_turns_are_counted_by_the_engine_that_answers(make_stand, redis_url) -> None:
    """A conversation in the second pool is no merit of the first one's engine."""
    before = gaps("rehearsal"), gaps("cascade")
    async with two_pools(redis_url) as (first, second):
        stand = await make_stand(slots=0, gateway_pools=f"{first},{second}")
        await stand.caller().start()  # stays, and says nothing
        question = Step(caller("manners/question.wav"), "", "agent_done", 0.7, patience_s=20.0)
        plan = CallPlan(
            *(stand.base_url, stand.base_url, NUMBER, AUTH_TOKEN),
            steps=[question],
            hang_up_after_s=2.0,
            max_s=40.0,
        )
        report = await place_call(plan)
    assert report.status == "completed", report.detail
    assert gaps("rehearsal") == before[0]
    assert gaps("cascade") > before[1]


async def test_the_first_pool_is_taken_again_when_it_has_room(make_stand, redis_url) -> None:
    """Overflow lasts no longer than the shortage."""
    async with two_pools(redis_url) as (first, second), connect(redis_url) as redis:
        stand = await make_stand(slots=0, gateway_pools=f"{first},{second}")
        stand.broker = Broker(redis, first)
        with capture_logs() as logged:
            for _ in range(2):
                guest = stand.caller()
                stream = await guest.start()
                await guest.hear(stream)
                await stream.close()
                await stand.until_used(0)
    began = [line["engine"] for line in logged if line["event"] == "call_began"]
    assert began == ["rehearsal", "rehearsal"]
