"""Calls that find the first pool full are answered by the next one, and say by which engine."""

import contextlib
import secrets
from collections.abc import AsyncIterator

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from callcenter.broker.broker import Broker, connect
from callcenter.settings import WorkerSettings
from callcenter.worker.program import Worker
from engine.rehearsal import RehearsalEngine


class CpuEngine(RehearsalEngine):
    """Stands in the second pool as the cascade would; the gateway sees no more than its kind."""

    kind = "cascade"


@contextlib.asynccontextmanager
async def one_slot(redis_url: str, pool: str, kind: type[RehearsalEngine]) -> AsyncIterator[Worker]:
    """A worker with one slot, on free ports."""
    settings = WorkerSettings.load(
        redis_url=redis_url,
        link_secret="link-secret-of-the-tests-0123456789",
        worker_pool=pool,
        worker_port=0,
        worker_http_port=0,
        worker_slots=1,
    )
    async with Worker(settings, kind(slots=1)).running() as worker:
        yield worker


def sessions(engine: str) -> float:
    """How many sessions of the bank began on this kind of engine."""
    labels = {"persona": "bank", "engine": engine}
    return REGISTRY.get_sample_value("callcenter_sessions_total", labels) or 0.0


async def test_the_cpu_pool_takes_what_the_first_pool_cannot(make_stand, redis_url) -> None:
    """The second call hears the second pool's engine, the third is told that all are busy."""
    first, second = (f"pool-{secrets.token_hex(4)}" for _ in range(2))
    before = sessions("rehearsal"), sessions("cascade")
    async with (
        one_slot(redis_url, first, RehearsalEngine),
        one_slot(redis_url, second, CpuEngine),
    ):
        stand = await make_stand(slots=0, gateway_pools=f"{first},{second}")
        with capture_logs() as logged:
            for _ in range(2):
                caller = stand.caller()
                stream = await caller.start()
                await caller.hear(stream)
        refused = await stand.caller().announce()
    assert refused.status_code == 503
    assert "busy" in refused.text
    began = [line for line in logged if line["event"] == "call_began"]
    assert [(line["engine"], line["pool"]) for line in began] == [
        ("rehearsal", first),
        ("cascade", second),
    ]
    assert (sessions("rehearsal"), sessions("cascade")) == (before[0] + 1, before[1] + 1)


async def test_the_first_pool_is_taken_again_when_it_has_room(make_stand, redis_url) -> None:
    """Overflow lasts no longer than the shortage."""
    first, second = (f"pool-{secrets.token_hex(4)}" for _ in range(2))
    async with (
        one_slot(redis_url, first, RehearsalEngine),
        one_slot(redis_url, second, CpuEngine),
        connect(redis_url) as redis,
    ):
        stand = await make_stand(slots=0, gateway_pools=f"{first},{second}")
        stand.broker = Broker(redis, first)
        with capture_logs() as logged:
            for _ in range(2):
                caller = stand.caller()
                stream = await caller.start()
                await caller.hear(stream)
                await stream.close()
                await stand.until_used(0)
    began = [line["engine"] for line in logged if line["event"] == "call_began"]
    assert began == ["rehearsal", "rehearsal"]
