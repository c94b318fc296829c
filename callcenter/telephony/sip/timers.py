"""A heap of deadlines: which of many things is due next.

It knows of a thing only that it can be a key; arming it again replaces its deadline.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from itertools import count
from typing import Generic, TypeVar

Thing = TypeVar("Thing", bound=Hashable)


class Timers(Generic[Thing]):
    """Deadlines by thing."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Thing]] = []
        self._due: dict[Thing, float] = {}
        self._serial = count()

    def __len__(self) -> int:
        return len(self._due)

    def __iter__(self) -> Iterator[Thing]:
        return iter(self._due)

    def arm(self, thing: Thing, at: float | None) -> None:
        """Sets, moves or (None) removes a deadline."""
        if at is None:
            self._due.pop(thing, None)
            return
        if self._due.get(thing) == at:
            return
        self._due[thing] = at
        heapq.heappush(self._heap, (at, next(self._serial), thing))
        if len(self._heap) > 64 + 4 * len(self._due):
            self._compact()

    def next_timer(self) -> float | None:
        """The earliest deadline."""
        self._skip_stale()
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> list[Thing]:
        """Removes and returns what is due, in order."""
        things: list[Thing] = []
        while True:
            self._skip_stale()
            if not self._heap or self._heap[0][0] > now:
                return things
            _, _, thing = heapq.heappop(self._heap)
            del self._due[thing]
            things.append(thing)

    def _skip_stale(self) -> None:
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)

    def _compact(self) -> None:
        self._heap = [(at, next(self._serial), thing) for thing, at in self._due.items()]
        heapq.heapify(self._heap)
