"""Whisper through faster-whisper (CTranslate2): the samples of one turn in, hypotheses out.

Whisper hears windows of 30 s; a telephone turn is short, and its encoder and decoder stay right
when the padding is cut to about 15 s, which takes a third of the time. Several hypotheses are
kept: the matcher profits from a word that only the second got right.

This module does not know turns, calls or threads; CTranslate2 releases the GIL while it works.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from numpy.typing import NDArray

RATE_HZ: Final = 16_000
Floats = NDArray[np.float32]

_FEATURES_PER_S: Final = 100  # mel columns
_LEAD_S: Final = 0.2  # of silence before the speech: Whisper drops words that start at 0
_MIN_WINDOW_S: Final = 15.0
_MAX_WINDOW_S: Final = 30.0
_TAIL_S: Final = 2.0  # of silence behind the speech, at least
_TOKENS_PER_S: Final = 8  # fast speech; more is a decoder that repeats itself
_SPARE_TOKENS: Final = 12
_HYPOTHESES: Final = 5
_MAX_PROMPT_TOKENS: Final = 220  # Whisper's decoder holds 448 of prompt and answer

_MIN_LANGUAGE: Final = 0.6  # probability from which another language than English is believed
_NO_SPEECH: Final = 0.75  # the network's own doubt that it heard speech, which counts ...
_DOUBTFUL: Final = -0.8  # ... with a mean log probability below this
_GUESSWORK: Final = -1.6  # below this words are invented


@dataclass(frozen=True, slots=True)
class Heard:
    """What one turn sounded like in words.

    Attributes:
        hypotheses: best first, without repetition; empty when there were no words.
        confidence: mean log probability of the best hypothesis's text tokens.
        language: ISO 639-1 code of the likeliest language.
        language_probability: how likely.
        no_speech: probability that it was no speech at all.
    """

    hypotheses: tuple[str, ...]
    confidence: float
    language: str
    language_probability: float
    no_speech: float

    @property
    def foreign(self) -> bool:
        """True when it was surely another language than English."""
        return self.language != "en" and self.language_probability >= _MIN_LANGUAGE

    @property
    def usable(self) -> bool:
        """True when there are English words that were not made up."""
        if not self.hypotheses or self.foreign or self.confidence <= _GUESSWORK:
            return False
        return self.no_speech < _NO_SPEECH or self.confidence >= _DOUBTFUL


class Recogniser:
    """One Whisper model, shared by all calls.

    Args:
        model: folder in CTranslate2 form, or a hub id where the operator allows downloads.
        threads: cores for one turn.
        workers: how many turns may be heard at once.
        prompted: lean the decoder towards a call's vocabulary: base hears 3 % more intents
            right so, tiny is led astray.
    """

    def __init__(
        self, model: Path | str, threads: int = 1, workers: int = 2, prompted: bool = True
    ) -> None:
        self._prompted = prompted
        self._whisper = WhisperModel(
            str(model),
            device="cpu",
            compute_type="int8",
            cpu_threads=threads,
            num_workers=workers,
            local_files_only=Path(model).is_dir(),
        )
        self._tokenizer = Tokenizer(
            self._whisper.hf_tokenizer,
            self._whisper.model.is_multilingual,
            task="transcribe",
            language="en",
        )

    def transcribe(self, speech: Floats, vocabulary: str = "") -> Heard:
        """Writes down one turn.

        Args:
            speech: float32 [n] at 16 kHz, within [-1, 1]; only its last 27 s are heard.
            vocabulary: words that are likely in this call.
        """
        encoded = self._encode(speech)
        language, probability = self._language(encoded)
        prompt = [*self._context(vocabulary), *self._tokenizer.sot_sequence]
        prompt.append(self._tokenizer.no_timestamps)
        budget = len(prompt) + _SPARE_TOKENS + int(_TOKENS_PER_S * len(speech) / RATE_HZ)
        result = self._whisper.model.generate(
            encoded,
            [prompt],
            beam_size=_HYPOTHESES,
            num_hypotheses=_HYPOTHESES,
            max_length=min(budget, 448),
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        texts = [self._tokenizer.decode(tokens).strip() for tokens in result.sequences_ids]
        return Heard(
            tuple(dict.fromkeys(text for text in texts if text)),
            float(result.scores[0]),
            language,
            probability,
            float(result.no_speech_prob),
        )

    def _encode(self, speech: Floats) -> ctranslate2.StorageView:
        speech = speech[-int((_MAX_WINDOW_S - _LEAD_S - _TAIL_S) * RATE_HZ) :]
        padded_s = len(speech) / RATE_HZ + _LEAD_S + _TAIL_S
        window_s = min(_MAX_WINDOW_S, max(_MIN_WINDOW_S, math.ceil(padded_s)))
        samples = np.zeros(int(window_s * RATE_HZ), np.float32)
        start = int(_LEAD_S * RATE_HZ)
        samples[start : start + len(speech)] = speech
        columns = int(window_s * _FEATURES_PER_S)
        features = self._whisper.feature_extractor(samples, padding=0)[:, :columns]
        batch = np.ascontiguousarray(features[None], dtype=np.float32)  # [1, 80, columns]
        return self._whisper.model.encode(ctranslate2.StorageView.from_array(batch))

    def _language(self, encoded: ctranslate2.StorageView) -> tuple[str, float]:
        if not self._whisper.model.is_multilingual:
            return "en", 1.0
        code, probability = self._whisper.model.detect_language(encoded)[0][0]
        return code.strip("<|>"), float(probability)

    def _context(self, vocabulary: str) -> list[int]:
        if not vocabulary or not self._prompted:
            return []
        tokens = self._tokenizer.encode(f" {vocabulary.strip()}")[:_MAX_PROMPT_TOKENS]
        return [self._tokenizer.sot_prev, *tokens]
