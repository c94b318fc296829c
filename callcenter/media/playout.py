"""How late the far end plays: our clock's estimate, corrected by the marks that come back.

    sent ----------- played out by our clock ---------> echo of the mark
                                              |<-lag->|

A mark's echo lags the clock's estimate by the network's round trip, always, and by any queue that
a stall has left at the far end. The smallest lag seen is taken for the round trip; whatever a later
echo lags beyond that is backlog, and the estimate is moved by it. While an echo is overdue, the
overdue time counts as backlog too; when echoes stop coming for good the clock's estimate stands
alone. Marks carry a generation: after a clear, the carrier echoes marks whose audio was thrown
away, and those were never heard.

Knows nothing of audio: only seconds sent.
"""

from __future__ import annotations

from collections import OrderedDict

from callcenter.media.backlog import Backlog

MARKS_KEPT = 64
ECHO_GIVEN_UP_S = 2.0  # an echo overdue by more is lost, not late
JITTER_S = 0.02  # a packet's worth of lag more or less means nothing


class Playout:
    """Estimates the far end's backlog for one call."""

    def __init__(self) -> None:
        self._queue = Backlog()
        self._generation = 0
        self._serial = 0
        self._expected: OrderedDict[str, float] = OrderedDict()  # mark -> time played, by estimate
        self._round_trip_s: float | None = None
        self._shifted_s = 0.0  # corrections in force, never negative

    def sent(self, duration_s: float, now: float) -> None:
        """Audio of this length went out at `now`."""
        self._queue.add(duration_s, self._far_now(now))

    def mark(self, now: float) -> str:
        """Names a mark to be sent behind everything sent so far."""
        self._serial += 1
        name = f"g{self._generation}-{self._serial}"
        far_now = self._far_now(now)
        self._expected[name] = far_now + self._queue.level_s(far_now)
        while len(self._expected) > MARKS_KEPT:
            self._expected.popitem(last=False)
        return name

    def played(self, name: str, now: float) -> bool:
        """The carrier echoed a mark.

        Returns:
            False for a mark that is unknown, echoed twice, or older than the last clear.
        """
        expected_s = self._expected.pop(name, None)
        if expected_s is None:
            return False
        self._forget_before(expected_s)
        self._learn(now - expected_s)
        return True

    def clear(self, now: float) -> None:
        """The far end was told to throw its queue away: a new generation of marks begins."""
        self._generation += 1
        self._expected.clear()
        self._queue.clear(now)

    def backlog_s(self, now: float) -> float:
        """Audio that the far end has still to play, seconds."""
        return self._queue.level_s(self._far_now(now))

    def _far_now(self, now: float) -> float:
        """Where the far end is in the estimate's time: behind `now` while an echo is overdue."""
        if self._round_trip_s is None or not self._expected:
            return now
        oldest_s = next(iter(self._expected.values()))
        overdue_s = now - oldest_s - self._round_trip_s
        return now - overdue_s if JITTER_S < overdue_s < ECHO_GIVEN_UP_S else now

    def _learn(self, lag_s: float) -> None:
        if self._round_trip_s is None:
            self._round_trip_s = lag_s
        excess_s = lag_s - self._round_trip_s
        if excess_s > JITTER_S:
            self._shift(excess_s)
        elif excess_s < 0:
            # Early against a corrected estimate: the correction was too much (the far end had run
            # dry meanwhile). Only what remains after undoing it is a shorter round trip.
            undone_s = min(-excess_s, self._shifted_s)
            self._shift(-undone_s)
            self._round_trip_s += excess_s + undone_s

    def _shift(self, by_s: float) -> None:
        self._shifted_s += by_s
        self._queue.shift(by_s)
        for name in self._expected:
            self._expected[name] += by_s

    def _forget_before(self, expected_s: float) -> None:
        """Echoes come in order: marks before this one were lost."""
        while self._expected and next(iter(self._expected.values())) < expected_s:
            self._expected.popitem(last=False)
