"""RTP packets and a receiver's statistics (RFC 3550 5.1, A.1, A.3, A.8).

Knows no socket, no encryption and no codec.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from callcenter.errors import ProtocolError
from callcenter.media.jitter import step

HEADER_BYTES = 12
MAX_PACKET_BYTES = 2_048
_HEADER = struct.Struct("!BBHII")


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet; extensions and contributing sources are left out."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False

    def encode(self) -> bytes:
        """The packet as it goes over the wire."""
        second = self.payload_type | (0x80 if self.marker else 0)
        header = _HEADER.pack(0x80, second, self.sequence, self.timestamp, self.ssrc)
        return header + self.payload


def parse(data: bytes) -> RtpPacket:
    """Reads a packet.

    Raises:
        ProtocolError: it is none.
    """
    if not HEADER_BYTES <= len(data) <= MAX_PACKET_BYTES:
        raise ProtocolError(f"RTP of {len(data)} bytes")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != 2:
        raise ProtocolError(f"RTP version {first >> 6}")
    start, end = HEADER_BYTES + 4 * (first & 0x0F), len(data)
    if first & 0x10:
        if end < start + 4:
            raise ProtocolError("RTP extension is cut off")
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    if first & 0x20:
        end -= data[-1]
        if not data[-1]:
            raise ProtocolError("RTP padding of no bytes")
    if start > end:
        raise ProtocolError("RTP header is longer than the packet")
    return RtpPacket(second & 0x7F, sequence, timestamp, ssrc, data[start:end], bool(second & 0x80))


def is_rtcp(data: bytes) -> bool:
    """Tells RTCP from RTP on one port (RFC 5761 4)."""
    return len(data) >= 2 and 192 <= data[1] <= 223


@dataclass(slots=True)
class ReceiverStats:
    """What a receiver report tells about one source.

    Attributes:
        received: packets.
        jitter: smoothed, in units of the RTP clock.
    """

    clock_hz: int
    received: int = 0
    jitter: float = 0.0
    _base: int | None = None
    _highest: int = 0
    _transit: float | None = None
    _expected_before: int = 0
    _received_before: int = 0

    def note(self, packet: RtpPacket, now: float) -> None:
        """Counts a packet that came at `now`."""
        if self._base is None:
            self._base = self._highest = packet.sequence
        else:
            ahead = step(packet.sequence, self._highest & 0xFFFF)
            self._highest = max(self._highest, self._highest + ahead)
        self.received += 1
        transit = now * self.clock_hz - packet.timestamp
        if self._transit is not None:
            moved = abs(transit - self._transit)
            if moved < self.clock_hz:  # a jump of the timestamp is no jitter
                self.jitter += (moved - self.jitter) / 16
        self._transit = transit

    @property
    def highest_sequence(self) -> int:
        """Extended highest sequence number, for reports."""
        return self._highest & 0xFFFFFFFF

    @property
    def expected(self) -> int:
        """Packets that the source has sent, by its numbers."""
        return 0 if self._base is None else self._highest - self._base + 1

    @property
    def lost(self) -> int:
        """Packets lost; copies make it smaller."""
        return self.expected - self.received

    @property
    def jitter_s(self) -> float:
        """Jitter in seconds."""
        return self.jitter / self.clock_hz

    def fraction_lost(self) -> float:
        """Share of packets lost since the last call of this, 0 to 1."""
        expected = self.expected - self._expected_before
        received = self.received - self._received_before
        self._expected_before, self._received_before = self.expected, self.received
        return max(0.0, (expected - received) / expected) if expected > 0 else 0.0
