"""Silero VAD v6 (MIT) through onnxruntime: is there a voice in these 32 ms?

One network for all calls; each call keeps its own recurrent state. The file comes inside
faster-whisper. A chunk costs 0.2 ms of one core. This module knows no turns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

CHUNK_SAMPLES: Final = 512  # 32 ms at 16 kHz, the network's only window

_CONTEXT_SAMPLES: Final = 64  # of the chunk before, which the network wants to see again
_STATE_SHAPE: Final = (1, 1, 128)

Floats = NDArray[np.float32]


class VoiceDetector:
    """The network; `stream` gives one call its state."""

    def __init__(self, model: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )

    def stream(self) -> VoiceStream:
        """Returns the detector of one call."""
        return VoiceStream(self._session)


class VoiceStream:
    """The detector of one call."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._hidden = np.zeros(_STATE_SHAPE, np.float32)
        self._cell = np.zeros(_STATE_SHAPE, np.float32)
        self._context = np.zeros(_CONTEXT_SAMPLES, np.float32)

    def probability(self, chunk: Floats) -> float:
        """Judges float32 [512] at 16 kHz, the chunk after the one judged last."""
        inputs = {
            "input": np.concatenate([self._context, chunk])[None],
            "h": self._hidden,
            "c": self._cell,
        }
        probability, self._hidden, self._cell = self._session.run(None, inputs)
        self._context = chunk[-_CONTEXT_SAMPLES:]
        return float(probability[0])
