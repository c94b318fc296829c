"""Does a voice over our own speech take the floor, judged by its first syllables?

After 200 ms nobody can know the words, but "mm-", "yea-" and "oka-" sound unlike "exc-" and
"wait": a logistic regression over Whisper's encoder tells them apart, the better the more it hears.
It was trained on synthetic voices (`tests/data/cascade_callers/bursts.py`).

This module does not know turns or time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import ctranslate2
import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_RATE_HZ: Final = 16_000
_WINDOW_SAMPLES: Final = int(0.64 * _RATE_HZ)  # the latest part of a burst
_PAD_SAMPLES: Final = int(0.08 * _RATE_HZ)
_LEVEL: Final = 0.5  # every burst is judged at the same loudness
WEIGHTS: Final = Path(__file__).parent / "assets" / "bursts.npz"


class BurstJudge:
    """Tells backchannels from interruptions; owns a small encoder so that it never waits.

    Args:
        whisper: folder of Whisper tiny in CTranslate2 form, which the weights were trained on.
        weights: `weight` float32 [768] and `bias` float32 [].
    """

    def __init__(self, whisper: Path, weights: Path = WEIGHTS) -> None:
        self._encoder = ctranslate2.models.Whisper(
            str(whisper), device="cpu", compute_type="int8", intra_threads=1, inter_threads=1
        )
        self._features = FeatureExtractor()
        with np.load(weights) as stored:
            self._weight: Floats = stored["weight"]
            self._bias = float(stored["bias"])

    def score(self, burst: Floats) -> float:
        """Returns the log-odds that a burst is a backchannel.

        Args:
            burst: float32 [n] at 16 kHz: some quiet lead-in and the voice so far.
        """
        return float(self.summary(burst) @ self._weight) + self._bias

    def summary(self, burst: Floats) -> Floats:
        """Returns mean and deviation over time of the encoder's output, float32 [768]."""
        window = np.zeros(_WINDOW_SAMPLES + _PAD_SAMPLES, np.float32)
        latest = burst[-_WINDOW_SAMPLES:]
        window[_WINDOW_SAMPLES - len(latest) : _WINDOW_SAMPLES] = latest
        window *= _LEVEL / max(float(np.abs(window).max()), 1e-6)
        mel = self._features(window, padding=0)[None, :, : len(window) // 160]
        batch = ctranslate2.StorageView.from_array(np.ascontiguousarray(mel, dtype=np.float32))
        hidden = np.array(self._encoder.encode(batch, to_cpu=True))[0]  # [T, 384]
        return np.hstack([hidden.mean(0), hidden.std(0)]).astype(np.float32)
