"""What one step of an 8-bit float is worth in each head's keys and values.

e4m3 has four bits of exponent, so the scale need only put the usual magnitudes into its range; it
need not be tight. It is measured once at start, on prompts and random columns in full precision,
and then stays as it is: pages written before and after must mean the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import torch
from torch import Tensor

from engine.formats import FP8_MAX, TINY
from engine.model.kv import PrefillAttend, new_pool
from engine.model.lm import LanguageModel
from engine.model.transformer import Attend

CHUNK = 128
HEADROOM = 2.0  # the largest magnitude of a call may be this many times the measured one

HiddenStates = Callable[[Tensor, Attend], Tensor]


class Measure:
    """Attends as `PrefillAttend` does and notes each head's largest key and value.

    Args:
        largest: float32 [layers, 2, H], raised in place.
        attend: does the work.
    """

    def __init__(self, largest: Tensor, attend: PrefillAttend) -> None:
        self._largest = largest
        self._attend = attend

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [T, H, D] -> [T, H, D]; a rotation moves a key's entries by its pairs' norms."""
        pairs = k.float().unflatten(-1, (-1, 2)).norm(dim=-1)  # [T, H, D / 2]
        found = torch.stack([pairs.amax(dim=(0, 2)), v.float().abs().amax(dim=(0, 2))])
        self._largest[layer] = torch.maximum(self._largest[layer], found)
        return self._attend(layer, q, k, v)


@torch.inference_mode()
def kv_scales(
    lm: LanguageModel, hidden: HiddenStates, page_size: int, inputs: Iterable[Tensor]
) -> Tensor:
    """Measures the scales: float32 [layers, 2, H].

    Args:
        lm: the language model, for its sizes.
        hidden: its temporal transformer, plain or in kernels.
        page_size: S, positions in a page.
        inputs: what to measure on: each [T, dim], a call's inputs from its first position on.
    """
    config, like = lm.config, lm.text_linear.weight
    largest = torch.zeros(config.layers, 2, config.heads, device=like.device)
    for x in inputs:
        pages = -(-len(x) // page_size)
        pool = new_pool(config, 1 + pages, page_size, like)
        table = torch.arange(1, 1 + pages, dtype=torch.int32, device=like.device)
        for start, stop in pairwise([*range(0, len(x), CHUNK), len(x)]):
            attend = PrefillAttend(config, pool, table, start, stop)
            hidden(x[start:stop], Measure(largest, attend))
    return (HEADROOM * largest / FP8_MAX).clamp(min=TINY)
