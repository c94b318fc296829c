"""Moves the caller's frame boundaries to just before the worker's ticks.

A frame that is complete right after a tick waits 80 ms for the next one; the caller's packets know
nothing of ticks, so the wait is anything from 0 to 80 ms and stays what it happens to be:

    packets   | | | | | | | |          ticks   T       T       T
    frames    [.......][.......]               ^ waited: 60 ms

Three packets left out in a pause complete every later frame 60 ms later, still in time for its
tick, and with audio that is 60 ms fresher: all that the agent does comes 60 ms sooner. Drift of
the two clocks ends in a frame that just misses its tick; that is a long wait and cured alike.

Knows nothing of audio or sockets: it is told waits, and says which silent packets to leave out.
"""

from __future__ import annotations

from collections import deque

from callcenter.media.units import PACKET_S

MARGIN_S = 0.012  # jitter of packets and link that must not make a frame miss its tick
WAITS_JUDGED = 12  # about 1 s: the shortest of them is the wait without jitter
WAITS_IN_FLIGHT = 6  # reports of frames cut before the last shift
MOST_PACKETS = 3  # four would be a frame: a backlog, which is not the phase's matter


class TickPhase:
    """Decides by how many packets the frame boundaries should move."""

    def __init__(self) -> None:
        self._waits_s: deque[float] = deque(maxlen=WAITS_JUDGED)
        self._to_ignore = 0
        self._to_leave_out = 0

    def told(self, waited_s: float) -> None:
        """The worker says how long a frame lay ready before its tick took it."""
        if self._to_ignore:
            self._to_ignore -= 1
        else:
            self._waits_s.append(waited_s)

    def leave_out(self) -> bool:
        """Whether the silent packet at hand is to be left out."""
        if not self._to_leave_out:
            self._to_leave_out = self._packets_too_early()
        if not self._to_leave_out:
            return False
        self._to_leave_out -= 1
        self._waits_s.clear()
        self._to_ignore = WAITS_IN_FLIGHT
        return True

    def _packets_too_early(self) -> int:
        """0 to 3; more than 0 only after a second of waits that were all too long."""
        if len(self._waits_s) < WAITS_JUDGED:
            return 0
        return min(MOST_PACKETS, max(0, int((min(self._waits_s) - MARGIN_S) / PACKET_S)))
