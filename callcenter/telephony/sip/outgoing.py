"""Our side of a call's RTP: what waits to be played becomes a packet a tick; sans-IO.

    samples, marks -> queue -> encode -> RTP
    keys -----------------------------> RTP events, in place of audio

The stream never pauses while the far end listens: with nothing to play it carries silence, which
keeps NATs and the far end's jitter buffer in step. Knows no address, no encryption, and nothing of
what comes.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from callcenter.media.units import PACKET_S, Pcm16
from callcenter.telephony.sip.codecs import make
from callcenter.telephony.sip.dtmf import DigitSender
from callcenter.telephony.sip.media_plan import MediaPlan
from callcenter.telephony.sip.rtcp import SenderStats
from callcenter.telephony.sip.rtp import RtpPacket

MAX_QUEUE_PACKETS = 150  # 3 s: the playout governor keeps it far below


class Outgoing:
    """One call's.

    Args:
        ssrc: random.
        sequence, timestamp: where they begin, random (RFC 3550 5.1).

    Attributes:
        stats: for our reports.
    """

    def __init__(self, ssrc: int, sequence: int, timestamp: int) -> None:
        self.stats = SenderStats(ssrc)
        self._sequence, self._timestamp = sequence, timestamp
        self._codec, self._codec_name = make("pcmu"), "pcmu"
        self._queue: deque[Pcm16 | str] = deque()  # audio at the codec's rate, and marks
        self._played: list[str] = []
        self._pressing: deque[DigitSender] = deque()
        self._press_timestamp = 0
        self._talking = False  # whether the last packet was audio: else the next has the marker

    @property
    def rate_hz(self) -> int:
        """Samples a second of what is to be played."""
        return self._codec.rate_hz

    def agree(self, plan: MediaPlan) -> None:
        """Takes a plan: what waits in another codec's rate, or for one who holds us, goes."""
        if plan.codec.name != self._codec_name:
            self._codec, self._codec_name = make(plan.codec.name), plan.codec.name
            self.clear()
        if plan.on_hold:
            self.clear()

    def play(self, samples: Pcm16) -> None:
        """Queues 20 ms at `rate_hz`; what finds the queue full is not kept."""
        if len(self._queue) < MAX_QUEUE_PACKETS:
            self._queue.append(samples)

    def mark(self, name: str) -> None:
        """Asks for `name` once everything before was sent."""
        self._queue.append(name)
        self._release_marks()

    def clear(self) -> None:
        """Throws away what waits; its marks are reached by that."""
        self._played += [item for item in self._queue if isinstance(item, str)]
        self._queue.clear()

    def press(self, digit: str, clock_hz: int) -> None:
        """Sends a key, behind those before."""
        self._pressing.append(DigitSender(digit, clock_hz))

    def played(self) -> list[str]:
        """Hands over the marks that were reached."""
        self._release_marks()
        played, self._played = self._played, []
        return played

    def tick(self, plan: MediaPlan, *, listened: bool) -> bytes | None:
        """20 ms pass; the packet that goes out, None while nobody listens."""
        packet = self._packet(plan) if listened else None
        if not listened:
            self._talking = False
        self._timestamp = (self._timestamp + plan.codec.clock_hz // 50) & 0xFFFFFFFF
        return packet

    def _packet(self, plan: MediaPlan) -> bytes | None:
        if self._pressing and (event := self._event(plan)) is not None:
            return event
        payload = self._codec.encode(self._next_samples())
        if not payload:  # a codec that fills its look-ahead first
            return None
        first, self._talking = not self._talking, True
        return self._numbered(plan.payload_type, payload, self._timestamp, marker=first)

    def _event(self, plan: MediaPlan) -> bytes | None:
        packet = self._pressing[0].next()
        if packet is None or plan.dtmf_type is None:
            self._pressing.popleft()
            self._talking = False
            return None
        payload, first = packet
        if first:
            self._press_timestamp = self._timestamp
        return self._numbered(plan.dtmf_type, payload, self._press_timestamp, marker=first)

    def _next_samples(self) -> Pcm16:
        self._release_marks()
        samples = self._queue.popleft() if self._queue else None
        if samples is None or isinstance(samples, str):
            return np.zeros(round(self._codec.rate_hz * PACKET_S), np.int16)
        return samples

    def _release_marks(self) -> None:
        while self._queue and isinstance(self._queue[0], str):
            self._played.append(str(self._queue.popleft()))

    def _numbered(self, payload_type: int, payload: bytes, stamp: int, *, marker: bool) -> bytes:
        stats = self.stats
        packet = RtpPacket(payload_type, self._sequence, stamp, stats.ssrc, payload, marker)
        self._sequence = (self._sequence + 1) & 0xFFFF
        stats.packets += 1
        stats.octets += len(payload)
        stats.rtp_timestamp = stamp
        return packet.encode()
