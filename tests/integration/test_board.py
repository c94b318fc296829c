"""The board in a real Valkey, with strangers who may write there too."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from redis.asyncio import Redis

from callcenter import metrics
from callcenter.broker.connection import connect
from callcenter.gateway.published import PublishedRoutes
from callcenter.published import board as board_module
from callcenter.published.board import (
    COMMANDS_CHANNEL,
    REVISION_KEY,
    SNAPSHOT_KEY,
    Board,
    Command,
)
from callcenter.published.signing import NotGenuine, key_ring, new_pair, signer
from callcenter.published.snapshot import Snapshot
from tests.servers import valkey
from tests.signing import PUBLIC_KEY, SIGNER, admins_board, readers_board

pytestmark = pytest.mark.timeout(30)
HANGUP = Command("CA1", "hangup")


@pytest.fixture(scope="module")
def server_url() -> AsyncIterator[str]:
    """Valkey of this module alone: the board's keys are the same for all."""
    with valkey() as server:
        yield server.connection_url


@pytest.fixture
async def redis(server_url: str) -> AsyncIterator[Redis]:
    """Empty."""
    client = connect(server_url)
    await client.flushdb()
    yield client
    await client.aclose()


def refused(kind: str, reason: str) -> float:
    """How often that was counted."""
    return metrics.PUBLISHED_REFUSED.labels(kind, reason)._value.get()


async def test_a_strangers_snapshot_changes_nothing(redis: Redis) -> None:
    """The last good one counts; it is said, counted, and taken back when the admin app heals it."""
    admin, routes = admins_board(redis), PublishedRoutes(readers_board(redis))
    await admin.publish(Snapshot(revision=3))
    await routes.refresh()
    before = refused("snapshot", "not_signed")
    for text in (Snapshot(revision=9).model_dump_json(), "{}", "", "\0", "[" * 99_999):
        await redis.mset({SNAPSHOT_KEY: text, REVISION_KEY: "9"})
        await routes.refresh()
        assert routes.revision == 3
    assert refused("snapshot", "not_signed") == before + 5
    assert "refused: it is not signed" in routes.warnings()[0]
    assert await admin.publish(Snapshot(revision=4))
    await routes.refresh()
    assert routes.revision == 4
    assert routes.warnings() == []


async def test_a_gateway_that_never_had_a_good_one_is_not_ready(redis: Redis) -> None:
    """Its calls stay with others until the admin app has signed; an empty board is no trouble."""
    routes = PublishedRoutes(readers_board(redis))
    await routes.refresh()
    assert routes.unconfigured() == ""
    await redis.mset({SNAPSHOT_KEY: Snapshot(revision=2).model_dump_json(), REVISION_KEY: "2"})
    await routes.refresh()
    assert "not signed" in routes.unconfigured()
    await admins_board(redis).publish(Snapshot(revision=2))
    await routes.refresh()
    assert routes.unconfigured() == ""


async def test_the_same_revision_heals_as_well(redis: Redis) -> None:
    """A gateway that has it in memory looks at the board again."""
    admin, routes = admins_board(redis), PublishedRoutes(readers_board(redis))
    await admin.publish(Snapshot(revision=3))
    await routes.refresh()
    await redis.mset({SNAPSHOT_KEY: "x", REVISION_KEY: "9"})
    await routes.refresh()
    assert routes.warnings()
    posted = await admin.posted()
    assert posted.revision is None
    assert await admin.replace(posted, Snapshot(revision=3))
    await routes.refresh()
    assert routes.warnings() == []


async def test_an_old_snapshot_does_not_come_back(redis: Redis) -> None:
    """Though it was signed; a database that was restored to an older state may go back."""
    now = [1_000.0]
    admin = Board(redis, signer=SIGNER, unix_time=lambda: now[0])
    routes = PublishedRoutes(readers_board(redis))
    await admin.publish(Snapshot(revision=3))
    recorded = await redis.get(SNAPSHOT_KEY)
    now[0] = 900.0  # a clock that was put back: the sequence grows all the same
    await admin.publish(Snapshot(revision=4))
    await routes.refresh()
    await redis.mset({SNAPSHOT_KEY: recorded, REVISION_KEY: "3"})
    before = refused("snapshot", "replayed")
    await routes.refresh()
    assert routes.revision == 4
    assert refused("snapshot", "replayed") == before + 1
    assert not await admin.publish(Snapshot(revision=2))
    assert await admin.replace(await admin.posted(), Snapshot(revision=2))
    await routes.refresh()
    assert routes.revision == 2


async def test_two_admins_publish_at_once(redis: Redis) -> None:
    """Whoever has not seen what is there changes nothing."""
    first, second = admins_board(redis), admins_board(redis)
    seen = await first.posted()
    assert await second.publish(Snapshot(revision=5))
    assert not await first.replace(seen, Snapshot(revision=4))
    assert await first.revision() == 5


async def test_the_snapshots_of_a_key_that_was_replaced(redis: Redis) -> None:
    """Readers that know both keys go on; the old one alone knows no more."""
    private, public = new_pair()
    both, old = key_ring(f"{PUBLIC_KEY},{public}"), readers_board(redis)
    await admins_board(redis).publish(Snapshot(revision=1))
    assert await old.snapshot() == await Board(redis, both).snapshot() == Snapshot(revision=1)
    new = Board(redis, signer=signer(private, ""))
    assert (await new.posted()).revision is None  # so it publishes anew
    await new.publish(Snapshot(revision=1))
    assert await Board(redis, both).snapshot() == Snapshot(revision=1)
    with pytest.raises(NotGenuine, match="does not count"):
        await old.snapshot()


async def heard(redis: Redis, *texts: str, now: float | None = None) -> list[Command]:
    """What a gateway makes of messages, up to a last one that is good."""
    clock = {} if now is None else {"unix_time": lambda: now}
    gateway, found = Board(redis, key_ring(PUBLIC_KEY), **clock), []
    last = Command("the last", "hangup")
    async with aclosing(gateway.orders()) as orders:
        listening = asyncio.create_task(anext(orders))
        while not (await redis.pubsub_numsub(COMMANDS_CHANNEL))[0][1]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for text in texts:
            await redis.publish(COMMANDS_CHANNEL, text)
        await Board(redis, signer=SIGNER, **clock).order(last)
        while (order := await listening) != last:
            found.append(order)
            listening = asyncio.create_task(anext(orders))
    return found


async def recorded(redis: Redis, board: Board) -> str:
    """An order as it goes by."""
    async with redis.pubsub() as listening:
        await listening.subscribe(COMMANDS_CHANNEL)
        await listening.get_message(timeout=1.0)
        await board.order(HANGUP)
        message = await listening.get_message(timeout=5.0)
    return str(message["data"])


async def test_orders_are_heard_once(redis: Redis) -> None:
    """The good one; not its repetition, nor a stranger's, nor one of a stranger's key."""
    good = await recorded(redis, admins_board(redis))
    stranger = await recorded(redis, Board(redis, signer=signer(new_pair()[0], "")))
    plain = json.dumps({"call_id": "CA1", "action": "transfer", "number": "+19005550199"})
    odd = SIGNER.sign("command+jwt", {"iat": "x", "jti": 1, "command": []})
    before = refused("command", "replayed")
    assert await heard(redis, plain, stranger, odd, good, good, "", "\0", good) == [HANGUP]
    assert refused("command", "replayed") == before + 2


async def test_a_recorded_order_is_worth_nothing_later(redis: Redis) -> None:
    """Nor is one of a time that has not come, by more than clocks differ."""
    good = await recorded(redis, Board(redis, signer=SIGNER, unix_time=lambda: 1_000.0))
    for now, orders in ((1_029.0, [HANGUP]), (971.0, [HANGUP]), (1_031.0, []), (969.0, [])):
        assert await heard(redis, good, now=now) == orders


async def test_orders_are_remembered_for_as_long_as_they_count(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no more than so many."""
    monkeypatch.setattr(board_module, "REMEMBERED_ORDERS", 2)
    reader = readers_board(redis)
    for number in range(4):
        reader._check_fresh(reader._unix_time(), str(number))
    assert list(reader._orders_seen) == ["2", "3"]


async def test_a_gateway_without_keys_learns_them_from_the_snapshot(redis: Redis) -> None:
    """For orders, too; before there is a snapshot, no order counts."""
    order = {"message": {"data": await recorded(redis, admins_board(redis))}}
    gateway = Board(redis)
    assert await gateway._order_in(**order) is None
    await admins_board(redis).publish(Snapshot(revision=1))
    assert await gateway._order_in(**order) == HANGUP


async def test_only_the_admin_app_can_write(redis: Redis) -> None:
    """A reader that tries is a mistake of ours."""
    for work in (
        lambda: readers_board(redis).publish(Snapshot(revision=1)),
        lambda: readers_board(redis).order(HANGUP),
    ):
        with pytest.raises(ValueError, match="without a signer"):
            await work()
