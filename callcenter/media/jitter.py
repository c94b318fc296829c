"""The jitter buffer: packets in any order and rhythm in, one after the other out.

Whoever plays pulls a packet when it needs one. By how much the latest packets of the last seconds
came before they were pulled is the slack; it says how much later they may come before something
breaks, whatever the cause: jitter, or two clocks that drift apart.

    slack < 2 ms                      grow by one packet's time; fast, when packets come too late
          >= one packet's time + 5 ms shrink by one; fast, when it would be two

The advice is carried out by stretching audio (`received`), so nothing is lost by it. More than the
limit waits only after a stall of the reader or out of a burst: what the reader does not make up for
at once is cut. Knows nothing of RTP's header or codecs.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass

from callcenter.media.lateness import Lateness

START_DELAY_S = 0.04
MAX_DELAY_S = 0.12
SPARE_S = 0.002
LEFT_S = 0.005  # slack that a shorter delay must leave
SETTLED_S = 1.0  # known before anything is taken away
CROWDED_PULLS = 10  # a reader that was late for 0.2 s pulls so often at once
MAX_PACKETS = 50
MAX_CONCEALED = 5  # then the far end has fallen silent, and the buffer starts anew
MAX_JUMP = 1_000  # a larger step of the sequence number is another stream
MISSED_KEPT = 16


class Gap(enum.Enum):
    """What is pulled when there is no packet."""

    LOST = "lost"  # conceal one packet's time
    QUIET = "quiet"  # the far end sent something else meanwhile: silence, and no loss
    EMPTY = "empty"  # nothing to play


class Advice(enum.Enum):
    """How the delay should change."""

    KEEP = "keep"
    GROW = "grow"
    GROW_FAST = "grow fast"
    SHRINK = "shrink"
    SHRINK_FAST = "shrink fast"


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

    def __init__(self, counters: JitterCounters | None = None) -> None:
        self.packet_s = 0.02  # until the first packet was decoded
        self.counters = counters or JitterCounters()
        self._packets: dict[int, bytes | None] = {}  # by number
        self._newest: int | None = None  # extended sequence number
        self._next: int | None = None  # the one to be pulled; None while not playing
        self._first_at = 0.0
        self._needed_s = START_DELAY_S  # delay at the next start
        self._standing_in = 0  # concealments at the end of the stream, for packets to come
        self._quiet = False
        self._missed: deque[int] = deque(maxlen=MISSED_KEPT)
        self._crowded = 0  # pulls in a row that found more than the limit
        self._lateness = Lateness()

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
            self._packets[number] = payload
            self._note(number, now)
            if len(self._packets) > MAX_PACKETS:
                self._cut()

    def pull(self, now: float) -> bytes | Gap:
        """Returns the next packet's payload, or why there is none."""
        if self._next is None and not self._start(now):
            return Gap.EMPTY
        self._skip_stood_in()
        self._cut_what_stays()
        while self._next in self._packets:
            payload = self._take(self._next)
            self._quiet = payload is None
            if payload is not None:
                return payload
        return self._missing()

    def advice(self, pull_at: float) -> Advice:
        """How the delay should change, if the next packet is pulled at that time."""
        latest_s = self._lateness.latest_s()
        if latest_s is None or self._next is None:
            return Advice.KEEP
        slack_s = pull_at - self._next * self.packet_s - latest_s
        if slack_s < SPARE_S:
            if slack_s + self._lateness.spread_s() + self.packet_s > MAX_DELAY_S:
                return Advice.KEEP
            return Advice.GROW if slack_s >= 0.0 else Advice.GROW_FAST
        if slack_s < self.packet_s + LEFT_S or self._lateness.known_s < SETTLED_S:
            return Advice.KEEP
        return Advice.SHRINK if slack_s < 2 * self.packet_s + LEFT_S else Advice.SHRINK_FAST

    def packets_last(self, packet_s: float) -> None:
        """The reader has seen how much audio a packet holds."""
        if packet_s != self.packet_s:
            self.packet_s = packet_s
            self._lateness.forget()

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
        if number not in self._missed:
            self.counters.duplicates += 1
            return
        self._missed.remove(number)
        self.counters.late += 1
        self._note(number, now)

    def _note(self, number: int, now: float) -> None:
        self._lateness.note(now - number * self.packet_s, now)

    # --- out --------------------------------------------------------------------------------------

    def _start(self, now: float) -> bool:
        if not self._packets:
            return False
        delay_s = self._needed_s
        if now - self._first_at < delay_s and self.waiting_s < delay_s + self.packet_s:
            return False
        self._keep_newest(delay_s)
        return True

    def _keep_newest(self, delay_s: float) -> None:
        """Goes on with the packet that makes the delay so long; what is older goes."""
        keep = sorted(self._packets)[-max(1, round(delay_s / self.packet_s) + 1) :]
        self.counters.dropped += len(self._packets) - len(keep)
        self._packets = {number: self._packets[number] for number in keep}
        self._next, self._standing_in = keep[0], 0

    def _cut_what_stays(self) -> None:
        crowded = self.waiting_s > MAX_DELAY_S + self.packet_s
        self._crowded = self._crowded + 1 if crowded else 0
        if self._crowded > CROWDED_PULLS:
            self._cut()

    def _cut(self) -> None:
        self._forget_lateness()
        self._keep_newest(self._needed_s)
        self._crowded = 0

    def _take(self, number: int) -> bytes | None:
        self._next, self._standing_in = number + 1, 0
        return self._packets.pop(number)

    def _skip_stood_in(self) -> None:
        """Packets for which a concealment stood in are not played as well, while others wait."""
        if not self._standing_in or not self._packets or self._next is None:
            return
        # One that was stood in for and is still away was lost; one that is here was late.
        skip = min(self._standing_in, max(self._packets) - self._next)
        for number in range(self._next, self._next + skip):
            if number in self._packets:
                del self._packets[number]
                self.counters.late += 1
        self._next += skip
        self._standing_in = 0

    def _missing(self) -> Gap:
        if self._packets and self._next is not None:
            self._missed.append(self._next)
            self._next += 1
            return self._concealed()
        self._standing_in += 1
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
        self._forget_lateness()
        self.counters.restarts += 1

    def _restart(self) -> None:
        self._stop()
        self._packets.clear()
        self._needed_s = START_DELAY_S

    def _forget_lateness(self) -> None:
        """The numbers no longer follow the clock as they did; how far they spread is kept."""
        if self._lateness.known_s >= SETTLED_S:
            spread_s = self._lateness.spread_s() + 2 * SPARE_S
            self._needed_s = min(max(spread_s, START_DELAY_S), MAX_DELAY_S)
        self._lateness.forget()
