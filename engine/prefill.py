"""Computing prompts: many positions at once, without depth steps and without sampling.

It fills KV pages that the scheduler named, piece by piece, and keeps the last position's result.
Whose call a prompt belongs to, it does not know.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.model.kv import PrefillAttend
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


class Prefiller:
    """The prompts that an engine knows or is about to.

    Args:
        lm: the language model.
        pool: the KV pages of all layers.
    """

    def __init__(self, lm: LanguageModel, pool: Tensor) -> None:
        self._lm = lm
        self._pool = pool
        self._prefixes: dict[Hashable, Prefix] = {}

    def __getitem__(self, key: Hashable) -> Prefix:
        return self._prefixes[key]

    def add(self, key: Hashable, prefix: Prefix) -> None:
        """Adds a prompt to compute, unless it is known."""
        self._prefixes.setdefault(key, prefix)

    def forget(self, key: Hashable) -> None:
        """Drops a prompt whose pages are gone."""
        self._prefixes.pop(key, None)

    @torch.inference_mode()
    def run(self, chunk: Chunk) -> None:
        """Computes positions [start, stop) of a prompt; those before must be there."""
        prefix = self._prefixes[chunk.key]
        pages = torch.tensor(chunk.pages, dtype=torch.int32, device=self._pool.device)
        attend = PrefillAttend(self._lm.config, self._pool, pages, chunk.start, chunk.stop)
        hidden = self._lm.hidden(self._inputs(prefix, chunk.start, chunk.stop), attend)
        if chunk.stop == prefix.positions:
            prefix.last = self._lm.with_text(hidden[-1:])

    def _inputs(self, prefix: Prefix, start: int, stop: int) -> Tensor:
        """The model's inputs at positions [start, stop): [T, dim]."""
        given = len(prefix.embeddings)
        columns = prefix.prompt.columns[max(0, start - given) : max(0, stop - given)]
        weight = self._lm.text_linear.weight
        embedded = self._lm.embed(torch.from_numpy(columns).to(weight.device))
        return torch.cat([prefix.embeddings[start:stop].to(weight), embedded])
