"""Running a language model position by position over a private ring of pages."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from engine.model.kv import CacheRows, DecodeAttend, new_pool
from engine.model.lm import Hidden, LanguageModel

PAGE = 4


def cache_rows(model: LanguageModel, batch: int, compat: bool) -> tuple[Tensor, CacheRows]:
    """A pool and rows that hold a whole window of private pages each, and no prompt."""
    window = model.config.window_positions
    ring = window // PAGE
    pool = new_pool(model.config, 1 + batch * ring, PAGE, model.text_linear.weight)
    rows = CacheRows.allocate(batch, 0, ring, torch.device("cpu"))
    rows.live_table.copy_(1 + torch.arange(batch * ring).view(batch, ring))
    rows.live_window.fill_(window - int(compat))
    return pool, rows


def run(model: LanguageModel, columns: Tensor, compat: bool = True) -> Iterator[Hidden]:
    """Feeds columns int64 [T, B, 17] one by one."""
    batch = columns.shape[1]
    pool, rows = cache_rows(model, batch, compat)
    live = torch.ones(batch, dtype=torch.bool)
    for column in columns:
        yield model(model.embed(column), DecodeAttend(model.config, pool, rows, live))
        rows.advance(live)


def depth_logits(model: LanguageModel, state: Tensor, tokens: Tensor) -> Tensor:
    """Teacher-forced logits of all depth steps: [16, B, card].

    Args:
        model: with 16 depth steps.
        state: [B, dim].
        tokens: int64 [B, 16], what each step is given: the text, then 15 codes.
    """
    inputs = model.depth_inputs(state)
    cache = model.depformer.new_cache(len(state))
    return torch.stack(
        [model.depth_logits(step, inputs[step], tokens[:, step], cache) for step in range(16)]
    )
