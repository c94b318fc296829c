"""An answer that goes on for long is only good as long as whoever asked may still have it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

LOOK_EVERY_S = 3.0

Item = TypeVar("Item")


async def while_allowed(
    source: AsyncIterator[Item],
    allowed: Callable[[], Awaitable[bool]],
    every_s: float = LOOK_EVERY_S,
) -> AsyncIterator[Item]:
    """Gives what a source gives, and ends within `every_s` of the moment that it is not allowed.

    Args:
        source: closed at the end.
        allowed: asked again and again, also while the source has nothing to say.
        every_s: how often.
    """
    clock = asyncio.get_running_loop().time
    look_at = clock() + every_s
    coming: asyncio.Task[Item] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(_next(source))
            done, _ = await asyncio.wait({coming}, timeout=max(0.0, look_at - clock()))
            if clock() >= look_at:
                if not await allowed():
                    return
                look_at = clock() + every_s
            if not done:
                continue
            try:
                item = coming.result()
            except StopAsyncIteration:
                return
            coming = None
            yield item
    finally:
        if coming is not None:
            coming.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await coming
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()


async def _next(source: AsyncIterator[Item]) -> Item:
    return await anext(source)
