"""An answer that goes on for long is only good as long as whoever asked may still have it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from callcenter.background import end_all

LOOK_EVERY_S = 3.0

Item = TypeVar("Item")


async def while_allowed(
    source: AsyncIterator[Item],
    allowed: Callable[[], Awaitable[bool]],
    every_s: float = LOOK_EVERY_S,
) -> AsyncIterator[Item]:
    """Gives what a source gives, and ends within `every_s` of the moment that it is not allowed.

    Args:
        source: runs in one task from its beginning to its end, so it may have time-outs of its own;
            closed at the end.
        allowed: asked again and again, also while the source has nothing to say.
        every_s: how often.
    """
    clock = asyncio.get_running_loop().time
    look_at = clock() + every_s
    found: asyncio.Queue[Item] = asyncio.Queue(1)
    reading = asyncio.create_task(_read(source, found))
    coming: asyncio.Task[Item] | None = None
    try:
        while True:
            coming = coming or asyncio.create_task(found.get())
            await asyncio.wait(
                {reading, coming},
                timeout=max(0.0, look_at - clock()),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if clock() >= look_at:
                if not await allowed():
                    return
                look_at = clock() + every_s
            if coming.done():
                item, coming = coming.result(), None
                yield item
            elif reading.done() and found.empty():
                await reading  # what went wrong in the source goes on from here
                return
    finally:
        ended: list[asyncio.Task[Any]] = [reading] if coming is None else [reading, coming]
        await end_all(ended)


async def _read(source: AsyncIterator[Item], found: asyncio.Queue[Item]) -> None:
    try:
        async for item in source:
            await found.put(item)
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()
