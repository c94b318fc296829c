"""Calls through a real gateway, from the webhook to the worker and back."""

import asyncio
import contextlib
from functools import partial

import pytest
from prometheus_client import generate_latest
from websockets.exceptions import ConnectionClosed

from callcenter.broker.broker import Broker
from callcenter.gateway import program


async def end_of(socket) -> tuple[int, str]:
    """Reads until the gateway closes; code and reason."""
    with contextlib.suppress(ConnectionClosed):
        async for _ in socket:
            pass
    return socket.close_code, socket.close_reason


def metric(line: str) -> float:
    """Sum of the samples whose lines begin so; the gateway runs in this process."""
    page = generate_latest().decode()
    return sum(float(row.split()[-1]) for row in page.splitlines() if row.startswith(line))


async def speak(caller, socket, packets: int) -> None:
    """Sends packets of a loud square wave in real time."""
    for index in range(packets):
        await socket.send(caller.carrier.media(b"\x00" * 80 + b"\x80" * 80, index * 20))
        await asyncio.sleep(0.02)


async def test_audio_flows_both_ways_and_the_slot_comes_back(make_stand) -> None:
    """The agent is heard, the caller is heard, and a hang-up frees the slot at once."""
    stand = await make_stand()
    caller = stand.caller()
    socket = await caller.start()
    await speak(caller, socket, 12)
    await caller.hear(socket)
    assert stand.workers[0].frames_heard[caller.call_id] >= 2
    await socket.send(caller.carrier.stop())
    assert await end_of(socket) == (1000, "hangup")
    assert await stand.slots_used() == 0


async def test_a_broken_connection_frees_the_slot(make_stand) -> None:
    """The carrier vanishes without a word."""
    stand = await make_stand()
    caller = stand.caller()
    socket = await caller.start()
    await caller.hear(socket)
    socket.transport.abort()
    async with asyncio.timeout(2):
        await stand.until_used(0)


async def test_a_slot_whose_socket_never_comes_is_free_after_its_lease(
    make_stand, monkeypatch
) -> None:
    """The caller hung up while it rang; nobody renews, and the next call gets the slot."""
    monkeypatch.setattr(program, "Broker", partial(Broker, call_lease_s=0.4))
    stand = await make_stand(slots=1)
    assert (await stand.caller().announce()).status_code == 200
    assert await stand.slots_used() == 1
    assert (await stand.caller().announce()).status_code == 503
    await asyncio.sleep(0.5)
    next_caller = stand.caller()
    socket = await next_caller.start()
    await next_caller.hear(socket)
    assert await stand.slots_used() == 1
    await socket.close()


async def test_a_lost_worker_is_replaced_by_another(make_stand) -> None:
    """The call goes on with the other worker, and never goes back to the dead one."""
    stand = await make_stand(slots=1)
    other = await stand.add_worker(slots=1)
    caller = stand.caller()
    socket = await caller.start()
    await caller.hear(socket)
    first = next(worker for worker in stand.workers if caller.call_id in worker.sessions)
    await first.die()
    second = other if first is stand.workers[0] else stand.workers[0]
    async with asyncio.timeout(5):
        while caller.call_id not in second.sessions:
            await socket.recv()
        await caller.hear(socket, packets=20)
    await socket.close()


async def test_a_lost_worker_without_a_substitute_closes_the_socket(make_stand) -> None:
    """Twilio then runs the fallback verb; never dead air."""
    stand = await make_stand(slots=1)
    caller = stand.caller()
    socket = await caller.start()
    await caller.hear(socket)
    await stand.workers[0].die()
    async with asyncio.timeout(5):
        assert await end_of(socket) == (1000, "no_capacity")


async def test_a_worker_that_ends_the_session_is_replaced(make_stand) -> None:
    """A drain that came to its deadline."""
    stand = await make_stand(slots=1)
    caller = stand.caller()
    socket = await caller.start()
    await caller.hear(socket)
    other = await stand.add_worker(slots=1)
    stand.workers[0].end()
    async with asyncio.timeout(5):
        while caller.call_id not in other.sessions:
            await socket.recv()
    await socket.close()


async def test_the_longest_call(make_stand) -> None:
    """Our hang-up; without REST access the fallback verb is what is left."""
    stand = await make_stand(max_call_s=0.5)
    socket = await stand.caller().start()
    async with asyncio.timeout(5):
        assert await end_of(socket) == (1000, "max_duration")
    assert await stand.slots_used() == 0


async def test_the_metrics_move_during_a_call(make_stand) -> None:
    """Calls, packets, first audio and set-up show while the call goes on."""
    stand = await make_stand()
    before = metric('media_packets_total{dir="out"')
    setups = metric("callcenter_call_setup_seconds_count")
    answered = metric('callcenter_calls_total{outcome="answered"')
    caller = stand.caller()
    socket = await caller.start()
    await speak(caller, socket, 40)
    assert metric('callcenter_calls_active{transport="twilio"}') == 1
    assert metric('media_packets_total{dir="out"') > before
    assert metric("callcenter_call_setup_seconds_count") == setups + 1
    assert metric("callcenter_first_audio_seconds_count") >= 1
    assert metric("event_loop_lag_seconds_count") >= 1
    assert metric("broker_assignment_seconds_count") >= 1
    await socket.send(caller.carrier.stop())
    await end_of(socket)
    assert metric('callcenter_calls_active{transport="twilio"}') == 0
    assert metric('callcenter_calls_total{outcome="answered"') == answered + 1


async def test_no_metric_carries_a_call_or_a_number(make_stand) -> None:
    """Labels are of low cardinality."""
    stand = await make_stand()
    caller = stand.caller()
    socket = await caller.start()
    await caller.hear(socket)
    page = generate_latest().decode()
    assert caller.call_id not in page
    assert "+1555" not in page
    assert stand.workers[0].worker_id not in page
    await socket.close()


async def test_health_and_readiness(make_stand) -> None:
    """Ready with a worker, healthy in any case."""
    stand = await make_stand()
    assert (await stand.http.get(f"{stand.base_url}/healthz")).json() == {"status": "ok"}
    assert (await stand.http.get(f"{stand.base_url}/readyz")).status_code == 200


async def test_the_metrics_are_not_on_the_public_port(make_stand) -> None:
    """A proxy that passes everything still doesn't show them."""
    stand = await make_stand()
    assert (await stand.http.get(f"{stand.base_url}/metrics")).status_code == 404


async def test_not_ready_without_a_worker(make_stand) -> None:
    """The answer says what to look for."""
    stand = await make_stand(gateway_pools="empty-pool")
    response = await stand.http.get(f"{stand.base_url}/readyz")
    assert response.status_code == 503
    assert "GATEWAY_POOLS" in response.json()["why"]


@pytest.mark.parametrize(("action", "field"), [("hangup", "Status"), ("handoff", "Twiml")])
async def test_the_agent_hangs_up_or_hands_over(make_stand, rest_api, action, field) -> None:
    """Twilio's REST interface is asked before the socket closes."""
    stand = await make_stand(twilio_account_sid="AC1", twilio_api_base_url=rest_api.url)
    caller = stand.caller()
    socket = await caller.start()
    await caller.hear(socket)
    stand.workers[0].act(action)
    async with asyncio.timeout(5):
        await end_of(socket)
    path, form = await rest_api.requests.get()
    assert path == f"/2010-04-01/Accounts/AC1/Calls/{caller.call_id}.json"
    assert ("completed" if action == "hangup" else "+15550199") in form[field]
    assert await stand.slots_used() == 0


async def test_calls_end_when_the_gateway_leaves(make_stand) -> None:
    """After the grace the socket is closed and the slot given back."""
    stand = await make_stand()
    caller = stand.caller()
    socket = await caller.start()
    await caller.hear(socket)
    draining = asyncio.create_task(stand.gateway.drain(0.3))
    await asyncio.sleep(0)
    assert (await stand.caller().announce()).status_code == 503
    assert (await stand.http.get(f"{stand.base_url}/readyz")).json()["why"] == "draining"
    assert await end_of(socket) == (1000, "shutdown")
    await draining
    async with asyncio.timeout(2):
        await stand.until_used(0)
