"""Sessions of a whole worker with real sockets, a real Valkey and the rehearsal engine."""

import asyncio
import time

import numpy as np
import pytest

from callcenter.errors import NoCapacity, Unauthorized
from callcenter.link.client import LinkClient
from callcenter.link.protocol import AudioFrame
from callcenter.link.refusals import StaleClaim
from callcenter.link.token import sign, verify
from callcenter.media.phase import MARGIN_S
from callcenter.media.units import PACKET_S
from callcenter.media.uplink import Uplink
from callcenter.worker.program import Worker
from engine.interface import FRAME_S
from engine.rehearsal import RehearsalEngine
from tests.integration.worker_cases import (
    SECRET,
    books,
    claimed,
    hear,
    join,
    opening,
    settings,
    token_for,
)


async def test_a_claimed_call_is_greeted(redis_url: str) -> None:
    """From the broker's claim to the first words, through the claim's own url and epoch."""
    config = settings(redis_url)
    async with Worker(config, RehearsalEngine(2)).running(), books(config) as broker:
        link = await claimed(broker)
        heard, words = await hear(link, 12)
        await link.close("caller_hung_up")
    assert np.abs(np.concatenate(heard)).max() > 3_000
    assert words.startswith(" Hello")


async def test_either_link_secret_will_do_while_it_is_being_rotated(redis_url: str) -> None:
    """Workers change first: gateways that sign with the old or the new one are both served."""
    fresh = "n" * 32
    config = settings(redis_url, link_secret=fresh, link_secret_secondary=SECRET)
    async with Worker(config, RehearsalEngine(2)).running() as worker:
        for secret, call_id in ((SECRET, "CA1"), (fresh, "CA2")):
            token = sign(verify(token_for(worker, call_id), SECRET, time.time()), secret)
            link = await LinkClient.open(worker.url, token, opening(call_id))
            assert len((await hear(link, 1))[0]) == 1
            await link.close("caller_hung_up")


@pytest.mark.alone
async def test_frames_come_to_lie_just_before_the_ticks(redis_url: str) -> None:
    """The worker tells how long frames wait, the uplink moves its boundaries: waits get short.

    Meanwhile answers come at the ticks' own pace.
    """
    waits_s: list[float] = []
    came_s: list[float] = []

    async def speak(link: LinkClient, uplink: Uplink) -> None:
        clock = asyncio.get_running_loop()
        began = clock.time()
        for packet in range(1_000):
            await asyncio.sleep(max(0.0, began + packet * PACKET_S - clock.time()))
            uplink.push(b"\xff" * 160, clock.time())
            while (frame := uplink.pop(clock.time())) is not None:
                link.send(frame)

    async with Worker(settings(redis_url), RehearsalEngine(1)).running() as worker:
        link, uplink = await join(worker, "CA1"), Uplink("audio/x-mulaw", 8_000)
        speaking = asyncio.create_task(speak(link, uplink))
        async for message in link.messages():
            if isinstance(message, AudioFrame) and message.waited_s is not None:
                waits_s.append(message.waited_s)
                came_s.append(time.monotonic())
                uplink.waited(message.waited_s)
            if len(waits_s) == 50:
                break
        speaking.cancel()
        await link.close("done")
    assert came_s[-1] - came_s[0] == pytest.approx(49 * FRAME_S, abs=0.15)
    # The shortest of a second lies within one packet of the margin, unless the machine stalls.
    assert min(waits_s[-12:]) < MARGIN_S + PACKET_S + 0.005


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"worker_id": "w2"}, Unauthorized),
        ({"epoch": 1}, StaleClaim),
        ({"expires_at_s": 1.0}, Unauthorized),
        ({"call_id": "CA2"}, Unauthorized),
        ({"prompt_hash": "other"}, Unauthorized),
    ],
)
async def test_a_token_for_something_else_is_refused(
    redis_url: str, change: dict[str, object], error: type[Exception]
) -> None:
    """Wrong worker, process, time, call or prompt; the right one still gets in afterwards."""
    async with Worker(settings(redis_url), RehearsalEngine(1)).running() as worker:
        about = {"call_id": "CA1"} | change
        with pytest.raises(error) as caught:
            await LinkClient.open(worker.url, token_for(worker, **about), opening("CA1"))
        assert type(caught.value) is error
        link = await join(worker, "CA1")
        await link.close("done")


async def test_one_session_a_call_and_the_newest_claim_wins(redis_url: str) -> None:
    """The same claim again is refused, a newer one takes over, the older never comes back."""
    async with Worker(settings(redis_url), RehearsalEngine(2)).running() as worker:
        first = await join(worker, "CA1", fencing_token=5)
        with pytest.raises(StaleClaim, match="already has its session"):
            await join(worker, "CA1", fencing_token=5)
        second = await join(worker, "CA1", fencing_token=6)
        with pytest.raises(StaleClaim, match="took this call over"):
            await hear(first, 100)
        await hear(second, 2)
        await second.close("done")
        await asyncio.sleep(0.1)
        with pytest.raises(StaleClaim, match="newer claim"):
            await join(worker, "CA1", fencing_token=5)
        await (await join(worker, "CA1", fencing_token=6)).close("done")
        await first.close("done")


async def test_a_full_worker_refuses_and_a_freed_slot_is_free_at_once(redis_url: str) -> None:
    """503 before the upgrade; the session that is there goes on."""
    async with Worker(settings(redis_url), RehearsalEngine(1)).running() as worker:
        link = await join(worker, "CA1")
        with pytest.raises(NoCapacity, match="all 1 slots"):
            await join(worker, "CA2")
        await hear(link, 2)
        await link.close("done")
        await asyncio.sleep(0.1)
        await (await join(worker, "CA2")).close("done")


async def test_a_gateway_that_dies_frees_its_slot(redis_url: str) -> None:
    """No end message, just a broken connection."""
    async with Worker(settings(redis_url), RehearsalEngine(1)).running() as worker:
        link = await join(worker, "CA1")
        link._channel._connection.transport.abort()
        await asyncio.sleep(0.1)
        await (await join(worker, "CA2")).close("done")
