"""Packet loss concealment: what is lost is replaced by the last pitch period, then by silence.

After ITU-T G.711 Appendix I: the period is found by correlation, repeated, and faded from 10 ms on
to nothing at 60 ms; the first packet after a loss is blended in. Knows nothing of packets' numbers
or of codecs: int16 samples at one rate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from callcenter.media.units import Pcm16

HISTORY_S = 0.04875
SHORTEST_PERIOD_S = 0.005
LONGEST_PERIOD_S = 0.015
TEMPLATE_S = 0.02  # what is compared at every lag
FADE_FROM_S = 0.01
FADE_TO_S = 0.06
BLEND_S = 0.005


class Concealer:
    """One stream's concealment."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._history: NDArray[np.float32] = np.zeros(round(HISTORY_S * rate_hz), np.float32)
        self._period: NDArray[np.float32] | None = None
        self._concealed_samples = 0  # of the present gap

    def good(self, samples: Pcm16) -> Pcm16:
        """Takes audio that came, int16 [n]; returns it, its start blended after a gap."""
        if self._period is not None and samples.size:
            samples = self._blend(self._period, samples)
            self._period, self._concealed_samples = None, 0
        self._remember(samples)
        return samples

    def conceal(self, samples: int) -> Pcm16:
        """Makes up int16 [samples] in place of audio that did not come."""
        if self._period is None:
            self._period = self._last_period()
        made = self._extension(self._period, samples)
        self._concealed_samples += samples
        self._remember(made)
        return made

    def _extension(self, period: NDArray[np.float32], samples: int) -> Pcm16:
        """The next samples of the gap: the period over and over, fading."""
        position = self._concealed_samples + np.arange(samples)
        fade_from, fade_to = FADE_FROM_S * self._rate_hz, FADE_TO_S * self._rate_hz
        gain = np.clip((fade_to - position) / (fade_to - fade_from), 0.0, 1.0)
        made = period[position % period.size] * gain
        return np.asarray(np.rint(made), np.int16)

    def _blend(self, period: NDArray[np.float32], samples: Pcm16) -> Pcm16:
        length = min(round(BLEND_S * self._rate_hz), samples.size)
        rise = (np.arange(length) + 0.5) / length
        blended = samples.copy()
        old = self._extension(period, length)
        blended[:length] = np.rint(old * (1.0 - rise) + samples[:length] * rise)
        return blended

    def _last_period(self) -> NDArray[np.float32]:
        """The last pitch period of the history, float32 [period], its seam smoothed."""
        history, rate_hz = self._history, self._rate_hz
        shortest, longest = round(SHORTEST_PERIOD_S * rate_hz), round(LONGEST_PERIOD_S * rate_hz)
        size = round(TEMPLATE_S * rate_hz)
        template = history[-size:]
        lags = np.arange(shortest, longest + 1)
        windows = np.lib.stride_tricks.sliding_window_view(history, size)
        candidates = windows[windows.shape[0] - 1 - lags]  # [lags, size]
        energy = np.einsum("ij,ij->i", candidates, candidates)
        match = candidates @ template / np.sqrt(np.maximum(energy, 1.0))
        lag = int(lags[int(np.argmax(match))])
        period = history[-lag:].copy()
        overlap = max(1, lag // 4)  # the period's end runs into what came before its start
        before = history[-lag - overlap : -lag]
        rise = (np.arange(overlap) + 0.5) / overlap
        period[-overlap:] = period[-overlap:] * (1.0 - rise) + before * rise
        return period

    def _remember(self, samples: Pcm16) -> None:
        length = self._history.size
        joined = np.concatenate((self._history, samples.astype(np.float32)))
        self._history = joined[-length:]
