"""Everything that Redis is used for, under Sentinels and as a cluster, also after a failover."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import MovedError

from callcenter.admin.intake import Intake
from callcenter.admin.store import calls
from callcenter.admin.store.database import Database
from callcenter.broker.broker import Broker
from callcenter.broker.connection import connect
from callcenter.broker.placement import WorkerInfo
from callcenter.errors import BrokerUnavailable, Unauthorized
from callcenter.gateway.quotas import LimitReached, Quotas
from callcenter.published.board import Board, Clips, Command
from callcenter.published.snapshot import Snapshot
from callcenter.records.journal import Journal
from callcenter.telephony.twilio.grants import StreamGrant, StreamGrants
from tests.integration.redis_servers import Server, clustered, watched
from tests.signing import admins_board, readers_board

pytestmark = pytest.mark.timeout(60)

POOL = "main"
WORKER = WorkerInfo("w1", "ws://w1", epoch=1, slots=2, kind="rehearsal", model="m")
GRANT = StreamGrant("CA1", "+15550100", "+15550199", received_at_s=1.0, claim={"worker": "w1"})
Run = Callable[[Path], AbstractAsyncContextManager[tuple[str, list[Server]]]]


@dataclass
class Installation:
    """Servers, and a client for all of them."""

    url: str
    servers: list[Server]
    redis: Redis


@pytest.fixture(params=[watched, clustered], ids=["sentinel", "cluster"])
async def installed(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Installation]:
    """Either kind."""
    run: Run = request.param
    async with run(tmp_path) as (url, servers):
        redis = connect(url)
        yield Installation(url, servers, redis)
        await redis.aclose()


async def test_everything_works_and_goes_on_after_a_failover(
    installed: Installation, tmp_path: Path
) -> None:
    """The server that has the pool's books is killed; its replica takes over."""
    broker = Broker(installed.redis, POOL)
    async with aclosing(readers_board(installed.redis).orders()) as orders:
        await books_are_kept(broker)
        await board_is_read(installed, orders)
        await journal_is_stored(installed, tmp_path)
        await limits_are_counted(installed.redis)
        await grants_are_good_once(installed.redis)

        primary = await primary_of(installed, f"{{cc:{POOL}}}:workers")
        primary.process.kill()
        with pytest.raises(BrokerUnavailable):
            await broker.register(WORKER)
        await again_and_again(lambda: broker.register(WORKER))
        await books_are_kept(broker, call_id="CA2")
        await again_and_again(lambda: board_is_read(installed, orders, revision=8))


async def books_are_kept(broker: Broker, call_id: str = "CA1") -> None:
    """A slot, taken and given back, by scripts."""
    assert await broker.register(WORKER)
    claim = await broker.claim(call_id, "p", "g1")
    assert [info.used for info in await broker.workers()] == [1]
    assert await broker.renew(call_id, claim.fencing_token)
    assert await broker.release(call_id, claim.fencing_token)


async def board_is_read(
    installed: Installation, orders: AsyncIterator[Command], revision: int = 7
) -> None:
    """A snapshot, clips in bytes, and an order that a listener hears."""
    board = admins_board(installed.redis)
    assert await board.publish(Snapshot(revision=revision))
    assert not await board.publish(Snapshot(revision=revision - 1))
    found = await board.snapshot()
    assert found is not None
    assert found.revision == await board.revision() == revision
    binary = connect(installed.url, decode_responses=False)
    await Clips(binary).put("ab", b"\xff\x00")
    assert await Clips(binary).get("ab") == b"\xff\x00"
    await binary.aclose()

    heard = asyncio.ensure_future(anext(orders))
    order = Command("CA1", "hangup")
    async with asyncio.timeout(5):
        while not await board.order(order):  # noqa: ASYNC110 - nobody listens yet
            await asyncio.sleep(0.05)
        assert await heard == order


async def journal_is_stored(installed: Installation, folder: Path) -> None:
    """Entries by pipeline into a stream, and out by a consumer group."""
    journal = Journal(installed.redis)
    journal.note("CA1", "call_announced", {"called": "+15550100"})
    journal.note("CA1", "call_ended", {"outcome": "completed"})
    assert await journal.flush()
    database = Database(f"sqlite:///{folder}/admin.db")
    await database.upgrade()
    waiting = connect(installed.url, timeout_s=5)
    intake = Intake(waiting, database, "admin-1", lambda *_: asyncio.sleep(0))
    assert await intake.read_once(">") == ">"
    await intake.take_over()
    async with database.reading() as db:
        kinds = [event["kind"] for event in await calls.events(db, "CA1", "", 10)]
    assert kinds == ["call_announced", "call_ended"]
    await waiting.aclose()
    await database.close()


async def limits_are_counted(redis: Redis) -> None:
    """Several keys in one script."""
    quotas = Quotas(redis)
    await quotas.enter("CA1", {"all": 1, "bank": 5})
    with pytest.raises(LimitReached, match="all"):
        await quotas.enter("CA2", {"bank": 5, "all": 1})
    await quotas.leave("CA1", ["all", "bank"])
    await quotas.enter("CA2", {"bank": 5, "all": 1})


async def grants_are_good_once(redis: Redis) -> None:
    """Out with the first who asks."""
    grants = StreamGrants(redis, ttl_s=30)
    token = await grants.issue(GRANT)
    assert await grants.redeem(token) == GRANT
    with pytest.raises(Unauthorized):
        await grants.redeem(token)


async def primary_of(installed: Installation, key: str) -> Server:
    """The server that has a key and takes writes."""
    for server in installed.servers:
        if (await server.ask("ROLE"))[0] == b"master":
            with suppress(MovedError):
                if await server.ask("EXISTS", key):
                    return server
    raise AssertionError(f"nobody has {key}")


async def again_and_again(ask: Callable[[], Awaitable[object]]) -> None:
    """Until Redis answers."""
    async with asyncio.timeout(20):
        while True:
            try:
                await ask()
                return
            except BrokerUnavailable:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("url", ["redis+cluster://127.0.0.1:1", "redis+sentinel://127.0.0.1:1/a"])
async def test_a_cluster_or_service_that_is_away_is_redis_that_is_away(url: str) -> None:
    """Told within the time-out, like any other Redis."""
    redis = connect(url)
    with pytest.raises(BrokerUnavailable):
        await Broker(redis, POOL).register(WORKER)
    journal = Journal(redis)
    journal.note("CA1", "call_ended", {})
    assert not await journal.flush()
    with pytest.raises(BrokerUnavailable):
        await Board(redis).revision()
    await redis.aclose()
