"""The tasks that run beside a program for as long as it lives: how they are ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

END_AGAIN_S = 0.5


async def end_all(tasks: Iterable[asyncio.Task[None]], again_s: float = END_AGAIN_S) -> None:
    """Cancels until all are over: a client library may lose one cancellation to a time-out."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=again_s)
