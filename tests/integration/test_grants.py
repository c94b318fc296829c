"""One-time addresses, in a real Valkey and without one."""

import asyncio
import contextlib
import secrets

import pytest

from callcenter.broker.connection import connect
from callcenter.errors import BrokerUnavailable, Unauthorized
from callcenter.telephony.twilio.grants import (
    KEPT_HERE,
    ExpiringTexts,
    StreamGrant,
    StreamGrants,
)

NOWHERE = "redis://127.0.0.1:1"


def grant() -> StreamGrant:
    """Of a call that no other test has."""
    call_sid = f"CA{secrets.token_hex(16)}"
    return StreamGrant(call_sid, "+15550100", "+15550101", 1.0, {"worker_id": "w"})


@pytest.fixture
async def redis(redis_url):
    """As the gateway makes it."""
    client = connect(redis_url)
    yield client
    await client.aclose()


async def test_an_address_works_once(redis) -> None:
    """Also when two sockets ask at the same time."""
    grants, given = StreamGrants(redis, 30), grant()
    token = await grants.issue(given)
    answers = await asyncio.gather(
        *[grants.redeem(token) for _ in range(5)], return_exceptions=True
    )
    assert [answer for answer in answers if isinstance(answer, StreamGrant)] == [given]
    assert sum(isinstance(answer, Unauthorized) for answer in answers) == 4


async def test_an_address_may_reach_another_gateway(redis) -> None:
    """Nothing of it lives in the gateway that issued it."""
    given = grant()
    token = await StreamGrants(redis, 30).issue(given)
    assert await StreamGrants(redis, 30).redeem(token) == given


async def test_redis_never_holds_the_token_itself(redis) -> None:
    """Who can list its keys still cannot open a socket."""
    before = {key async for key in redis.scan_iter("cc:twilio:*")}
    token = await StreamGrants(redis, 30).issue(grant())
    after = {key async for key in redis.scan_iter("cc:twilio:*")}
    (key,) = after - before
    assert token not in key
    assert 0 < await redis.ttl(key) <= 30


async def test_an_unknown_address(redis) -> None:
    """The error says what may be the reason."""
    with pytest.raises(Unauthorized, match="unknown, expired or was used"):
        await StreamGrants(redis, 30).redeem("A" * 32)


async def test_the_first_answer_to_a_webhook_counts(redis) -> None:
    """A repetition that overtook us gets, and gives, the same one."""
    grants, call_sid = StreamGrants(redis, 30), grant().call_sid
    assert await grants.recall_answer(call_sid, "s") is None
    assert await grants.remember_answer(call_sid, "s", "<one/>") == "<one/>"
    assert await grants.remember_answer(call_sid, "s", "<two/>") == "<one/>"
    assert await grants.recall_answer(call_sid, "s") == "<one/>"
    assert await grants.recall_answer(call_sid, "other signature") is None


async def test_a_recorded_webhook_is_known_for_a_day(redis) -> None:
    """By every gateway; at once it is a repetition, later a replay."""
    call, signature = grant().call_sid, secrets.token_urlsafe()
    first, second, patient = (StreamGrants(redis, ttl_s) for ttl_s in (30, 30, 100_000))
    before = {key async for key in redis.scan_iter("cc:twilio:signature:*")}
    assert not await first.is_replay(call, signature)
    assert not await second.is_replay(call, signature)
    (key,) = {key async for key in redis.scan_iter("cc:twilio:signature:*")} - before
    assert signature not in key
    await redis.pexpire(key, (86_400 - 31) * 1_000)  # as it is after 31 s
    assert await first.is_replay(call, signature)
    assert await second.is_replay(call, signature)
    assert not await patient.is_replay(call, signature)
    assert not await first.is_replay(call, "of a redirect of the same call" + signature)


async def test_a_signature_is_good_for_its_call_alone(redis) -> None:
    """Twilio signs fields without marks between them: a CallSid could be made longer."""
    signature = secrets.token_urlsafe()
    assert not await StreamGrants(redis, 30).is_replay("CA1", signature)
    assert await StreamGrants(redis, 30).is_replay("CA1Callerplus1", signature)


async def test_without_redis_a_gateway_knows_what_it_has_seen() -> None:
    """Calls come through then; a replay does not at the same gateway."""
    now = [100.0]
    redis = connect(NOWHERE)
    grants = StreamGrants(redis, 30, clock=lambda: now[0])
    assert not await grants.is_replay("CA1", "s")
    now[0] += 29.0
    assert not await grants.is_replay("CA1", "s")
    assert await grants.is_replay("CA2", "s")
    now[0] += 2.0
    assert await grants.is_replay("CA1", "s")
    assert not await grants.is_replay("CA1", "another")
    await redis.aclose()


async def test_what_is_kept_here_is_bounded() -> None:
    """The oldest goes first."""
    texts = ExpiringTexts(60.0, lambda: 0.0)
    for number in range(KEPT_HERE + 5):
        texts.put(str(number), "")
    assert texts.get("4") is None
    assert texts.get("5") == ""


@pytest.mark.parametrize(
    ("command", "ask"),
    [
        ("set", lambda grants: grants.issue(grant())),
        ("getdel", lambda grants: grants.redeem("A" * 32)),
        ("set", lambda grants: grants.remember_answer("CA1", "s", "<one/>")),
        ("set", lambda grants: grants.is_replay("CA1", "s")),
        ("get", lambda grants: grants.recall_answer("CA1", "s")),
    ],
)
async def test_a_cancellation_that_the_client_loses_still_ends_the_task(
    redis, monkeypatch: pytest.MonkeyPatch, command: str, ask
) -> None:
    """Also if Redis's answer and the cancellation come at the same moment."""
    asked = asyncio.Event()

    async def answer_in_spite(*_: object, **__: object) -> None:
        asked.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    monkeypatch.setattr(redis, command, answer_in_spite)
    task = asyncio.create_task(ask(StreamGrants(redis, 30)))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_without_redis_the_same_gateway_still_admits() -> None:
    """Once, and only for a while."""
    now = [100.0]
    redis = connect(NOWHERE)
    grants = StreamGrants(redis, 30, clock=lambda: now[0])
    first, second, given = grant(), grant(), grant()
    token, late = await grants.issue(first), await grants.issue(second)
    assert await grants.redeem(token) == first
    now[0] = 131.0
    for used_or_old in (token, late):
        with pytest.raises(BrokerUnavailable):
            await grants.redeem(used_or_old)
    assert await grants.remember_answer(given.call_sid, "s", "<one/>") == "<one/>"
    assert await grants.recall_answer(given.call_sid, "s") == "<one/>"
    await redis.aclose()
