"""The incoming direction of one call: frames in, speech judgements and 16 kHz samples out.

It does not know turns or words. Every 32 ms are judged; the own echo counts as silence.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
import soxr
from numpy.typing import NDArray

from engine.cascade.echo import EchoGuard
from engine.cascade.voicing import CHUNK_SAMPLES, VoiceStream
from engine.interface import SAMPLE_RATE_HZ, Frame

RATE_HZ: Final = 16_000
CHUNK_S: Final = CHUNK_SAMPLES / RATE_HZ  # 32 ms

# Probability at which a chunk becomes speech, and below which it stops being speech. Over the
# agent's own voice half a syllable earlier is worth more than a doubt: noises stay below 0.1.
_SPEECH, _STILL_SPEECH = 0.5, 0.35
_EAGER_SPEECH, _EAGER_STILL_SPEECH = 0.25, 0.2
_MEMORY_S: Final = 30.0
_DIGITAL_SILENCE: Final = 16  # peak of a frame without a signal, in 16 bits

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Chunk:
    """32 ms of sound: its end in samples since the call began, and whether it is speech."""

    end_sample: int
    voiced: bool


class Ears:
    """Voice activity and the last 30 s of sound of one call."""

    def __init__(self, voice: VoiceStream) -> None:
        self._resampler = soxr.ResampleStream(
            SAMPLE_RATE_HZ, RATE_HZ, 1, dtype="float32", quality="LQ"
        )
        self._voice = voice
        self._echo = EchoGuard()
        self._pending = np.zeros(0, np.float32)
        self._memory: deque[Floats] = deque(maxlen=int(_MEMORY_S / CHUNK_S))
        self._samples = 0
        self._voiced = False

    def said(self, frame: Frame) -> None:
        """Takes the frame that goes out, to know its echo."""
        self._echo.said(frame)

    def hear(self, frame: Frame, *, eager: bool = False) -> list[Chunk]:
        """Judges one frame; returns the two or three chunks that it completes.

        Args:
            frame: what the caller said meanwhile.
            eager: rather hear a voice too much than hear it late.
        """
        self._echo.heard(frame)
        narrow = self._resampler.resample_chunk(frame.astype(np.float32) / 32_768)
        self._pending = np.concatenate([self._pending, narrow])
        loud = int(np.abs(frame).max()) > _DIGITAL_SILENCE
        chunks = []
        while len(self._pending) >= CHUNK_SAMPLES:
            samples, self._pending = np.split(self._pending, [CHUNK_SAMPLES])
            chunks.append(self._judge(samples, loud, eager))
        if any(chunk.voiced for chunk in chunks) and self._echo.is_echo():
            self._voiced = False
            return [Chunk(chunk.end_sample, False) for chunk in chunks]
        return chunks

    def samples(self, start: int, end: int) -> Floats:
        """Returns float32 samples at 16 kHz in [start, end), as far as they are remembered."""
        first = self._samples - len(self._memory) * CHUNK_SAMPLES
        if not self._memory:
            return np.zeros(0, np.float32)
        remembered = np.concatenate(self._memory)
        return remembered[max(0, start - first) : max(0, end - first)]

    def _judge(self, samples: Floats, loud: bool, eager: bool) -> Chunk:
        self._memory.append(samples)
        self._samples += CHUNK_SAMPLES
        probability = self._voice.probability(samples) if loud else 0.0
        start, stay = (_EAGER_SPEECH, _EAGER_STILL_SPEECH) if eager else (_SPEECH, _STILL_SPEECH)
        self._voiced = probability >= (stay if self._voiced else start)
        return Chunk(self._samples, self._voiced)
