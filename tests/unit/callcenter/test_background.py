"""Ending background tasks."""

import asyncio
from contextlib import suppress

from callcenter.background import end_all


async def test_a_task_that_loses_a_cancellation_is_cancelled_again() -> None:
    """As the Redis client does when its time-out falls into the same moment."""
    lost = 0

    async def deaf() -> None:
        nonlocal lost
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        lost += 1
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(deaf()), asyncio.create_task(asyncio.Event().wait())]
    await asyncio.sleep(0)
    await end_all(tasks, again_s=0.01)
    assert lost == 1
    assert all(task.cancelled() for task in tasks)


async def test_nothing_to_end() -> None:
    """Programs without background tasks end, too."""
    await end_all([])
