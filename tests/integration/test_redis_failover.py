"""One address, two servers: after a failover the address leads to the other one.

So it is behind a Kubernetes service, a proxy, or a cloud's endpoint of a primary. The old server
stays up as a replica, and keeps the connections that it has.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis.asyncio import Redis

from callcenter.broker.broker import Broker
from callcenter.broker.connection import connect
from callcenter.broker.placement import WorkerInfo
from callcenter.errors import BrokerUnavailable
from callcenter.records.journal import STREAM, Journal
from tests.integration.redis_servers import HOST, Server, running, start, until

pytestmark = pytest.mark.timeout(30)

WORKER = WorkerInfo("w1", "ws://w1", epoch=1, slots=50, kind="rehearsal", model="m")
NO_DELAY = ("--repl-diskless-sync-delay", "0", "--repl-timeout", "2")


@dataclass
class Address:
    """A TCP forwarder: new connections go to the port of the moment, old ones stay."""

    to_port: int
    port: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries one connection, in both directions."""
        try:
            there = await asyncio.open_connection(HOST, self.to_port)
        except OSError:
            writer.close()
            return
        self.writers += [writer, there[1]]
        for source, sink in ((reader, there[1]), (there[0], writer)):
            task = asyncio.create_task(_pipe(source, sink))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def reset_all(self) -> None:
        """Cuts every connection off, without a good-bye."""
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    sink.close()


@dataclass
class Pair:
    """A primary, its replica, and the address that leads to the primary."""

    old: Server
    new: Server
    address: Address
    redis: Redis

    async def promote(self) -> None:
        """The replica has everything, and is a primary of its own from now on."""
        await self.old.ask("SET", "last", "written")
        await until(self.new, "written", "GET", "last")
        await self.new.ask("REPLICAOF", "NO", "ONE")

    async def fail_over(self) -> None:
        """The replica becomes the primary, and the old primary its replica."""
        await self.promote()
        await self.old.ask("REPLICAOF", HOST, self.new.port)
        self.address.to_port = self.new.port


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """Replicating; the address leads to the first."""
    old = start(tmp_path, *NO_DELAY)
    new = start(tmp_path, *NO_DELAY, "--replicaof", f"{HOST} {old.port}")
    async with running(old, new), _forwarder(old.port) as address:
        await until(new, "master_link_status:up", "INFO", "replication")
        redis = connect(f"redis://{HOST}:{address.port}")
        yield Pair(old, new, address, redis)
        await redis.aclose()


@asynccontextmanager
async def _forwarder(to_port: int) -> AsyncIterator[Address]:
    address = Address(to_port)
    server = await asyncio.start_server(address.accept, HOST, 0)
    address.port = server.sockets[0].getsockname()[1]
    yield address
    server.close()
    address.reset_all()
    await asyncio.gather(*address.tasks, return_exceptions=True)


async def _claims(broker: Broker, prefix: str) -> None:
    """Many at once, so that every connection of the pool is used."""
    calls = [broker.claim(f"{prefix}-{number}", "p", "g") for number in range(10)]
    assert {claim.worker_id for claim in await asyncio.gather(*calls)} == {"w1"}


async def test_claims_go_on_at_once_when_the_address_leads_elsewhere(pair: Pair) -> None:
    """The old server says READONLY; not one claim fails for it, on any connection."""
    broker = Broker(pair.redis, "pool", worker_lease_s=60.0)
    await broker.register(WORKER)
    await _claims(broker, "before")
    await pair.fail_over()
    await _claims(broker, "after")
    assert (await pair.new.ask("ZSCORE", "{cc:pool}:calls", "after-9")) is not None


async def test_the_journal_goes_on_too(pair: Pair) -> None:
    """Pipelines come to the new primary like single commands."""
    journal = Journal(pair.redis)
    journal.note("CA1", "call_began", {})
    assert await journal.flush()
    await pair.fail_over()
    journal.note("CA1", "call_ended", {})
    assert await journal.flush()
    assert await pair.new.ask("XLEN", STREAM) == 2


async def test_connections_that_are_cut_off_are_opened_anew(pair: Pair) -> None:
    """A proxy that resets everything when it turns to the other server."""
    broker = Broker(pair.redis, "pool", worker_lease_s=60.0)
    await broker.register(WORKER)
    await _claims(broker, "before")
    await pair.fail_over()
    pair.address.reset_all()
    await _claims(broker, "after")


async def test_a_server_that_has_lost_its_primary_is_left(pair: Pair) -> None:
    """MASTERDOWN is an answer of Redis that is away, until the address leads to one that is up."""
    broker = Broker(pair.redis, "pool", worker_lease_s=60.0)
    await broker.register(WORKER)
    await pair.promote()
    await pair.old.ask("CONFIG", "SET", "replica-serve-stale-data", "no")
    await pair.old.ask("REPLICAOF", HOST, 1)  # nobody listens there
    with pytest.raises(BrokerUnavailable, match="Link with MASTER is down"):
        await broker.workers()
    pair.address.to_port = pair.new.port
    assert [info.worker_id for info in await broker.workers()] == ["w1"]
    await _claims(broker, "after")
