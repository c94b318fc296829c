"""Call -> browser: what waits to be played, and when its turn is.

The browser takes one packet every 20 ms by our clock. `Schedule` says when the next one is due; the
other direction is read by one, too. After a stall it goes on from now, with a jump in the media
time, and does not hurry to catch up: what is queued meanwhile is won back by the downlink's
governor, which learns by the marks.

Knows no codec, no socket and no clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from callcenter.media.units import PACKET_S

MAX_QUEUED_PACKETS = 150  # 3 s: the governor stops at 2 s; beyond, the oldest go
MAX_LATE_S = 0.06  # a timer that fires later than this has been in a stall


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be sent now.

    Attributes:
        payload: PCM of one packet.
        marks: names of the marks that are reached by sending it.
    """

    payload: bytes
    marks: tuple[str, ...]


class PlayoutQueue:
    """Packets, each with the marks that stand behind it; bounded."""

    def __init__(self) -> None:
        self._payloads: deque[bytes] = deque()
        self._marks: deque[list[str]] = deque()  # as long as `_payloads`
        self.packets_dropped = 0

    def __len__(self) -> int:
        """Packets that wait."""
        return len(self._payloads)

    def play(self, payload: bytes) -> None:
        """Queues one packet; when there are too many the oldest goes, and its marks move on."""
        self._payloads.append(payload)
        self._marks.append([])
        if len(self._payloads) > MAX_QUEUED_PACKETS:
            self._payloads.popleft()
            orphans = self._marks.popleft()
            self._marks[0][:0] = orphans
            self.packets_dropped += 1

    def mark(self, name: str) -> bool:
        """Queues a mark behind the packets; True when it is reached already, none being there."""
        if not self._marks:
            return True
        self._marks[-1].append(name)
        return False

    def take(self) -> Due | None:
        """The next packet with its marks; None when nothing waits."""
        if not self._payloads:
            return None
        return Due(self._payloads.popleft(), tuple(self._marks.popleft()))

    def clear(self) -> list[str]:
        """Throws everything away; returns the marks, which count as reached."""
        names = [name for marks in self._marks for name in marks]
        self._payloads.clear()
        self._marks.clear()
        return names


class Schedule:
    """When each packet is due.

    Args:
        now: the first one is due at once.
    """

    def __init__(self, now: float) -> None:
        self._began = now
        self._next = 0  # index of the packet that is due next

    def due_at(self) -> float:
        """When the next packet is due."""
        return self._began + self._next * PACKET_S

    def take(self, now: float) -> int:
        """Moves on to the next packet; returns the index of this one on the media's time line."""
        late_s = now - self.due_at()
        if late_s > MAX_LATE_S:
            self._next += int(late_s / PACKET_S)
        index, self._next = self._next, self._next + 1
        return index
