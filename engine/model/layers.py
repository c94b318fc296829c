"""The small layers of the language model: norm, gated feed-forward, token embedding.

They work on rows, [N, D]: a row is one session at one position or one prompt position. What a
row stands for, they do not know. Parameter names are the checkpoint's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

NORM_EPS = 1e-8


def rms_norm(x: Tensor, alpha: Tensor) -> Tensor:
    """Root-mean-square norm, computed in float32 and cast back.

    Args:
        x: [N, D], any float type.
        alpha: [1, 1, D] or [D], the learnt scale.
    """
    wide = x.float()
    variance = NORM_EPS + torch.mean(wide**2, dim=-1, keepdim=True)
    return (wide * (alpha.view(-1).float() * torch.rsqrt(variance))).to(x.dtype)


def gated_feed_forward(x: Tensor, weight_in: Tensor, weight_out: Tensor) -> Tensor:
    """W_out (silu(a) * b) with [a | b] = W_in x.

    Args:
        x: [N, D].
        weight_in: [2 F, D].
        weight_out: [D, F].
    """
    gate, value = functional.linear(x, weight_in).chunk(2, dim=-1)  # [N, F] each
    return functional.linear(functional.silu(gate) * value, weight_out)  # [N, D]


class RMSNorm(nn.Module):
    """A norm with a learnt scale `alpha`, [1, 1, D]."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, 1, dim))

    def forward(self, x: Tensor) -> Tensor:
        """[N, D] -> [N, D]."""
        return rms_norm(x, self.alpha)


class GatedFeedForward(nn.Module):
    """The transformer's feed-forward with a SiLU gate."""

    def __init__(self, dim: int, inner_dim: int) -> None:
        super().__init__()
        self.linear_in = nn.Linear(dim, 2 * inner_dim, bias=False)
        self.linear_out = nn.Linear(inner_dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, D] -> [N, D]."""
        return gated_feed_forward(x, self.linear_in.weight, self.linear_out.weight)


class TokenEmbedding(nn.Module):
    """A table of vectors; token -1 is the zero vector.

    Any other negative token is a caller's error that a lookup cannot see: it would silently
    read row 0. Callers never pass one.
    """

    def __init__(self, tokens: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(tokens, dim))

    def forward(self, token: Tensor) -> Tensor:
        """Integer [N] -> [N, D]."""
        rows = functional.embedding(token.clamp(min=0), self.weight)
        return torch.where((token >= 0)[:, None], rows, torch.zeros_like(rows))
