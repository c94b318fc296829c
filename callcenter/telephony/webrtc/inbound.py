"""Browser -> call: RTP packets in, PCM at 24 kHz out, with short holes concealed.

A hole of a few packets is filled, so that the frames behind it keep their place in time; a longer
one is left open, since the worker's clock has filled it with silence already.
Knows nothing of sockets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from callcenter.errors import ProtocolError
from callcenter.media.units import Pcm16
from callcenter.telephony.webrtc.opus import (
    PACKET_SAMPLES,
    RTP_RATE_HZ,
    RTP_TICKS_PER_PACKET,
    OpusDecoder,
)
from callcenter.telephony.webrtc.order import Hole, Packet, PacketOrder

CONCEALED_PACKETS = 3  # 60 ms: beyond that a repetition sounds like a robot
JOIN_SAMPLES = 120  # 5 ms from the concealment into the next good packet

_TIMESTAMP_MODULUS = 1 << 32


@dataclass(frozen=True, slots=True)
class Heard:
    """A piece of the caller's audio.

    Attributes:
        samples: int16 [n], 24 kHz.
        timestamp_s: media time of the first sample.
    """

    samples: Pcm16
    timestamp_s: float


@dataclass(slots=True)
class InboundCounters:
    """What was done about trouble, in packets."""

    concealed: int = 0
    undecodable: int = 0


class Inbound:
    """One browser's audio."""

    def __init__(self) -> None:
        self.order = PacketOrder()
        self.counters = InboundCounters()
        self._decoder = OpusDecoder()
        self._last = np.zeros(PACKET_SAMPLES, np.int16)
        self._gain = 1.0  # of the next concealment; 1.0 after good audio
        self._clock = _MediaClock()

    def push(self, sequence: int, timestamp: int, payload: bytes, now: float) -> None:
        """Takes one RTP packet, in any order."""
        self.order.push(sequence, timestamp, payload, now)

    def pop(self, now: float) -> list[Heard]:
        """All audio whose turn has come."""
        heard = []
        while (item := self.order.pop(now)) is not None:
            if isinstance(item, Hole):
                heard += self._conceal(item.packets)
            else:
                heard += self._decode(item)
        return heard

    def next_timer(self) -> float | None:
        """When `pop` has something to say although no packet came."""
        return self.order.next_timer()

    def _decode(self, packet: Packet) -> list[Heard]:
        try:
            samples = self._decoder.decode(packet.payload)
        except ProtocolError:  # one broken packet; the stream goes on behind it
            self.counters.undecodable += 1
            return self._conceal(1)
        if not samples.size:
            return []
        self._clock.set(packet.timestamp)
        if self._gain < 1.0:
            samples = self._join(samples)
        self._last, self._gain = samples, 1.0
        return [self._heard(samples)]

    def _conceal(self, packets: int) -> list[Heard]:
        filled = min(packets, CONCEALED_PACKETS)
        self.counters.concealed += filled
        heard = [self._heard(self._extend()) for _ in range(filled)]
        self._clock.skip(packets - filled)
        return heard

    def _extend(self) -> Pcm16:
        """The last packet again, backwards, fading: no step at the seam, silence after 60 ms."""
        after = max(0.0, self._gain - 1.0 / CONCEALED_PACKETS)
        fade = np.linspace(self._gain, after, self._last.size)
        mirrored = self._last[::-1]
        self._last, self._gain = mirrored, after
        return (mirrored * fade).astype(np.int16)

    def _join(self, samples: Pcm16) -> Pcm16:
        joined = samples.copy()
        count = min(JOIN_SAMPLES, samples.size, self._last.size)
        rise = np.linspace(0.0, 1.0, count)
        tail = self._last[::-1][:count] * self._gain
        joined[:count] = samples[:count] * rise + tail * (1.0 - rise)
        return joined

    def _heard(self, samples: Pcm16) -> Heard:
        return Heard(samples, self._clock.advance(samples.size))


class _MediaClock:
    """RTP timestamps without their wrap, as seconds since the first packet."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._ticks = 0

    def set(self, timestamp: int) -> None:
        """A packet begins here."""
        if self._last is None:
            self._last = timestamp
        self._ticks += (timestamp - self._last + (1 << 31)) % _TIMESTAMP_MODULUS - (1 << 31)
        self._last = timestamp

    def advance(self, samples: int) -> float:
        """So many samples at 24 kHz begin now; returns their time."""
        began_s = self._ticks / RTP_RATE_HZ
        self._move(2 * samples)
        return began_s

    def skip(self, packets: int) -> None:
        """So many packets are left out."""
        self._move(packets * RTP_TICKS_PER_PACKET)

    def _move(self, ticks: int) -> None:
        self._ticks += ticks
        if self._last is not None:
            self._last = (self._last + ticks) % _TIMESTAMP_MODULUS
