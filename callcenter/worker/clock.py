"""The tick's clock: due times at start + n * 80 ms, whatever the ticks themselves take.

A tick that ends late delays nothing but itself. Ticks whose whole time has passed are skipped, not
made up for: their audio would come too late to be heard, and the sessions' inboxes drop what was
meant for them. So the rate is exact over hours and a stall costs just its own length.

It reads no clock: the shell passes the time.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TickTiming:
    """How one tick went.

    Attributes:
        duration_s: from its begin to its end.
        missed: it ended after the next tick was due.
        skipped: ticks that were left out after it.
    """

    duration_s: float
    missed: bool
    skipped: int


class TickClock:
    """Due times of ticks.

    Args:
        period_s: time between two ticks.
        start_s: when the first one is due.
    """

    def __init__(self, period_s: float, start_s: float) -> None:
        self._period_s = period_s
        self._start_s = start_s
        self._index = 0

    @property
    def index(self) -> int:
        """Number of the tick that is due next; skipped ones count."""
        return self._index

    @property
    def due_s(self) -> float:
        """When the next tick is due."""
        return self._start_s + self._index * self._period_s

    def finish(self, began_s: float, ended_s: float) -> TickTiming:
        """Ends the present tick and goes on to the next that is still ahead, or just beginning."""
        next_due_s = self._start_s + (self._index + 1) * self._period_s
        late_s = ended_s - next_due_s
        skipped = max(0, int(late_s // self._period_s))
        self._index += 1 + skipped
        return TickTiming(ended_s - began_s, late_s > 0, skipped)
