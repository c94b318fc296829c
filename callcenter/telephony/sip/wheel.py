"""One clock for all calls: every 20 ms each of them ticks, spread over four turns of 5 ms.

One timer instead of one a call. After a stall of the event loop the missed turns are made up, each
with the time at which it was due, so that every call keeps its rate; after a long stall they are
skipped. Knows nothing of audio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from callcenter.media.units import PACKET_S

TURNS = 4
TURN_S = PACKET_S / TURNS
MAKE_UP_S = 0.2  # `media.jitter` cuts only what waits for longer

Tick = Callable[[float], None]


class Wheel:
    """Runs from the first member to the last."""

    def __init__(self) -> None:
        self._members: tuple[dict[object, Tick], ...] = tuple({} for _ in range(TURNS))
        self._timer: asyncio.TimerHandle | None = None
        self._turn = 0
        self._next_at = 0.0

    def add(self, tick: Tick) -> object:
        """Lets `tick(due_at)` be called every 20 ms; returns a key for `remove`."""
        key = object()
        min(self._members, key=len)[key] = tick
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._next_at = loop.time()
            self._timer = loop.call_at(self._next_at, self._run)
        return key

    def remove(self, key: object) -> None:
        """Takes a member out; one that is not there is no error."""
        for members in self._members:
            members.pop(key, None)
        if self._timer is not None and not any(self._members):
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._next_at > MAKE_UP_S:
            self._next_at = now
        for tick in self._members[self._turn].values():
            # A turn of its own on the loop: one that fails takes no other with it.
            loop.call_soon(tick, self._next_at)
        self._turn = (self._turn + 1) % TURNS
        self._next_at += TURN_S
        # One turn at a time, even when the next is overdue: what a tick gave is taken up, and what
        # has come from the network is read, before the same call ticks again.
        self._timer = loop.call_at(self._next_at, self._run)
