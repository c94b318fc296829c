"""How late packets come, against their numbers and each other, over the last seconds.

    lateness = arrival - number * what a packet lasts

In one stream it differs by the network's jitter and by the drift of two clocks, whatever the delay
is at which the stream is played. Packets that a stall has held up come together and are one event,
not ten: time is cut into pieces, of each only the latest packet counts, and the latest of all is
left out together with the pieces next to it. What happens once in five seconds is no reason to
wait for it all the time. Knows no payload and no buffer.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from operator import attrgetter

MEMORY_S = 5.0
PIECE_S = 0.05


@dataclass(slots=True)
class _Piece:
    """A moment: the latest and the earliest packet that came in it."""

    index: int
    latest_s: float
    earliest_s: float


_LATEST = attrgetter("latest_s")


class Lateness:
    """One stream's."""

    def __init__(self) -> None:
        self._pieces: deque[_Piece] = deque()
        self._latest_s: float | None = None
        self._is_current = True

    def note(self, late_s: float, now: float) -> None:
        """A packet came at `now`, so late."""
        index, pieces = int(now / PIECE_S), self._pieces
        if not pieces or index > pieces[-1].index:
            pieces.append(_Piece(index, late_s, late_s))
            while pieces[0].index < index - MEMORY_S / PIECE_S:
                pieces.popleft()
            self._is_current = False
        else:
            last = pieces[-1]
            last.earliest_s = min(last.earliest_s, late_s)
            if late_s > last.latest_s:
                last.latest_s, self._is_current = late_s, False

    def forget(self) -> None:
        """Another stream, or the same one after a break."""
        self._pieces.clear()
        self._is_current = False

    @property
    def known_s(self) -> float:
        """How long the memory reaches back."""
        return (self._pieces[-1].index - self._pieces[0].index) * PIECE_S if self._pieces else 0.0

    def latest_s(self) -> float | None:
        """The latest that packets come, but for one event; None while too little is known."""
        if not self._is_current:
            self._latest_s, self._is_current = self._without_the_latest(), True
        return self._latest_s

    def spread_s(self) -> float:
        """From the earliest to the latest, one event at each end left out."""
        latest_s = self.latest_s()
        if latest_s is None:
            return 0.0
        return latest_s - heapq.nsmallest(2, (piece.earliest_s for piece in self._pieces))[-1]

    def _without_the_latest(self) -> float | None:
        if not self._pieces:
            return None
        latest = max(self._pieces, key=_LATEST)
        others = [p.latest_s for p in self._pieces if not -1 <= p.index - latest.index <= 1]
        return max(others, default=None)
