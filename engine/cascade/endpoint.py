"""Smart Turn v3.2 (BSD-2-Clause, by Daily): has the caller finished, judged by the sound alone?

The network reads the last eight seconds as Whisper's mel features and answers with one
probability. It does not know words; a pause inside a sentence sounds unfinished to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_RATE_HZ: Final = 16_000
_WINDOW_S: Final = 8
_WINDOW_SAMPLES: Final = _WINDOW_S * _RATE_HZ
_VARIANCE_FLOOR: Final = 1e-7  # the same as in the network's training


class Endpoint:
    """The end-of-turn network, shared by all calls; safe to use from several threads."""

    def __init__(self, model: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
        self._features = FeatureExtractor(chunk_length=_WINDOW_S)

    def finished(self, speech: Floats) -> float:
        """Returns the probability that the turn is complete.

        Args:
            speech: float32 [n] at 16 kHz, ending in the pause; only the last 8 s count.
        """
        window = np.zeros(_WINDOW_SAMPLES, np.float32)
        speech = speech[-_WINDOW_SAMPLES:]
        window[_WINDOW_SAMPLES - len(speech) :] = speech
        window = (window - window.mean()) / np.sqrt(window.var() + _VARIANCE_FLOOR)
        features = self._features(window, padding=0)[:, : 100 * _WINDOW_S]
        batch = np.ascontiguousarray(features[None], dtype=np.float32)  # [1, 80, 800]
        name = self._session.get_inputs()[0].name
        return float(self._session.run(None, {name: batch})[0].reshape(-1)[0])
