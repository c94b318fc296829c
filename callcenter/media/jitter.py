"""The jitter buffer: packets in any order and rhythm in, one after the other out.

Whoever plays pulls a packet when it needs one. How long a packet lay here before it was pulled is
its slack; the smallest slack of the last seconds says how much later packets may come before
something breaks, whatever the cause: jitter, or two clocks that drift apart.

    smallest slack   < 2 ms   "grow":   one packet's time more delay
                    >= 25 ms  "shrink": one less; the next packet is always here already
    too late, twice           "hurry":  grow at once

The advice is carried out by stretching audio (`received`), so nothing is lost by it. A burst after
a stall is cut at the limit: the delay never ratchets up. Knows nothing of RTP's header or codecs.
"""

from __future__ import annotations

import enum
import heapq
from collections import OrderedDict, deque
from dataclasses import dataclass

START_DELAY_S = 0.04
MIN_DELAY_S = 0.02
MAX_DELAY_S = 0.12
SPARE_S = 0.002
PLENTY_S = 0.025
WINDOW_PACKETS = 250  # 5 s
SETTLED_PACKETS = 100  # 2 s between two changes without need
MAX_CONCEALED = 5  # then the far end has fallen silent, and the buffer starts anew
MAX_JUMP = 1_000  # a larger step of the sequence number is another stream


class Gap(enum.Enum):
    """What is pulled when there is no packet."""

    LOST = "lost"  # conceal one packet's time
    QUIET = "quiet"  # the far end sent something else meanwhile: silence, and no loss
    EMPTY = "empty"  # nothing to play


class Advice(enum.Enum):
    """How the delay should change."""

    KEEP = "keep"
    GROW = "grow"
    HURRY = "hurry"
    SHRINK = "shrink"


@dataclass(slots=True)
class JitterCounters:
    """What happened to the packets."""

    received: int = 0
    duplicates: int = 0
    late: int = 0  # came after their time
    concealed: int = 0
    dropped: int = 0  # a burst beyond the limit
    restarts: int = 0


def step(later: int, earlier: int) -> int:
    """How far one 16-bit sequence number lies behind another, -32768 to 32767 (RFC 1982)."""
    return ((later - earlier + 0x8000) & 0xFFFF) - 0x8000


class JitterBuffer:
    """One stream's buffer."""

    def __init__(self, packet_s: float = 0.02) -> None:
        self.packet_s = packet_s  # kept up to date by the reader: what one packet lasts
        self.counters = JitterCounters()
        self._packets: dict[int, tuple[bytes | None, float]] = {}  # number -> payload, arrival
        self._newest: int | None = None  # extended sequence number
        self._next: int | None = None  # the one to be pulled; None while not playing
        self._first_at = 0.0
        self._standing_in = 0  # concealments at the end of the stream, for packets to come
        self._quiet = False
        self._missed: OrderedDict[int, float] = OrderedDict()  # number -> when it was missing
        self._slacks: deque[float] = deque(maxlen=WINDOW_PACKETS)  # at a delay of zero changes
        self._changed_s = 0.0  # sum of all changes of the delay
        self._since_change = 0
        self._pulled = 0
        self._advice = Advice.KEEP

    def push(self, sequence: int, payload: bytes | None, now: float) -> None:
        """Takes a packet.

        Args:
            sequence: 16-bit sequence number.
            payload: audio; None for a packet that holds none, such as a key press.
            now: when it came.
        """
        number = self._extended(sequence)
        self.counters.received += payload is not None
        if number in self._packets:
            self.counters.duplicates += 1
        elif self._next is not None and number < self._next:
            self._too_late(number, now)
        else:
            if not self._packets and self._next is None:
                self._first_at = now
            self._packets[number] = (payload, now)
            self._cut()

    def pull(self, now: float) -> bytes | Gap:
        """Returns the next packet's payload, or why there is none."""
        if self._next is None and not self._start(now):
            return Gap.EMPTY
        self._skip_stood_in(now)
        while (found := self._take()) is not None:
            payload, came_at = found
            if payload is None:
                self._quiet = True
                continue
            self._quiet = False
            self._note_slack(now - came_at)
            return payload
        return self._missing(now, self._next) if self._next is not None else Gap.EMPTY

    def advice(self) -> Advice:
        """How the delay should change now."""
        return self._advice

    def changed(self, by_s: float) -> None:
        """The reader has changed the delay by stretching; negative for a shorter one."""
        self._changed_s += by_s
        self._since_change = 0
        self._advice = Advice.KEEP

    @property
    def waiting_s(self) -> float:
        """Audio that waits here."""
        return len(self._packets) * self.packet_s

    def has_next(self) -> bool:
        """Whether the next packet is here."""
        return self._next in self._packets

    # --- in ---------------------------------------------------------------------------------------

    def _extended(self, sequence: int) -> int:
        if self._newest is None:
            self._newest = 0x10000 + sequence
            return self._newest
        ahead = step(sequence, self._newest & 0xFFFF)
        if abs(ahead) > MAX_JUMP:
            self._restart()
            self._newest = 0x10000 + sequence
            return self._newest
        number = self._newest + ahead
        self._newest = max(self._newest, number)
        return number

    def _too_late(self, number: int, now: float) -> None:
        missed_at = self._missed.pop(number, None)
        if missed_at is None:
            self.counters.duplicates += 1
            return
        self.counters.late += 1
        self._note_slack(missed_at - now)

    def _cut(self) -> None:
        limit = round(MAX_DELAY_S / self.packet_s) + 1
        if self._next is None or len(self._packets) <= limit:
            return
        keep = sorted(self._packets)[-max(1, round(START_DELAY_S / self.packet_s)) :]
        self.counters.dropped += len(self._packets) - len(keep)
        self._changed_s -= (keep[0] - self._next) * self.packet_s
        self._packets = {number: self._packets[number] for number in keep}
        self._next, self._standing_in = keep[0], 0

    # --- out --------------------------------------------------------------------------------------

    def _start(self, now: float) -> bool:
        delay_s = self._start_delay_s()
        if not self._packets:
            return False
        if now - self._first_at < delay_s and self.waiting_s < delay_s + self.packet_s:
            return False
        keep = sorted(self._packets)[-max(1, round(delay_s / self.packet_s) + 1) :]
        self.counters.dropped += len(self._packets) - len(keep)
        self._packets = {number: self._packets[number] for number in keep}
        self._next = keep[0]
        return True

    def _start_delay_s(self) -> float:
        """What the last seconds needed, or the usual."""
        if len(self._slacks) < SETTLED_PACKETS:
            return START_DELAY_S
        spread_s = max(self._slacks) - min(self._slacks)
        return min(max(spread_s + 2 * SPARE_S, START_DELAY_S), MAX_DELAY_S)

    def _take(self) -> tuple[bytes | None, float] | None:
        if self._next is None:
            return None
        found = self._packets.pop(self._next, None)
        if found is not None:
            self._next += 1
            self._standing_in = 0
        return found

    def _skip_stood_in(self, now: float) -> None:
        """Packets for which a concealment stood in are not played as well, while others wait."""
        if not self._standing_in or not self._packets or self._next is None:
            return
        # One that was stood in for and is still away was lost; one that is here was late.
        skip = min(self._standing_in, max(self._packets) - self._next)
        for place in range(skip):
            late = self._packets.pop(self._next + place, None)
            if late is not None:
                self.counters.late += 1
                self._note_slack(now - (skip - place) * self.packet_s - late[1])
        self._next += skip
        self._changed_s -= skip * self.packet_s
        self._standing_in = 0

    def _missing(self, now: float, number: int) -> Gap:
        if self._packets:
            self._missed[number] = now
            while len(self._missed) > 16:
                self._missed.popitem(last=False)
            self._next = number + 1
            return self._concealed()
        self._standing_in += 1
        self._changed_s += self.packet_s
        if self._standing_in > MAX_CONCEALED:
            self._stop()
            return Gap.EMPTY
        return self._concealed()

    def _concealed(self) -> Gap:
        if self._quiet:
            return Gap.QUIET
        self.counters.concealed += 1
        return Gap.LOST

    def _stop(self) -> None:
        self._next = None
        self._standing_in = 0
        self._quiet = False
        self._missed.clear()
        self.counters.restarts += 1

    def _restart(self) -> None:
        self._stop()
        self._packets.clear()
        self._slacks.clear()

    # --- how much delay ---------------------------------------------------------------------------

    def _note_slack(self, slack_s: float) -> None:
        self._slacks.append(slack_s - self._changed_s)
        self._since_change += 1
        self._pulled += 1
        if slack_s < 0.0 or self._pulled % 10 == 0:
            self._advice = self._judge()

    def _judge(self) -> Advice:
        if len(self._slacks) < 2:
            return Advice.KEEP
        # The second smallest: one straggler in five seconds is concealed, not waited for.
        smallest_s = heapq.nsmallest(2, self._slacks)[1] + self._changed_s
        if smallest_s < 0.0:
            return Advice.HURRY if self._may_grow() else Advice.KEEP
        if self._since_change < SETTLED_PACKETS:
            return Advice.KEEP
        if smallest_s < SPARE_S:
            return Advice.GROW if self._may_grow() else Advice.KEEP
        shrinks = smallest_s >= self.packet_s + PLENTY_S - MIN_DELAY_S
        return Advice.SHRINK if shrinks else Advice.KEEP

    def _may_grow(self) -> bool:
        return max(self._slacks) + self._changed_s + self.packet_s <= MAX_DELAY_S
