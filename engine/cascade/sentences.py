"""Sentence embeddings by a small BERT (all-MiniLM-L6-v2, Apache-2.0) in plain numpy.

Twelve words take a few milliseconds on one core, so neither torch nor a second model runtime is
worth its weight. This module knows tokens and vectors, not what the sentences are about.

Shapes: B sentences, T text tokens, D = 384 features, H = 12 heads.
Source: Devlin et al. 2019 (BERT); Reimers & Gurevych 2019 (mean pooling, unit length).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy.special import erf
from tokenizers import Tokenizer

Floats = NDArray[np.float32]

_HEADS: Final = 12
_LAYERS: Final = 6
_EPSILON: Final = 1e-12
_MAX_TOKENS: Final = 64  # a caller's turn in one vector; what follows hardly changes the mean
_MASKED: Final = np.float32(-1e9)


class SentenceEncoder:
    """Maps sentences to unit vectors whose dot product is their likeness in meaning.

    Args:
        folder: holds `model.safetensors` and `tokenizer.json`.
    """

    def __init__(self, folder: Path) -> None:
        self._weights: Mapping[str, Floats] = load_file(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._tokenizer.enable_padding()

    def encode(self, sentences: Sequence[str]) -> Floats:
        """Returns float32 [B, D], each row of length 1."""
        if not sentences:
            return np.zeros((0, self._weights["embeddings.LayerNorm.weight"].size), np.float32)
        encodings = self._tokenizer.encode_batch(list(sentences))
        ids = np.array([encoding.ids for encoding in encodings])  # [B, T]
        mask = np.array([encoding.attention_mask for encoding in encodings], np.float32)  # [B, T]
        hidden = self._embed(ids)  # [B, T, D]
        for layer in range(_LAYERS):
            hidden = self._layer(f"encoder.layer.{layer}", hidden, mask)
        mean = (hidden * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]  # [B, D]
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def _embed(self, ids: NDArray[np.int64]) -> Floats:
        weights = self._weights
        hidden = (
            weights["embeddings.word_embeddings.weight"][ids]
            + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        return self._normalise("embeddings.LayerNorm", hidden)

    def _layer(self, name: str, hidden: Floats, mask: Floats) -> Floats:
        attended = self._dense(f"{name}.attention.output.dense", self._attend(name, hidden, mask))
        hidden = self._normalise(f"{name}.attention.output.LayerNorm", hidden + attended)
        inner = _gelu(self._dense(f"{name}.intermediate.dense", hidden))
        outer = self._dense(f"{name}.output.dense", inner)
        return self._normalise(f"{name}.output.LayerNorm", hidden + outer)

    def _attend(self, name: str, hidden: Floats, mask: Floats) -> Floats:
        batch, length, features = hidden.shape

        def heads(part: str) -> Floats:
            projected = self._dense(f"{name}.attention.self.{part}", hidden)
            return projected.reshape(batch, length, _HEADS, -1).transpose(0, 2, 1, 3)

        query, key, value = heads("query"), heads("key"), heads("value")  # [B, H, T, D/H]
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(features / _HEADS))
        scores = scores + (1 - mask[:, None, None, :]) * _MASKED  # [B, H, T, T]
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ value
        return mixed.transpose(0, 2, 1, 3).reshape(batch, length, features)

    def _dense(self, name: str, inputs: Floats) -> Floats:
        return inputs @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _normalise(self, name: str, inputs: Floats) -> Floats:
        centred = inputs - inputs.mean(-1, keepdims=True)
        deviation = np.sqrt(centred.var(-1, keepdims=True) + _EPSILON)
        scaled = centred / deviation * self._weights[f"{name}.weight"]
        return scaled + self._weights[f"{name}.bias"]


def _gelu(inputs: Floats) -> Floats:
    return inputs * np.float32(0.5) * (1 + erf(inputs / np.float32(np.sqrt(2))))
