"""Model -> caller: frames of 1,920 samples at 24 kHz in, wire packets and marks out.

The model never stops emitting, so a backlog at the far end would stay for the rest of the call.
The governor wins it back: while the far end holds more than a limit, silent packets are left
out (a listening model emits mostly silence). What no frame of the last second has needed goes the
same way, so that the delay of a jittery start does not stay. Speech is left out only beyond
`HARD_LIMIT_S`.

The other way round: when the far end has run dry, a cushion of silence goes ahead of the next
audio, so that the jitter of an 80 ms clock does not tear holes into speech.

Audio leaves at once, unpaced: the model makes it at real time. Knows nothing of sockets; the far
end's clear command is the carrier leg's to send, `flush` is what it means here.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from callcenter.media.codec import check_rate, codec
from callcenter.media.framer import split
from callcenter.media.playout import Playout
from callcenter.media.resample import resampler
from callcenter.media.units import PACKET_S, SAMPLE_RATE_HZ, Pcm16, is_silent

CUSHION_S = 0.04  # covers the tick's jitter and the network's; it is also added stop latency
TRIM_ABOVE_S = 0.10  # far-end backlog, before a frame is added, at which trimming begins
PACED_CUSHION_S = 0.02  # the tick's jitter alone: a paced leg's queue has no network before it
PACED_TRIM_ABOVE_S = 0.05
HARD_LIMIT_S = 2.0
SPARE_S = 0.025  # beyond the cushion: more than a packet, so that none is missed afterwards
FRAMES_JUDGED = 12  # about 1 s: the least that was left when a frame came is what may go
MARK_EVERY_S = 0.32


@dataclass(frozen=True, slots=True)
class AudioPayload:
    """Encoded audio of one packet, or of several for a leg that takes any length; no header."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """Asks the carrier to tell when everything before it has been played."""

    name: str


Outgoing = AudioPayload | Mark


@dataclass(slots=True)
class DownlinkCounters:
    """What happened to the agent's audio, in frames and packets."""

    frames: int = 0
    packets: int = 0
    packets_cushion: int = 0  # silence sent ahead of audio after the far end had run dry
    packets_dropped_silent: int = 0
    packets_dropped_overrun: int = 0
    marks: int = 0


class Downlink:
    """One call's audio towards the caller."""

    def __init__(
        self, encoding: str, rate_hz: int, *, paced: bool = False, any_length: bool = False
    ) -> None:
        """Chooses encoder and resampler.

        Args:
            encoding: the wire's.
            rate_hz: the wire's.
            paced: the leg keeps the queue and sends from it every 20 ms.
            any_length: the leg takes the packets of a frame in one payload.

        Raises:
            ProtocolError: the encoding or the rate is not supported.
        """
        self._cushion_s = PACED_CUSHION_S if paced else CUSHION_S
        self._trim_above_s = PACED_TRIM_ABOVE_S if paced else TRIM_ABOVE_S
        self._codec = codec(encoding)
        self._any_length = any_length
        self._kept: list[Pcm16] = []  # packets of the frame at hand
        self._packet_samples = round(check_rate(rate_hz) * PACKET_S)
        self._resampler = resampler(SAMPLE_RATE_HZ, rate_hz)
        self._playout = Playout()
        self._ready: list[Outgoing] = []
        self._since_mark_s = 0.0
        self._trimming = False
        self._leasts: deque[float] = deque(maxlen=FRAMES_JUDGED)  # backlog as each frame came
        self.counters = DownlinkCounters()

    def push(self, frame: Pcm16, now: float) -> Pcm16:
        """Takes one model frame, int16 [1920], that arrived at `now`.

        Returns:
            The frame at the wire's rate, int16 [rate * 0.08].
        """
        self.counters.frames += 1
        samples = self._resampler.process(frame)
        if self._playout.backlog_s(now) <= 0.0:
            self._send_cushion(now)
        backlog_s = self._playout.backlog_s(now)
        self._leasts.append(backlog_s)
        for packet in split(samples, self._packet_samples):
            if self._keep(packet, backlog_s):
                self._send(packet, now)
            else:
                backlog_s -= PACKET_S
                self._left_out()
        self._make_ready()
        if self._since_mark_s >= MARK_EVERY_S:
            self._send_mark(now)
        return samples

    def pop(self) -> list[Outgoing]:
        """Returns all that is to be sent, at once and in order, and hands it over."""
        ready, self._ready = self._ready, []
        return ready

    def mark_played(self, name: str, now: float) -> bool:
        """The carrier echoed a mark; False when it tells nothing (unknown, or cleared)."""
        return self._playout.played(name, now)

    def flush(self, now: float) -> None:
        """Throws away what is ready and begins a new generation of marks, along with a clear."""
        self._ready = []
        self._playout.clear(now)
        self._since_mark_s = 0.0
        self._trimming = False
        self._leasts.clear()

    def backlog_s(self, now: float) -> float:
        """Audio that the caller has still to hear, seconds."""
        return self._playout.backlog_s(now)

    def _keep(self, packet: Pcm16, backlog_s: float) -> bool:
        """The governor; `backlog_s` is the far end's without the rest of this frame."""
        if backlog_s > self._trim_above_s:
            self._trimming = True
        elif backlog_s <= self._cushion_s + PACKET_S:
            self._trimming = False
        if backlog_s > HARD_LIMIT_S:
            self.counters.packets_dropped_overrun += 1
            return False
        if (self._trimming or self._spare()) and is_silent(packet):
            self.counters.packets_dropped_silent += 1
            return False
        return True

    def _spare(self) -> bool:
        """Whether every frame of the last second found more than a packet too much."""
        least_s = min(self._leasts) if len(self._leasts) == FRAMES_JUDGED else 0.0
        return least_s > self._cushion_s + SPARE_S

    def _left_out(self) -> None:
        """Later frames find a packet less."""
        self._leasts = deque((least_s - PACKET_S for least_s in self._leasts), FRAMES_JUDGED)

    def _send_cushion(self, now: float) -> None:
        silence = np.zeros(self._packet_samples, np.int16)
        for _ in range(round(self._cushion_s / PACKET_S)):
            self.counters.packets_cushion += 1
            self._send(silence, now)

    def _send(self, packet: Pcm16, now: float) -> None:
        self._kept.append(packet)
        self.counters.packets += 1
        self._playout.sent(PACKET_S, now)
        self._since_mark_s += PACKET_S

    def _make_ready(self) -> None:
        kept, self._kept = self._kept, []
        if kept:
            pieces = [np.concatenate(kept)] if self._any_length else kept
            self._ready += [AudioPayload(self._codec.encode(piece)) for piece in pieces]

    def _send_mark(self, now: float) -> None:
        self._ready.append(Mark(self._playout.mark(now)))
        self.counters.marks += 1
        self._since_mark_s = 0.0
