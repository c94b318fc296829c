"""Tells the caller's voice from the echo of our own.

A telephone hands part of what it plays back to its microphone, 20-40 dB down and up to half a
second late. Such an echo is a faint, delayed copy of what we said; a caller's voice, even over an
echo, is not. So the last moments of the incoming sound are correlated with the last second of ours.

This module does not know voice activity or turns, and removes nothing from the sound.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.interface import FRAME_SAMPLES, Frame

_DECIMATION: Final = 3  # 24 kHz -> 8 kHz: telephone speech has nothing above 4 kHz
_FRAME: Final = FRAME_SAMPLES // _DECIMATION
_HEARD_FRAMES: Final = 3  # 240 ms: long enough to be no accident, short enough for an onset
_SAID_FRAMES: Final = 14  # reaches 0.88 s back behind the heard frames
_ALIKE: Final = 0.45  # normalised correlation of an echo; two vowels of one pitch reach 0.6,
_LOUDEST: Final = 0.3  # ... but hardly a caller is 10 dB fainter than we are
_SILENT: Final = 1e2  # energy of a window that holds nothing

Floats = NDArray[np.float32]


class EchoGuard:
    """Remembers both directions of one call."""

    def __init__(self) -> None:
        self._said = np.zeros(_SAID_FRAMES * _FRAME, np.float32)
        self._heard = np.zeros(_HEARD_FRAMES * _FRAME, np.float32)

    def said(self, frame: Frame) -> None:
        """Takes one frame that goes out."""
        self._said = np.concatenate([self._said[_FRAME:], _narrow(frame)])

    def heard(self, frame: Frame) -> None:
        """Takes one frame that came in."""
        self._heard = np.concatenate([self._heard[_FRAME:], _narrow(frame)])

    def is_echo(self) -> bool:
        """Tells whether the last 240 ms heard are a faint copy of something said in a second."""
        likeness, gain = self.likeness()
        return likeness >= _ALIKE and gain <= _LOUDEST

    def likeness(self) -> tuple[float, float]:
        """Compares what was heard with all that was said, at every delay.

        Returns:
            The best normalised correlation, in [0, 1], and how loud the heard sound is beside
            what it is most like: an amplitude's factor.
        """
        heard_energy = float(self._heard @ self._heard)
        if heard_energy < _SILENT or float(self._said @ self._said) < _SILENT:
            return 0.0, 0.0
        size = 1 << int(np.ceil(np.log2(len(self._said) + len(self._heard))))
        spectrum = np.fft.rfft(self._said, size) * np.conj(np.fft.rfft(self._heard, size))
        lags = len(self._said) - len(self._heard) + 1
        products = np.abs(np.fft.irfft(spectrum, size)[:lags])
        sums = np.concatenate([[0.0], np.cumsum(self._said.astype(np.float64) ** 2)])
        energies = np.maximum(sums[len(self._heard) :] - sums[: -len(self._heard)], _SILENT)
        likenesses = products / np.sqrt(energies * heard_energy)
        best = int(np.argmax(likenesses))
        return float(likenesses[best]), float(np.sqrt(heard_energy / energies[best]))


def _narrow(frame: Frame) -> Floats:
    narrow: Floats = frame.astype(np.float32).reshape(-1, _DECIMATION).mean(1)
    return narrow
