"""The register of live calls."""

import asyncio
import contextlib

import pytest

from callcenter.errors import Draining, NoCapacity
from callcenter.gateway.live import AlreadyConnected, LiveCalls


class Runner:
    """Remembers that it was asked to stop."""

    def __init__(self) -> None:
        self.stopped = asyncio.Event()

    def stop(self) -> None:
        self.stopped.set()


@pytest.fixture
def live_call():
    """A register with one call in it, its runner, and how it ends."""
    live, runner, stack = LiveCalls(max_calls=2), Runner(), contextlib.ExitStack()
    stack.enter_context(live.carrying("CA1", runner))
    return live, runner, stack.close


async def test_a_bounded_register() -> None:
    """The second call does not fit until the first one has ended."""
    live = LiveCalls(max_calls=1)
    live.check_room()
    with live.carrying("CA1", Runner()):
        assert len(live) == 1
        with pytest.raises(NoCapacity, match="MAX_CALLS"):
            live.check_room()
    live.check_room()


async def test_one_socket_a_call() -> None:
    """Another call may have one, and the same call after its end."""
    live = LiveCalls(max_calls=2)
    live.check_new("CA1")
    with live.carrying("CA1", Runner()):
        with pytest.raises(AlreadyConnected):
            live.check_new("CA1")
        live.check_new("CA2")
    live.check_new("CA1")


async def test_a_drain_waits_for_calls_that_end() -> None:
    """No call is asked to stop that leaves by itself."""
    live, runner = LiveCalls(max_calls=2), Runner()
    with live.carrying("CA1", runner):
        drain = asyncio.create_task(live.drain(grace_s=60.0))
        await asyncio.sleep(0)
        assert live.draining
        with pytest.raises(Draining):
            live.check_room()
    await drain
    assert not runner.stopped.is_set()


async def test_a_drain_asks_those_to_stop_that_stay(live_call) -> None:
    """After the grace; and it waits until they have left."""
    live, runner, leave = live_call
    drain = asyncio.create_task(live.drain(grace_s=0.0))
    await runner.stopped.wait()
    assert not drain.done()
    leave()
    await drain
    assert len(live) == 0
