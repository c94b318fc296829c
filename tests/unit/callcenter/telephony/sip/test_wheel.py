"""The clock of all calls."""

import asyncio
import itertools
import time

import pytest

from callcenter.telephony.sip.wheel import Wheel


async def test_every_member_ticks_and_one_that_fails_harms_no_other() -> None:
    """50 times a second each, until removed."""
    wheel, ticks, failures = Wheel(), {0: 0, 1: 0, 2: 0}, []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context))

    def tick(member: int) -> None:
        ticks[member] += 1
        if member == 1:
            raise ValueError("broken")

    keys = [wheel.add(lambda now, member=member: tick(member)) for member in ticks]
    loop = asyncio.get_running_loop()
    end = loop.create_future()
    loop.call_later(0.4, end.set_result, None)
    await end
    for key in keys:
        wheel.remove(key)
    wheel.remove(keys[0])
    assert all(count >= 15 for count in ticks.values())
    assert max(ticks.values()) - min(ticks.values()) <= 1
    assert len(failures) == ticks[1]
    assert wheel._timer is None


async def test_a_stall_is_made_up_for() -> None:
    """The ticks that were missed come at once, and each is told when it was due."""
    wheel, told = Wheel(), []
    loop = asyncio.get_running_loop()
    end = loop.create_future()
    key = wheel.add(told.append)
    loop.call_later(0.03, time.sleep, 0.12)
    loop.call_later(0.2, end.set_result, None)
    await end
    wheel.remove(key)
    steps = [later - earlier for earlier, later in itertools.pairwise(told)]
    assert len(told) >= 9
    assert steps == pytest.approx([0.02] * len(steps))


async def test_what_a_tick_gave_is_taken_up_before_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While a stall is made up for, too: or an answer to each tick would be late for good."""
    loop = asyncio.get_running_loop()
    stalled_s = 0.0
    real_time = loop.time
    monkeypatch.setattr(loop, "time", lambda: real_time() + stalled_s)
    wheel, given, waited = Wheel(), asyncio.Queue[float](), []

    def tick(due_at: float) -> None:
        waited.append(given.qsize())
        given.put_nowait(due_at)

    async def take_up() -> None:
        while True:
            await given.get()

    taking = asyncio.create_task(take_up())
    key = wheel.add(tick)
    stalled_s = 0.15
    for _ in range(100):
        await asyncio.sleep(0)
    wheel.remove(key)
    taking.cancel()
    assert len(waited) >= 8
    assert set(waited) == {0}
