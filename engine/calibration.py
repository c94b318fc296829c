"""What one step of an 8-bit float is worth in each head's keys and values.

e4m3 has four bits of exponent, so the scale need only put the usual magnitudes into its range; it
need not be tight. It is measured once at start, on random codes and words in full precision,
and then stays as it is: pages written before and after must mean the same.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from engine.config import STREAMS
from engine.fp8 import FP8_MAX
from engine.model.kv import PrefillAttend, new_pool
from engine.model.lm import LanguageModel
from engine.model.transformer import Attend

POSITIONS = 128
HEADROOM = 2.0  # the largest magnitude of a call may be this many times the measured one

HiddenStates = Callable[[Tensor, Attend], Tensor]


class Measure:
    """Attends as `PrefillAttend` does and notes each head's largest key and value."""

    def __init__(
        self, attend: PrefillAttend, layers: int, heads: int, device: torch.device
    ) -> None:
        self._attend = attend
        self.largest = torch.zeros(layers, 2, heads, device=device)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [T, H, D] -> [T, H, D]; a rotation moves a key's entries by its pairs' norms."""
        pairs = k.float().unflatten(-1, (-1, 2)).norm(dim=-1)  # [T, H, D / 2]
        self.largest[layer, 0] = pairs.amax(dim=(0, 2))
        self.largest[layer, 1] = v.float().abs().amax(dim=(0, 2))
        return self._attend(layer, q, k, v)


@torch.inference_mode()
def kv_scales(lm: LanguageModel, hidden: HiddenStates, page_size: int) -> Tensor:
    """Measures the scales: float32 [layers, 2, H].

    Args:
        lm: the language model, for its sizes and embeddings.
        hidden: its temporal transformer, plain or in kernels.
        page_size: S, positions in a page.
    """
    config, device = lm.config, lm.text_linear.weight.device
    pages = -(-POSITIONS // page_size)
    pool = new_pool(config, 1 + pages, page_size, lm.text_linear.weight)
    table = torch.arange(1, 1 + pages, dtype=torch.int32, device=device)
    attend = PrefillAttend(config, pool, table, 0, POSITIONS)
    measure = Measure(attend, config.layers, config.heads, device)
    generator = torch.Generator().manual_seed(0)
    columns = torch.randint(config.audio_card, (POSITIONS, STREAMS), generator=generator)
    columns[:, 0] = torch.randint(config.text_card, (POSITIONS,), generator=generator)
    hidden(lm.embed(columns.to(device)), measure)
    return (measure.largest * HEADROOM / FP8_MAX).clamp(min=1e-12)
