"""Puts RTP packets in order and gives each out as soon as its turn has come.

A packet is held back only behind a hole, and a hole is given up after two newer packets or 40 ms.
So a lost packet costs 20 ms once and leaves no delay behind. What absorbs jitter stands further on:
the worker's inbox.

Knows nothing of codecs, sockets or clocks.
"""

from __future__ import annotations

from dataclasses import dataclass

GIVE_UP_AFTER_PACKETS = 2  # newer ones, so that two packets that swapped places are both heard
GIVE_UP_AFTER_S = 0.04
RESTART_AFTER_PACKETS = 100  # a jump that far, either way, is a new stream (RFC 3550 A.1)

_SEQUENCE_MODULUS = 1 << 16


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet whose turn has come.

    Attributes:
        timestamp: RTP timestamp.
        payload: encoded audio.
    """

    timestamp: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Hole:
    """So many packets in a row are missing and no longer waited for."""

    packets: int


@dataclass(slots=True)
class OrderCounters:
    """What became of the packets."""

    in_order: int = 0
    lost: int = 0
    late: int = 0  # after their hole was given up, or a second time
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class _Waiting:
    packet: Packet
    arrived_at: float


class PacketOrder:
    """One stream's packets."""

    def __init__(self) -> None:
        self._next: int | None = None  # sequence number, extended beyond 16 bits
        self._waiting: dict[int, _Waiting] = {}
        self.counters = OrderCounters()

    def push(self, sequence: int, timestamp: int, payload: bytes, now: float) -> None:
        """Takes one packet as it came from the network.

        Args:
            sequence: its RTP sequence number, 16 bits.
            timestamp: its RTP timestamp.
            payload: encoded audio.
            now: when it came, seconds.
        """
        if self._next is None:
            self._next = sequence
        extended = self._next + signed_distance(self._next, sequence)
        if abs(extended - self._next) > RESTART_AFTER_PACKETS:
            self._waiting.clear()
            self._next = extended
            self.counters.restarts += 1
        if extended < self._next or extended in self._waiting:
            self.counters.late += 1
            return
        self._waiting[extended] = _Waiting(Packet(timestamp, payload), now)

    def pop(self, now: float) -> Packet | Hole | None:
        """The next packet, the hole in its place, or None while it may still come."""
        if self._next is None or not self._waiting:
            return None
        if self._next in self._waiting:
            self.counters.in_order += 1
            self._next += 1
            return self._waiting.pop(self._next - 1).packet
        if len(self._waiting) < GIVE_UP_AFTER_PACKETS and now < self._give_up_at():
            return None
        return self._give_up()

    def next_timer(self) -> float | None:
        """When `pop` gives up the hole that it waits for now; None without one."""
        if not self._waiting or self._next in self._waiting:
            return None
        return self._give_up_at()

    def _give_up_at(self) -> float:
        return min(item.arrived_at for item in self._waiting.values()) + GIVE_UP_AFTER_S

    def _give_up(self) -> Hole:
        oldest = min(self._waiting)
        missing = oldest - (self._next or 0)
        self._next = oldest
        self.counters.lost += missing
        return Hole(missing)


def signed_distance(origin: int, sequence: int) -> int:
    """How far a 16-bit sequence number lies after `origin`, the short way round: -32768..32767."""
    ahead = (sequence - origin) % _SEQUENCE_MODULUS
    return ahead - _SEQUENCE_MODULUS if ahead >= _SEQUENCE_MODULUS // 2 else ahead
