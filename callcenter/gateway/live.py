"""The calls that this gateway carries now, and how it stops taking more.

It knows runners only as something that can be asked to stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from callcenter.errors import Draining, NoCapacity, Refused

STOP_S = 3.0  # for the last words, and for Redis


class AlreadyConnected(Refused):
    """The call has a media socket; a second one would speak over it."""

    code = "already_connected"


class Carried(Protocol):
    """What the register, and people's orders, need of a call runner."""

    @property
    def handoff_number(self) -> str | None:
        """Where the call's own route or persona hands it over to; None for nowhere."""
        ...

    def stop(self) -> None:
        """Ends the call soon, because this gateway goes away."""
        ...

    def hang_up(self) -> None:
        """Ends the call soon, because a person wants so."""
        ...

    async def transfer(self, number: str) -> None:
        """Hands the caller over; CallControlFailed says why not."""
        ...

    async def press(self, keys: str) -> None:
        """Presses keys at the far end; CallControlFailed says why not."""
        ...


class LiveCalls:
    """A bounded register.

    Args:
        max_calls: one more is refused.
    """

    def __init__(self, max_calls: int) -> None:
        self._max_calls = max_calls
        self._runners: dict[str, Carried] = {}
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._runners)

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._runners

    @property
    def draining(self) -> bool:
        """Whether this gateway takes no new call."""
        return self._draining

    def check_room(self) -> None:
        """Asks whether one more call fits.

        Raises:
            Draining: this gateway is going away.
            NoCapacity: it carries as many calls as it may.
        """
        if self._draining:
            raise Draining("this gateway is going away")
        if len(self._runners) >= self._max_calls:
            raise NoCapacity(f"this gateway carries {self._max_calls} calls (MAX_CALLS)")

    def check_new(self, call_id: str) -> None:
        """Asks whether the call has no media socket yet.

        Raises:
            AlreadyConnected: it has one.
        """
        if call_id in self._runners:
            raise AlreadyConnected("the call has a media socket already")

    @contextmanager
    def carrying(self, call_id: str, runner: Carried) -> Iterator[None]:
        """Keeps a call in the register while it runs."""
        self._runners[call_id] = runner
        self._empty.clear()
        try:
            yield
        finally:
            del self._runners[call_id]
            if not self._runners:
                self._empty.set()

    def find(self, call_id: str) -> Carried | None:
        """What carries a call; None if it is not carried here."""
        return self._runners.get(call_id)

    async def drain(self, grace_s: float) -> None:
        """Takes no new call, lets the others end, and ends those that are left after the grace."""
        self._draining = True
        if await self._is_empty_within(grace_s):
            return
        for runner in list(self._runners.values()):
            runner.stop()
        await self._is_empty_within(STOP_S)

    async def _is_empty_within(self, patience_s: float) -> bool:
        with suppress(TimeoutError):  # long calls
            async with asyncio.timeout(patience_s):
                await self._empty.wait()
        return not self._runners
