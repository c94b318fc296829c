"""Cuts a stream of samples into model frames: 4 packets <-> 1 frame.

Knows only lengths: no clock, no encoding. A frame waits until it is full, however long that takes.
"""

from __future__ import annotations

import numpy as np

from callcenter.media.units import FRAME_SAMPLES, Pcm16


class Framer:
    """Collects chunks of any length and gives back blocks of one length."""

    def __init__(self, block_samples: int = FRAME_SAMPLES) -> None:
        self._block_samples = block_samples
        self._pending: list[Pcm16] = []
        self._pending_samples = 0

    def push(self, samples: Pcm16) -> None:
        """Appends int16 [n]."""
        self._pending.append(samples)
        self._pending_samples += samples.size

    def pop(self) -> Pcm16 | None:
        """Returns the next block, int16 [block_samples], or None while it isn't full."""
        if self._pending_samples < self._block_samples:
            return None
        stream = np.concatenate(self._pending)
        self._pending = [stream[self._block_samples :]]
        self._pending_samples -= self._block_samples
        return stream[: self._block_samples]


def split(samples: Pcm16, block_samples: int) -> list[Pcm16]:
    """Cuts int16 [n] into blocks; the last one may be shorter."""
    return [samples[i : i + block_samples] for i in range(0, samples.size, block_samples)]
