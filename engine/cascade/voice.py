"""Piper voices through onnxruntime: one sentence of text in, its samples at 24 kHz out.

This module does not know calls, queues or playing; `lines` caches what it makes. A voice's
licence stands with its files; the GPL runtime of Piper is not used.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import soxr
from numpy.typing import NDArray

from engine.cascade.phonemes import Pronouncer
from engine.interface import SAMPLE_RATE_HZ

Samples = NDArray[np.int16]

_PAD, _BEGIN, _END = "_", "^", "$"
_PEAK: Final = 0.70 * 32_767  # leaves room for the telephone's filters
_SILENCE_LEVEL: Final = 0.01  # of full scale: what counts as the padding around a sentence
_KEPT_SILENCE_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class VoiceSettings:
    """How a Piper voice speaks.

    Attributes:
        length_scale: above 1 is slower.
        noise_scale: variation of the sound; lower is flatter and clearer.
        noise_w: variation of the durations.
    """

    length_scale: float = 1.0
    noise_scale: float = 0.5
    noise_w: float = 0.6


class Voice:
    """One Piper model, shared by all calls; safe to use from several threads.

    Args:
        model: the `.onnx` file; its `.onnx.json` stands beside it.
        pronouncer: text -> phonemes as the voice was trained on.
        threads: how many cores one sentence may use.
    """

    def __init__(
        self,
        model: Path,
        pronouncer: Pronouncer,
        settings: VoiceSettings | None = None,
        threads: int = 1,
    ) -> None:
        config: dict[str, Any] = json.loads(Path(f"{model}.json").read_text(encoding="utf-8"))
        self._rate_hz = int(config["audio"]["sample_rate"])
        self._ids: dict[str, list[int]] = config["phoneme_id_map"]
        self._pronouncer = pronouncer
        settings = settings or VoiceSettings()
        self._scales = np.array(
            [settings.noise_scale, settings.length_scale, settings.noise_w], np.float32
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )

    def say(self, sentence: str) -> Samples:
        """Speaks one sentence.

        Returns:
            int16 [n] at 24 kHz; empty when the sentence has no sound in it.
        """
        ids = self._phoneme_ids(self._pronouncer.phonemes(sentence))
        if not ids:
            return np.zeros(0, np.int16)
        inputs = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": self._scales,
        }
        wave = self._session.run(None, inputs)[0].reshape(-1)  # float32 [n]
        return _to_pcm(soxr.resample(_trim(wave, self._rate_hz), self._rate_hz, SAMPLE_RATE_HZ))

    def _phoneme_ids(self, phonemes: str) -> list[int]:
        """Piper's order: begin, then every phoneme followed by a pad, then end."""
        known = [self._ids[sound] for sound in phonemes if sound in self._ids]
        if not re.search(r"\w", phonemes):
            return []
        ids = [*self._ids[_BEGIN], *self._ids[_PAD]]
        for sound in known:
            ids += [*sound, *self._ids[_PAD]]
        return ids + self._ids[_END]


def _trim(wave: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    """Cuts the silence around a sentence: every millisecond of it is turn gap."""
    loud = np.flatnonzero(np.abs(wave) > _SILENCE_LEVEL)
    if loud.size == 0:
        return wave[:0]
    margin = int(_KEPT_SILENCE_S * rate_hz)
    return wave[max(0, loud[0] - margin) : loud[-1] + 4 * margin]


def _to_pcm(wave: NDArray[np.float32]) -> Samples:
    peak = float(np.max(np.abs(wave), initial=1e-6))
    return (wave * (_PEAK / peak)).astype(np.int16)
