"""Audio that comes in packets over a network, made continuous: 20 ms at every tick of our clock.

    packets -> JitterBuffer -> decode or conceal -> stretch -> 20 ms blocks

The delay grows or shrinks by taking a few samples less or more out of the queue than a block has;
the block is interpolated: by 0.6 %, which nobody hears, and faster when the delay is far from what
it should be. Knows nothing of sockets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from callcenter.media.jitter import Advice, Gap, JitterBuffer, JitterCounters
from callcenter.media.plc import Concealer
from callcenter.media.units import PACKET_S, Pcm16

STRETCH = {  # share of a block that is taken less (growing) or more (shrinking)
    Advice.GROW: -1 / 160,
    Advice.GROW_FAST: -1 / 20,
    Advice.SHRINK: 1 / 160,
    Advice.SHRINK_FAST: 1 / 40,
}


class ReceivedAudio:
    """One stream.

    Args:
        rate_hz: of the decoded samples.
        decode: payload -> int16 [n]; raises nothing for odd lengths.
        counters: of the same call's earlier audio, to be counted on.
    """

    def __init__(
        self,
        rate_hz: int,
        decode: Callable[[bytes], Pcm16],
        counters: JitterCounters | None = None,
    ) -> None:
        self.jitter = JitterBuffer(counters)
        self._decode = decode
        self._block = round(rate_hz * PACKET_S)
        self._rate_hz = rate_hz
        self._packet_samples = self._block
        self._conceal = Concealer(rate_hz)
        self._queue: Pcm16 = np.zeros(0, np.int16)
        self._stretch = 0  # samples less (growing) or more (shrinking) than a block, a read
        self._left = 0  # samples of a change that is under way
        self._sign = 0
        self._next_read_at = math.inf

    def push(self, sequence: int, payload: bytes | None, now: float) -> None:
        """Takes a packet; None as payload for one without audio."""
        # What comes while a read is overdue was in time for it: the lateness is ours.
        self.jitter.push(sequence, payload, min(now, self._next_read_at))

    def read(self, now: float) -> Pcm16 | None:
        """The next 20 ms, int16 [rate * 0.02]; None while the far end is silent.

        Args:
            now: when these 20 ms were due; after a stall, reads that make up for it are 20 ms apart
                by this, too.
        """
        self._next_read_at = now + PACKET_S
        self._consider(now)
        taken = self._block + min(self._stretch, self._left) * self._sign
        while self._queue.size < taken:
            if self._sign > 0 and self._queue.size >= self._block and not self.jitter.has_next():
                taken = self._block  # the packet that would allow it is not here
                break
            more = self._next_packet(now)
            if more is None:
                return self._last_of_queue()
            self._queue = np.concatenate((self._queue, more))
        piece, self._queue = self._queue[:taken], self._queue[taken:]
        self._left -= abs(taken - self._block)
        if self._left <= 0:
            self._sign = self._stretch = self._left = 0
        return piece if taken == self._block else _interpolated(piece, self._block)

    @property
    def delay_s(self) -> float:
        """Audio that waits: in packets and in the queue."""
        return self.jitter.waiting_s + self._queue.size / self._rate_hz

    def _consider(self, now: float) -> None:
        """Begins a change of the delay by one packet's time."""
        if self._left:
            return
        advice = self.jitter.advice(self._pull_at(now))
        share = STRETCH.get(advice)
        if share is None or (share > 0.0 and not self.jitter.has_next()):
            return
        self._sign = 1 if share > 0.0 else -1
        self._stretch = max(1, round(self._block * abs(share)))
        self._left = self._packet_samples

    def _pull_at(self, now: float) -> float:
        """When the next packet is needed, on the timeline of the audio that waits.

        Packets that are no multiple of a block are pulled up to so much before their audio is due.
        """
        early = self._block - math.gcd(self._block, self._packet_samples)
        return now + (self._queue.size - early) / self._rate_hz

    def _next_packet(self, now: float) -> Pcm16 | None:
        pulled = self.jitter.pull(now)
        if isinstance(pulled, bytes):
            return self._decoded(pulled)
        if pulled is Gap.LOST:
            return self._conceal.conceal(self._packet_samples)
        if pulled is Gap.QUIET:
            return self._conceal.good(np.zeros(self._packet_samples, np.int16))
        return None

    def _decoded(self, payload: bytes) -> Pcm16:
        samples = self._decode(payload)
        if not samples.size:  # broken: as if it had never come
            return self._conceal.conceal(self._packet_samples)
        self._packet_samples = samples.size
        self.jitter.packets_last(samples.size / self._rate_hz)
        return self._conceal.good(samples)

    def _last_of_queue(self) -> Pcm16 | None:
        """The far end has stopped: what is left goes out, filled up with silence."""
        left, self._queue = self._queue[: self._block], self._queue[:0]
        self._sign = self._stretch = self._left = 0
        if not left.size:
            return None
        return np.concatenate((left, np.zeros(self._block - left.size, np.int16)))


def _interpolated(samples: Pcm16, size: int) -> Pcm16:
    """The same sound in int16 [size]."""
    made = np.interp(_places(samples.size, size), _places(samples.size, samples.size), samples)
    return np.rint(made).astype(np.int16)


@cache
def _places(samples: int, size: int) -> NDArray[np.float64]:
    """Where in `samples` the `size` new ones lie; few pairs ever occur."""
    return np.linspace(0.0, samples - 1, size)
