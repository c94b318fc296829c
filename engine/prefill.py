"""Computing prompts: many positions at once, without depth steps and without sampling.

It fills KV pages that the scheduler named, piece by piece, and keeps the last position's result.
Whose call a prompt belongs to, it does not know.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from engine.model.lm import Hidden, LanguageModel
from engine.prompts import Prompt
from engine.scheduler import Chunk


@dataclass(slots=True)
class Prefix:
    """A prompt, and what became of it.

    Attributes:
        embeddings: [E, dim], inputs of the first positions (a published voice's).
        prompt: the columns after them.
        last: the last position's result, once everything is computed.
    """

    embeddings: Tensor
    prompt: Prompt
    last: Hidden | None = None

    @property
    def positions(self) -> int:
        """The prompt's length."""
        return len(self.embeddings) + len(self.prompt.columns)

    @property
    def sha256(self) -> str:
        """Tells one prompt from another, whatever its voice is called here."""
        digest = hashlib.sha256(self.embeddings.float().cpu().numpy().tobytes())
        digest.update(self.prompt.columns.tobytes())
        return digest.hexdigest()


class PromptPiece(Protocol):
    """Computes a piece of a prompt and fills its pages."""

    def __call__(self, x: Tensor, pages: Tensor, start: int) -> Tensor:
        """Runs positions [start, start + T).

        Args:
            x: [T, dim], the model's inputs there.
            pages: int32 [n], the prompt's pages from its beginning.
            start: the first position; those before must be in their pages.

        Returns:
            [T, dim], the hidden states.
        """
        ...


class Prefiller:
    """The prompts that an engine knows or is about to.

    Args:
        lm: the language model.
        piece: computes a piece of a prompt.
    """

    def __init__(self, lm: LanguageModel, piece: PromptPiece) -> None:
        self._lm = lm
        self._piece = piece
        self._prefixes: dict[Hashable, Prefix] = {}

    def __getitem__(self, key: Hashable) -> Prefix:
        return self._prefixes[key]

    def add(self, key: Hashable, prefix: Prefix) -> None:
        """Adds a prompt to compute, unless it is known."""
        self._prefixes.setdefault(key, prefix)

    def replace(self, key: Hashable, prefix: Prefix) -> None:
        """Puts a prompt that was computed elsewhere in the place of one that waits."""
        self._prefixes[key] = prefix

    def forget(self, keys: Iterable[Hashable]) -> None:
        """Drops prompts whose pages are gone."""
        for key in keys:
            self._prefixes.pop(key, None)

    @torch.inference_mode()
    def run(self, chunk: Chunk) -> None:
        """Computes positions [start, stop) of a prompt; those before must be there."""
        prefix = self._prefixes[chunk.key]
        x = self._inputs(prefix, chunk.start, chunk.stop)
        pages = torch.tensor(chunk.pages, dtype=torch.int32, device=x.device)
        hidden = self._piece(x, pages, chunk.start)
        if chunk.stop == prefix.positions:
            prefix.last = self._lm.with_text(hidden[-1:])
        if x.is_cuda:
            # The caller has the time until the next tick to give away: it must see it pass.
            torch.cuda.current_stream(x.device).synchronize()

    def _inputs(self, prefix: Prefix, start: int, stop: int) -> Tensor:
        """The model's inputs at positions [start, stop): [T, dim]."""
        given = len(prefix.embeddings)
        columns = prefix.prompt.columns[max(0, start - given) : max(0, stop - given)]
        weight = self._lm.text_linear.weight
        embedded = self._lm.embed(torch.from_numpy(columns).to(weight.device))
        return torch.cat([prefix.embeddings[start:stop].to(weight), embedded])
