"""Streaming resampler by a rational factor: a polyphase FIR as one matrix product a block.

For the telephone it is 8 <-> 24 kHz with 121 taps: 2.5 ms of delay each way and exactly
160 <-> 480 samples a packet. Libraries with this quality hold back 70 to 150 ms.

The taps are whole numbers and the arithmetic is float64, so every sum is exact: the result does
not depend on how the stream was cut into chunks, nor on the order in which BLAS adds.
Knows nothing of packets, frames or encodings.
"""

from __future__ import annotations

from functools import cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

from callcenter.media.units import Pcm16

# int16 (2^15) x tap (< 2^20) x 2^14 taps stays under 2^53: exact in float64.
_TAP_SCALE = 1 << 19
_KAISER_BETA = 6.2  # 66 dB in the stop band
_HALF_TAPS_PER_PHASE = 20  # 121 taps at a ratio of 3
_BLOCK_OUTPUTS = 40  # of one row of the product; the fastest size for telephone packets


def kaiser_lowpass(ratio: int) -> NDArray[np.float64]:
    """Linear-phase low-pass with its -6 dB point at 1/ratio of the band, unit gain at 0 Hz.

    Returns:
        float64 [2 * 20 * ratio + 1], symmetric.
    """
    half = _HALF_TAPS_PER_PHASE * ratio
    position = np.arange(-half, half + 1)
    taps = np.sinc(position / ratio) * np.kaiser(2 * half + 1, _KAISER_BETA)
    return np.asarray(taps / taps.sum())


def _groups_a_block(up: int) -> int:
    return max(1, _BLOCK_OUTPUTS // up)


@cache
def _block_matrix(up: int, down: int) -> NDArray[np.float64]:
    """One window of input @ this = the outputs of a block; the window then moves on by a block.

    A column holds the taps that make one output, above and below them zeros. Wide blocks pay: the
    zeros cost a fast product a little, overlapping windows would cost slow copies a lot.

    Returns:
        float64 [window, _groups_a_block(up) * up].
    """
    prototype = np.rint(kaiser_lowpass(max(up, down)) * up * _TAP_SCALE)
    history = (prototype.size - 1) // up  # inputs before the newest that one output can need
    outputs = _groups_a_block(up) * up
    matrix = np.zeros((history + (outputs - 1) * down // up + 1, outputs))
    for output in range(outputs):
        newest, phase = divmod(output * down, up)
        taps = prototype[phase::up]
        matrix[history + newest - taps.size + 1 : history + newest + 1, output] = taps[::-1]
    return matrix / _TAP_SCALE


class Resampler:
    """Changes the rate by up/down; holds the last few inputs between calls."""

    def __init__(self, up: int, down: int) -> None:
        self._up, self._down = up, down
        self._matrix = _block_matrix(up, down)
        self._groups = _groups_a_block(up)  # a group is `up` outputs
        self._hop = self._groups * down  # inputs from one block to the next
        history = self._matrix.shape[0] - 1 - (self._groups * up - 1) * down // up
        self._least = history + (up - 1) * down // up + 1  # inputs that a group needs
        self._pending: NDArray[np.float64] = np.zeros(history)

    def process(self, samples: Pcm16) -> Pcm16:
        """Takes int16 [n] and returns every output that is now complete.

        Args:
            samples: int16 [n], any n.

        Returns:
            int16 [m]; m = n * up / down when that is whole.
        """
        known = self._pending.size + samples.size
        groups = max(0, (known - self._least) // self._down + 1)
        blocks = -(-groups // self._groups)
        # What the last block reaches beyond the known inputs meets zeros, and is cut off.
        stream = np.zeros(max(known, self._matrix.shape[0] + (blocks - 1) * self._hop))
        stream[: self._pending.size] = self._pending
        stream[self._pending.size : known] = samples
        self._pending = stream[groups * self._down : known]
        rounded = np.rint(self._product(stream, blocks)[: groups * self._up])
        return np.minimum(np.maximum(rounded, -32_768), 32_767).astype(np.int16)

    def _product(self, stream: NDArray[np.float64], blocks: int) -> NDArray[np.float64]:
        """The outputs of so many blocks, float64 [blocks * groups * up]."""
        shape = (blocks, self._matrix.shape[0])
        strides = (self._hop * stream.itemsize, stream.itemsize)
        windows = np.ndarray(shape, np.float64, stream, strides=strides)
        made = np.ascontiguousarray(windows) @ self._matrix  # BLAS takes no overlapping rows
        return made.reshape(-1)


class Passthrough(Resampler):
    """The rates are equal: what comes in goes out."""

    def __init__(self) -> None:
        super().__init__(1, 1)

    def process(self, samples: Pcm16) -> Pcm16:
        """Returns int16 [n] as it came."""
        return samples


def resampler(from_hz: int, to_hz: int) -> Resampler:
    """The resampler between two rates."""
    if from_hz == to_hz:
        return Passthrough()
    common = gcd(from_hz, to_hz)
    return Resampler(to_hz // common, from_hz // common)
