"""Clocks and sizes of the audio on its way: wire packets of 20 ms, model frames of 80 ms.

Knows nothing of carriers or of the model, only how long things are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pcm16 = NDArray[np.int16]  # shape [n], mono

SAMPLE_RATE_HZ = 24_000  # the model's rate
FRAME_SAMPLES = 1_920
FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ  # 0.08 s

NARROWBAND_HZ = 8_000  # G.711
PACKET_S = 0.02  # ptime

SPEECH_WINDOW_S = 0.032  # resolution of voice activity
SPEECH_HANGOVER_S = 0.288  # nine windows: a longer pause than between words ends speech

# A block under this is silence: -50 dBFS, above a telephone line's noise and a codec's comfort
# noise, far below the quietest syllable.
SILENCE_RMS = 104.0


def rms(samples: Pcm16) -> float:
    """Root mean square of int16 [n], in units of one quantisation step; 0.0 for no samples."""
    if samples.size == 0:
        return 0.0
    wide = samples.astype(np.float32)
    return float(np.sqrt(np.dot(wide, wide) / samples.size))


def is_silent(samples: Pcm16) -> bool:
    """Whether the block int16 [n] is quieter than SILENCE_RMS."""
    return rms(samples) < SILENCE_RMS
