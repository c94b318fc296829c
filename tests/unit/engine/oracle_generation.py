"""The reference's generation, written down as a grid that grows call by call.

It drives the reference's own model one position at a time and samples with the reference's own
sampler, in the reference's order: its call n reads position n - 1 and returns frame n - 1. Every
prompt frame is one call.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.config import DELAYS
from tests.unit.engine.oracle_moshi import NAME


class ReferenceGeneration:
    """One session of the reference; use it inside `oracle.streaming(1)`."""

    def __init__(self, oracle: Any, *, greedy: bool, text_k: int = 25, audio_k: int = 250) -> None:
        self.oracle = oracle
        self.sampling = {"use_sampling": not greedy}
        self.text = {"temp": 0.7, "top_k": text_k}
        self.audio = {"temp": 0.8, "top_k": audio_k}
        self.n = 0
        self.grid: dict[tuple[int, int], int] = {}
        for stream, delay in enumerate(DELAYS):
            for position in range(delay + 1):
                self.grid[stream, position] = oracle.text_card if stream == 0 else oracle.card

    def call(self, provided: dict[int, int]) -> list[int] | None:
        """One call with tokens for some streams of frame n; returns all 17 of frame n - 1."""
        n = self.n
        self.n += 1
        for stream, token in provided.items():
            self.grid.setdefault((stream, n + DELAYS[stream]), token)
        if n == 0:
            return None
        column = torch.tensor([[[self.grid[stream, n - 1]] for stream in range(17)]])
        hidden, logits = self.oracle.forward_text(column)
        self._target(0, n, self._sample(logits, self.text))
        self._depth(hidden, n)
        if n == 1:
            return None
        return [self.grid[stream, n - 1 + delay] for stream, delay in enumerate(DELAYS)]

    def _depth(self, hidden: Tensor, n: int) -> None:
        previous = self.grid[0, n]
        with self.oracle.depformer.streaming(1):
            for step in range(16):
                token = torch.tensor([[[previous]]])
                logits = self.oracle.forward_depformer(step, token, hidden)
                self._target(1 + step, n, self._sample(logits, self.audio))
                previous = self.grid[1 + step, n]

    def _target(self, stream: int, position: int, token: int) -> None:
        """Provided tokens stay; the sample takes what is empty."""
        self.grid.setdefault((stream, position), token)

    def _sample(self, logits: Tensor, how: dict[str, Any]) -> int:
        sample_token = sys.modules[f"{NAME}.utils.sampling"].sample_token
        return int(sample_token(logits.float(), **self.sampling, **how)[0, 0, 0])

    def prompt(self, frames: np.ndarray) -> None:
        """Plays prompt frames, int [T, 17]."""
        for frame in frames:
            self.call(dict(enumerate(map(int, frame))))

    def hear(self, user_codes: Tensor) -> list[int]:
        """Plays one live user frame, [8]; returns the 17 tokens of the frame before."""
        tokens = self.call({9 + index: int(code) for index, code in enumerate(user_codes)})
        assert tokens is not None
        return tokens
