"""The temporal transformer: pre-norm layers with rotary attention and a gated feed-forward.

It maps rows to rows and asks `attend` for the attention itself, so it knows neither pages nor
positions, nor whether its rows are sessions of a batch or positions of a prompt.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.config import LMConfig
from engine.model.layers import GatedFeedForward, RMSNorm


class Attend(Protocol):
    """Stores the new keys and values of one layer and attends to what is visible."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [N, H, D], not yet rotated -> [N, H, D]."""
        ...


class SelfAttention(nn.Module):
    """The projections around the attention."""

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * config.dim, config.dim))
        self.out_proj = nn.Linear(config.dim, config.dim, bias=False)

    def forward(self, x: Tensor, layer: int, attend: Attend) -> Tensor:
        """[N, dim] -> [N, dim]."""
        packed = functional.linear(x, self.in_proj_weight)  # [N, 3 * dim]
        q, k, v = packed.unflatten(-1, (3, self.heads, -1)).unbind(1)  # [N, H, D] each
        return self.out_proj(attend(layer, q, k, v).flatten(1))


class TemporalLayer(nn.Module):
    """One layer: x + attention(norm1 x), then x + feed-forward(norm2 x)."""

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config)
        self.norm1 = RMSNorm(config.dim)
        self.norm2 = RMSNorm(config.dim)
        self.gating = GatedFeedForward(config.dim, config.ffn_dim)

    def forward(self, x: Tensor, layer: int, attend: Attend) -> Tensor:
        """[N, dim] -> [N, dim]."""
        x = x + self.self_attn(self.norm1(x), layer, attend)
        return x + self.gating(self.norm2(x))


class TemporalTransformer(nn.Module):
    """The stack of layers, without embedding and without the final norm."""

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TemporalLayer(config) for _ in range(config.layers))

    def forward(self, x: Tensor, attend: Attend) -> Tensor:
        """[N, dim] -> [N, dim]."""
        for index, layer in enumerate(self.layers):
            x = layer(x, index, attend)
        return x
