"""The broker's scripts on a real Valkey."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import redis.asyncio

from callcenter.broker import keys
from callcenter.broker.broker import Broker
from callcenter.broker.claims import HeartbeatAnswer, HeldSession
from callcenter.broker.connection import connect
from callcenter.broker.placement import WorkerInfo, choose
from callcenter.errors import BrokerUnavailable, NoCapacity

POOLS = (f"pool-{number}" for number in itertools.count())
SHORT_LEASE_S = 0.15


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A connection for this test."""
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def broker(client: redis.asyncio.Redis) -> Broker:
    """A broker of a pool that nobody else uses."""
    return Broker(client, next(POOLS))


def worker(worker_id: str, slots: int = 2, epoch: int = 1) -> WorkerInfo:
    """A worker to register."""
    return WorkerInfo(worker_id, f"ws://{worker_id}", epoch, slots, kind="rehearsal", model="m")


async def used(broker: Broker) -> dict[str, int]:
    """Taken slots by worker."""
    return {info.worker_id: info.used for info in await broker.workers()}


async def test_a_claim_names_the_worker_and_takes_a_slot(broker: Broker) -> None:
    """What was registered is what the claim says."""
    assert await broker.register(worker("w1", epoch=42))
    claim = await broker.claim("CA1", "p", "g1")
    assert (claim.worker_id, claim.url, claim.epoch) == ("w1", "ws://w1", 42)
    assert (claim.kind, claim.lease_s) == ("rehearsal", keys.CALL_LEASE_S)
    assert await used(broker) == {"w1": 1}


async def test_a_worker_that_nobody_understands_hides_no_other(
    broker: Broker, client: redis.asyncio.Redis
) -> None:
    """A stranger's record, or another release's."""
    for name in ("w1", "w2", "w3", "w4"):
        assert await broker.register(worker(name))
    (key,) = [key async for key in client.scan_iter(f"*{broker._pool}*w2*")]
    await client.hset(key, mapping={"epoch": "x", "slots": "many", "tick_p99_ms": "\0"})
    (key,) = [key async for key in client.scan_iter(f"*{broker._pool}*w3*")]
    await client.hset(key, mapping={b"url": b"\xff", "lease_ms": "long"})
    assert [info.worker_id for info in await broker.workers()] == ["w1", "w3", "w4"]


async def test_the_same_call_gets_the_same_claim(broker: Broker) -> None:
    """A repeated webhook takes no second slot."""
    await broker.register(worker("w1"))
    assert await broker.claim("CA1", "p", "g1") == await broker.claim("CA1", "p", "g2")
    assert await used(broker) == {"w1": 1}


async def test_fencing_tokens_only_grow(broker: Broker) -> None:
    """Also for the same call after its release."""
    await broker.register(worker("w1"))
    fences = []
    for _ in range(3):
        claim = await broker.claim("CA1", "p", "g1")
        fences.append(claim.fencing_token)
        assert await broker.release("CA1", claim.fencing_token)
    assert fences == sorted(set(fences))
    assert await used(broker) == {"w1": 0}


async def test_no_room_is_said_with_numbers(broker: Broker) -> None:
    """Nobody there and everybody full are both NoCapacity."""
    with pytest.raises(NoCapacity, match="0 workers, 0 slots"):
        await broker.claim("CA1", "p", "g1")
    await broker.register(worker("w1", slots=1))
    await broker.claim("CA1", "p", "g1")
    with pytest.raises(NoCapacity, match="1 workers, 1 slots"):
        await broker.claim("CA2", "p", "g1")


async def test_only_the_present_claim_can_renew_or_release(broker: Broker) -> None:
    """A late message of an older claim changes nothing."""
    await broker.register(worker("w1"))
    claim = await broker.claim("CA1", "p", "g1")
    for stale in (claim.fencing_token - 1, claim.fencing_token + 1):
        assert not await broker.renew("CA1", stale)
        assert not await broker.release("CA1", stale)
    assert await broker.renew("CA1", claim.fencing_token)
    assert await broker.release("CA1", claim.fencing_token)
    assert not await broker.release("CA1", claim.fencing_token)
    assert not await broker.renew("CA1", claim.fencing_token)


async def test_a_call_moves_away_from_an_excluded_worker(broker: Broker) -> None:
    """The old slot is free at once, the fencing token higher."""
    await broker.register(worker("w1"))
    await broker.register(worker("w2"))
    first = await broker.claim("CA1", "p", "g1")
    second = await broker.claim("CA1", "p", "g1", exclude=[first.worker_id])
    assert {first.worker_id, second.worker_id} == {"w1", "w2"}
    assert second.fencing_token > first.fencing_token
    assert await used(broker) == {first.worker_id: 0, second.worker_id: 1}


async def test_a_draining_worker_gets_no_call_and_learns_of_it(broker: Broker) -> None:
    """Its calls stay; its own heartbeats don't open it again."""
    await broker.register(worker("w1"))
    claim = await broker.claim("CA1", "p", "g1")
    assert await broker.drain("w1")
    assert await broker.heartbeat("w1", 1, state="open") is HeartbeatAnswer.DRAIN
    with pytest.raises(NoCapacity):
        await broker.claim("CA2", "p", "g1")
    assert await broker.claim("CA1", "p", "g1") == claim
    assert await broker.register(worker("w1", epoch=2))
    assert (await broker.claim("CA2", "p", "g1")).epoch == 2
    assert not await broker.drain("nobody")


async def test_a_new_process_of_a_worker_starts_with_empty_slots(broker: Broker) -> None:
    """The old process's calls died with it; the old process can't come back."""
    await broker.register(worker("w1", epoch=1))
    claim = await broker.claim("CA1", "p", "g1")
    assert await broker.register(worker("w1", epoch=2))
    assert await used(broker) == {"w1": 0}
    assert not await broker.renew("CA1", claim.fencing_token)
    assert not await broker.register(worker("w1", epoch=1))
    assert await broker.heartbeat("w1", 1) is HeartbeatAnswer.UNKNOWN
    assert not await broker.leave("w1", 1)
    assert await broker.leave("w1", 2)
    assert await used(broker) == {}


async def test_a_worker_without_heartbeat_is_dead_to_claims_before_it_is_reaped(
    client: redis.asyncio.Redis,
) -> None:
    """Its lease alone decides; reaping only tidies up."""
    broker = Broker(client, next(POOLS), worker_lease_s=SHORT_LEASE_S)
    await broker.register(worker("w1"))
    first = await broker.claim("CA1", "p", "g1")
    await asyncio.sleep(SHORT_LEASE_S + 0.05)
    assert await used(broker) == {}
    await broker.register(worker("w2"))
    second = await broker.claim("CA1", "p", "g1")
    assert (second.worker_id, second.fencing_token > first.fencing_token) == ("w2", True)
    reaped = await broker.reap()
    assert (reaped.workers, reaped.calls) == (("w1",), ())
    assert await broker.heartbeat("w1", 1) is HeartbeatAnswer.UNKNOWN


async def test_the_age_of_a_heartbeat_goes_by_the_workers_own_lease(
    client: redis.asyncio.Redis,
) -> None:
    """Which the one who asks need not know."""
    pool = next(POOLS)
    await Broker(client, pool, worker_lease_s=1.0).register(worker("w1"))
    (info,) = await Broker(client, pool).workers()
    assert info.heartbeat_age_s < 0.5


async def test_a_call_that_nobody_renews_loses_its_slot(client: redis.asyncio.Redis) -> None:
    """Renewed in time it keeps it, afterwards the next claim gets it without any reaping."""
    broker = Broker(client, next(POOLS), call_lease_s=SHORT_LEASE_S)
    await broker.register(worker("w1", slots=1))
    claim = await broker.claim("CA1", "p", "g1")
    await asyncio.sleep(SHORT_LEASE_S * 0.7)
    assert await broker.renew("CA1", claim.fencing_token)
    await asyncio.sleep(SHORT_LEASE_S * 0.7)
    with pytest.raises(NoCapacity):
        await broker.claim("CA2", "p", "g1")
    await asyncio.sleep(SHORT_LEASE_S)
    assert (await broker.claim("CA2", "p", "g1")).worker_id == "w1"
    assert not await broker.renew("CA1", claim.fencing_token)


async def test_reaping_frees_the_slots_of_dead_gateways(client: redis.asyncio.Redis) -> None:
    """The ids are told, for logs."""
    broker = Broker(client, next(POOLS), call_lease_s=SHORT_LEASE_S)
    await broker.register(worker("w1"))
    await broker.claim("CA1", "p", "g1")
    assert (await broker.reap()).calls == ()
    await asyncio.sleep(SHORT_LEASE_S + 0.05)
    assert (await broker.reap()).calls == ("CA1",)
    assert await used(broker) == {"w1": 0}


async def test_a_workers_heartbeat_keeps_the_leases_of_its_calls(
    client: redis.asyncio.Redis,
) -> None:
    """A gateway that is cut off from Redis doesn't cost a live call its slot."""
    broker = Broker(client, next(POOLS), call_lease_s=SHORT_LEASE_S)
    await broker.register(worker("w1"))
    claim = await broker.claim("CA1", "p", "g1")
    for _ in range(3):
        await asyncio.sleep(SHORT_LEASE_S * 0.7)
        await broker.heartbeat("w1", 1, sessions=[HeldSession("CA1", claim.fencing_token, "p")])
    assert (await broker.reap()).calls == ()
    assert await broker.renew("CA1", claim.fencing_token)


async def test_after_redis_lost_everything_the_workers_restore_the_books(
    client: redis.asyncio.Redis,
) -> None:
    """Slots, leases and the counter of fencing tokens come back with the first heartbeat."""
    pool = next(POOLS)
    broker = Broker(client, pool)
    await broker.register(worker("w1", slots=2))
    await client.delete(*[key async for key in client.scan_iter(f"{keys.prefix(pool)}*")])
    session = HeldSession("CA1", 70, "p")
    assert await broker.heartbeat("w1", 1, sessions=[session]) is HeartbeatAnswer.UNKNOWN
    assert await broker.register(worker("w1", slots=2))
    assert await broker.heartbeat("w1", 1, sessions=[session]) is HeartbeatAnswer.KNOWN
    assert await used(broker) == {"w1": 1}
    assert await broker.renew("CA1", 70)
    assert (await broker.claim("CA2", "p", "g1")).fencing_token == 71


async def test_a_heartbeat_that_was_on_its_way_does_not_revive_a_released_call(
    broker: Broker,
) -> None:
    """Nor does it touch a call that moved to another worker."""
    await broker.register(worker("w1"))
    claim = await broker.claim("CA1", "p", "g1")
    late = HeldSession("CA1", claim.fencing_token, "p")
    await broker.release("CA1", claim.fencing_token)
    await broker.heartbeat("w1", 1, sessions=[late])
    assert await used(broker) == {"w1": 0}
    await broker.register(worker("w2"))
    moved = await broker.claim("CA1", "p", "g1", exclude=["w1"])
    await broker.heartbeat("w1", 1, sessions=[late])
    assert await used(broker) == {"w1": 0, "w2": 1}
    assert await broker.renew("CA1", moved.fencing_token)


async def test_an_overflow_pool_takes_what_the_first_has_no_room_for(
    client: redis.asyncio.Redis,
) -> None:
    """Pools are asked in order, and a call keeps its slot in the pool where it has one."""
    first, spare = next(POOLS), next(POOLS)
    broker = Broker(client, first, overflow=[spare])
    await Broker(client, first).register(worker("w1", slots=1))
    await Broker(client, spare).register(replace(worker("w2", slots=1), kind="cascade"))
    one = await broker.claim("CA1", "p", "g1")
    two = await broker.claim("CA2", "p", "g1")
    assert [(claim.pool, claim.kind) for claim in (one, two)] == [
        (first, "rehearsal"),
        (spare, "cascade"),
    ]
    with pytest.raises(NoCapacity, match=f"{first}: .*{spare}: "):
        await broker.claim("CA3", "p", "g1")
    await broker.release("CA1", one.fencing_token, pool=one.pool)
    assert await broker.claim("CA2", "p", "g1") == two
    assert await broker.renew("CA2", two.fencing_token, pool=two.pool)
    assert [info.pool for info in await broker.workers()] == [first, spare]


async def test_the_script_places_like_the_model(broker: Broker) -> None:
    """Random claims, releases and drains: Redis and placement.py choose alike every time."""
    rng = random.Random(7)
    model: dict[str, WorkerInfo] = {}
    for name in "abcd":
        info = replace(worker(name, slots=rng.randint(1, 4)), primed=frozenset(rng.choice("pq")))
        await broker.register(info)
        await broker.heartbeat(name, 1, primed=info.primed)
        model[name] = info
    claims = {}
    for number in range(250):
        prompt, exclude = rng.choice("pqr"), rng.sample("abcd", k=rng.choice([0, 0, 1]))
        if claims and rng.random() < 0.45:
            claim = claims.pop(rng.choice(list(claims)))
            assert await broker.release(claim.call_id, claim.fencing_token)
            held = model[claim.worker_id]
            model[claim.worker_id] = replace(held, used=held.used - 1)
        elif number == 200:
            await broker.drain("b")
            model["b"] = replace(model["b"], state="draining")
        elif (expected := choose(model.values(), prompt, exclude)) is None:
            with pytest.raises(NoCapacity):
                await broker.claim(f"CA{number}", prompt, "g1", exclude=exclude)
        else:
            claim = await broker.claim(f"CA{number}", prompt, "g1", exclude=exclude)
            assert claim.worker_id == expected.worker_id
            claims[claim.call_id] = claim
            model[claim.worker_id] = replace(expected, used=expected.used + 1)
    assert await used(broker) == {name: info.used for name, info in model.items()}


async def test_many_gateways_at_once_never_overcommit(broker: Broker) -> None:
    """40 calls at 6 slots at the same moment: six get one each."""
    await broker.register(worker("w1", slots=4))
    await broker.register(worker("w2", slots=2))
    answers = await asyncio.gather(
        *(broker.claim(f"CA{number}", "p", "g1") for number in range(40)), return_exceptions=True
    )
    claims = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert len(claims) == 6
    assert all(isinstance(answer, NoCapacity) for answer in answers if answer not in claims)
    assert len({claim.fencing_token for claim in claims}) == 6
    assert await used(broker) == {"w1": 4, "w2": 2}


async def test_redis_gone_is_told_fast() -> None:
    """A closed port raises BrokerUnavailable, not a redis error."""
    async with connect("redis://127.0.0.1:1") as client:
        with pytest.raises(BrokerUnavailable, match="can't be used"):
            await Broker(client, "main").claim("CA1", "p", "g1")


async def test_redis_hanging_is_told_in_bounded_time() -> None:
    """A server that accepts and says nothing costs no more than the time-out."""
    hang = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hang.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with connect(f"redis://127.0.0.1:{port}", timeout_s=5) as client:
        started = time.monotonic()
        with pytest.raises(BrokerUnavailable, match=r"within 0\.2 s"):
            await Broker(client, "main", timeout_s=0.2).renew("CA1", 1)
        assert time.monotonic() - started < 1.0
    hang.set()
    server.close()
    await server.wait_closed()


async def test_a_cancellation_that_the_client_loses_still_ends_the_task(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if Redis's answer and the cancellation come at the same moment."""
    asked = asyncio.Event()

    async def answer_in_spite(**_: object) -> int:
        asked.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return 1

    monkeypatch.setitem(broker._scripts, "renew", answer_in_spite)
    task = asyncio.create_task(broker.renew("CA1", 1))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
