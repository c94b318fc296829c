"""Caller -> model: wire packets of any encoding in, frames of 1,920 samples at 24 kHz out.

The far side (a worker's inbox) takes one frame every 80 ms and feeds silence when there is none.
So audio that comes late has already been replaced by silence, and handing it on would only make
every later frame wait behind it. Three rules keep the latency where it was:

* a gap is not filled here: the worker's clock has filled it already;
* a burst passes while the worker's inbox can hold it; beyond that the oldest frames go;
* what a burst left waiting in the inbox is won back in the caller's next pauses, by leaving out
  silent frames.

Where the worker tells how long frames wait for its tick, up to three silent packets are left out
besides, so that frames are complete just before the ticks (`phase`).

Knows nothing of sockets or sequence numbers: packets come in order (a WebSocket, or behind a
jitter buffer).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from callcenter.media.backlog import Backlog
from callcenter.media.codec import check_rate, codec
from callcenter.media.framer import Framer
from callcenter.media.phase import TickPhase
from callcenter.media.resample import resampler
from callcenter.media.units import FRAME_S, SAMPLE_RATE_HZ, Pcm16, is_silent

INBOX_LIMIT_S = 3 * FRAME_S  # what a worker's inbox holds
HEAL_ABOVE_S = FRAME_S  # one frame waiting is the normal jitter of two clocks


@dataclass(slots=True)
class UplinkCounters:
    """What happened to the caller's audio, in packets and frames."""

    packets: int = 0
    frames: int = 0
    frames_dropped_overrun: int = 0  # audio faster than real time, or a late burst
    frames_dropped_silent: int = 0  # left out to win back latency
    packets_left_out: int = 0  # silence, to move the frame boundaries towards the ticks
    timestamp_gap_s: float = 0.0  # audio that the carrier never delivered


class Uplink:
    """One call's audio towards the model."""

    def __init__(self, encoding: str, rate_hz: int) -> None:
        """Chooses decoder and resampler.

        Raises:
            ProtocolError: the encoding or the rate is not supported.
        """
        self._codec = codec(encoding)
        self._rate_hz = check_rate(rate_hz)
        self._resampler = resampler(rate_hz, SAMPLE_RATE_HZ)
        self._framer = Framer(round(rate_hz * FRAME_S))  # whole frames are resampled: fewer calls
        self._waiting: deque[Pcm16] = deque()
        self._inbox = Backlog()
        self._phase = TickPhase()
        self._expected_timestamp_s: float | None = None
        self.counters = UplinkCounters()

    def push(self, payload: bytes, now: float, timestamp_s: float | None = None) -> Pcm16:
        """Takes one wire packet.

        Args:
            payload: encoded audio; empty is allowed, a half sample at the end is left out.
            now: when it came, seconds.
            timestamp_s: the carrier's media time of its first sample, where the carrier tells.

        Returns:
            The packet decoded, int16 [n] at the wire's rate.
        """
        samples = self._codec.decode(payload)
        self.counters.packets += 1
        self._note_gap(timestamp_s, samples.size / self._rate_hz)
        if is_silent(samples) and self._phase.leave_out():
            self.counters.packets_left_out += 1
            return samples
        self._framer.push(samples)
        while (spoken := self._framer.pop()) is not None:
            self._waiting.append(self._resampler.process(spoken))
        self._drop_oldest(now)
        return samples

    def waited(self, waited_s: float) -> None:
        """The worker says how long one of our frames lay ready before its tick took it.

        Frame boundaries then move to just before the ticks, in the caller's next pause; a worker
        that tells nothing costs up to one frame of latency.
        """
        self._phase.told(waited_s)

    def pop(self, now: float) -> Pcm16 | None:
        """Returns the next frame, int16 [1920], or None when none is complete or due."""
        while self._waiting:
            level_s = self._inbox.level_s(now)
            if level_s > HEAL_ABOVE_S and is_silent(self._waiting[0]):
                self._waiting.popleft()
                self.counters.frames_dropped_silent += 1
            elif level_s + FRAME_S <= INBOX_LIMIT_S:
                self._inbox.add(FRAME_S, now)
                self.counters.frames += 1
                return self._waiting.popleft()
            else:
                return None
        return None

    def _drop_oldest(self, now: float) -> None:
        room = int((INBOX_LIMIT_S - self._inbox.level_s(now)) / FRAME_S + 1e-6)
        while len(self._waiting) > max(1, room):
            self._waiting.popleft()
            self.counters.frames_dropped_overrun += 1

    def _note_gap(self, timestamp_s: float | None, duration_s: float) -> None:
        if timestamp_s is None:
            return
        if self._expected_timestamp_s is not None:
            self.counters.timestamp_gap_s += max(0.0, timestamp_s - self._expected_timestamp_s)
        self._expected_timestamp_s = timestamp_s + duration_s
