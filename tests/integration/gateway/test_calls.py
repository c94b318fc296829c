"""Calls through a real gateway, from the webhook to the worker and back."""

import asyncio
import json

from websockets.exceptions import ConnectionClosed


async def closed(socket) -> ConnectionClosed:
    """Reads until the gateway closes."""
    try:
        while True:
            await socket.recv()
    except ConnectionClosed as end:
        return end


async def test_a_call_hears_the_agent_and_the_agent_hears_the_call(make_stand) -> None:
    """Audio flows both ways, and the slot is free again when the caller hangs up."""
    stand = await make_stand()
    caller = stand.caller()
    socket = await caller.start()
    for index in range(12):
        await socket.send(caller.carrier.media(b"\x10" * 160, index * 20))
        await asyncio.sleep(0.02)
    await caller.hear(socket)
    assert await stand.slots_used() == 1
    assert stand.workers[0].frames_heard[caller.call_id] >= 2
    await socket.send(caller.carrier.stop())
    await closed(socket)
    assert await stand.slots_used() == 0
