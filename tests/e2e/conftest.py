"""A worker with the rehearsal engine and its Valkey, as processes of their own."""

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from callcenter.broker.broker import Broker
from callcenter.broker.connection import connect
from tests.servers import free_port, valkey

LINK_SECRET = secrets.token_hex(32)
START_S = 20.0


@dataclass(frozen=True)
class Hall:
    """Where agents wait.

    Attributes:
        redis_url: of the broker.
        link_secret: of the worker.
        pool: the worker's.
    """

    redis_url: str
    link_secret: str
    pool: str

    async def slots_used(self) -> int:
        """As the broker's books have it."""
        redis = connect(self.redis_url)
        try:
            return sum(worker.used for worker in await Broker(redis, self.pool).workers())
        finally:
            await redis.aclose()

    async def until_free(self) -> None:
        """Waits until every slot was given back."""
        while await self.slots_used():  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.05)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Valkey server of this test run."""
    with valkey() as server:
        yield server.connection_url


@pytest.fixture(scope="session")
def make_hall(redis_url: str) -> Iterator[Callable[[int], Hall]]:
    """Starts workers with so many slots, each in a pool of its own."""
    processes: list[subprocess.Popen[bytes]] = []

    def make(slots: int) -> Hall:
        pool, http_port = f"pool-{secrets.token_hex(4)}", free_port()
        environment = {
            **os.environ,
            "REDIS_URL": redis_url,
            "LINK_SECRET": LINK_SECRET,
            "ENGINE": "rehearsal",
            "WORKER_POOL": pool,
            "WORKER_PORT": str(free_port()),
            "WORKER_HTTP_PORT": str(http_port),
            "WORKER_SLOTS": str(slots),
            "DRAIN_DEADLINE_S": "1",
        }
        command = [sys.executable, "-m", "callcenter", "worker"]
        processes.append(subprocess.Popen(command, env=environment))
        _wait_ready(f"http://127.0.0.1:{http_port}/readyz")
        return Hall(redis_url, LINK_SECRET, pool)

    yield make
    for process in processes:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def hall(make_hall: Callable[[int], Hall]) -> Hall:
    """A worker with four slots."""
    return make_hall(4)


def _wait_ready(url: str) -> None:
    give_up_at = time.monotonic() + START_S
    while time.monotonic() < give_up_at:
        try:
            if httpx.get(url, timeout=1.0, trust_env=False).is_success:
                return
        except httpx.TransportError:  # it does not listen yet
            pass
        time.sleep(0.1)
    raise AssertionError("the worker did not start")
