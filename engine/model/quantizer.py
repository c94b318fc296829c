"""The split residual vector quantizer: a latent step <-> one semantic and several acoustic codes.

Both branches start from the same latent: the acoustic codes are not the residual of the semantic
one. Within a branch every codebook quantizes what the one before it left over.

    codes = [ nearest(W_first x), then nearest(W_rest x - sum of the centroids so far), ... ]
    latent = V_first c0 + V_rest (c1 + c2 + ...)

This module knows no time and has no state. It only searches the codebooks that are in use, though
it holds all that the checkpoint carries.
Source: Défossez et al. 2024, "Moshi", section 3.3.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from engine.config import MimiConfig

USAGE_FLOOR = 1e-5  # a centroid that was hardly ever used in training is not divided by zero


class Codebook(nn.Module):
    """Running sums from training; their quotient is the centroids."""

    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        size, dim = config.codebook_size, config.codebook_dim
        self.register_buffer("_initialized", torch.zeros(1))
        self.register_buffer("cluster_usage", torch.ones(size))
        self.register_buffer("embedding_sum", torch.zeros(size, dim))

    def centroids(self) -> Tensor:
        """float32 [codebook_size, codebook_dim]."""
        return self.embedding_sum / self.cluster_usage.clamp(min=USAGE_FLOOR)[:, None]


class Branch(nn.Module):
    """One residual chain of codebooks with its projections."""

    def __init__(self, config: MimiConfig, stored: int, used: int) -> None:
        super().__init__()
        width, dim = config.dimension, config.codebook_dim
        self.input_proj = nn.Conv1d(width, dim, 1, bias=False)
        self.output_proj = nn.Conv1d(dim, width, 1, bias=False)
        books = (nn.ModuleDict({"_codebook": Codebook(config)}) for _ in range(stored))
        self.vq = nn.ModuleDict({"layers": nn.ModuleList(books)})
        self.used = used
        self.register_buffer("centroids", None, persistent=False)
        self.register_buffer("half_squares", None, persistent=False)

    def prepare(self) -> None:
        """Derives the centroids in use, [K, size, dim], and half their squared norms, [K, size]."""
        books: Iterable[nn.Module] = list(self.vq["layers"])[: self.used]
        self.centroids = torch.stack([book["_codebook"].centroids() for book in books])
        self.half_squares = self.centroids.square().sum(-1) / 2

    def encode(self, x: Tensor, fused: bool) -> Tensor:
        """Latent [B, dimension, 1] -> codes, int64 [B, K]."""
        left = self.input_proj(x)[..., 0]  # [B, D]
        codes: list[Tensor] = []
        for level in range(self.used):
            if codes:
                left = left - self.centroids[level - 1][codes[-1]]
            codes.append(self._search(left, level, fused))
        return torch.stack(codes, dim=1)

    def _search(self, left: Tensor, level: int, fused: bool) -> Tensor:
        centroids = self.centroids[level]
        if fused:
            return nearest_fused(left, centroids, self.half_squares[level])
        return nearest(left, centroids)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, K] -> latent [B, dimension, 1]."""
        levels = torch.arange(self.used, device=codes.device)
        total = self.centroids[levels, codes].sum(1)  # [B, K, D] -> [B, D]
        return self.output_proj(total[..., None])


class SplitQuantizer(nn.Module):
    """The semantic branch and the acoustic branch."""

    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        self.rvq_first = Branch(config, stored=1, used=1)
        self.rvq_rest = Branch(config, config.codebooks_stored - 1, config.codebooks - 1)
        self.fused = False

    def prepare(self, fused: bool) -> None:
        """Derives the centroids from the loaded sums; call it once, after loading.

        Args:
            fused: search with `nearest_fused` rather than with the reference's own formula.
        """
        self.rvq_first.prepare()
        self.rvq_rest.prepare()
        self.fused = fused

    def encode(self, x: Tensor) -> Tensor:
        """Latent float32 [B, dimension, 1] -> codes, int64 [B, K]."""
        branches = (self.rvq_first, self.rvq_rest)
        return torch.cat([branch.encode(x, self.fused) for branch in branches], dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes int64 [B, K] -> latent float32 [B, dimension, 1]."""
        return self.rvq_first.decode(codes[:, :1]) + self.rvq_rest.decode(codes[:, 1:])


def nearest(x: Tensor, centroids: Tensor) -> Tensor:
    """The index of the nearest centroid by Euclidean distance, in the reference's arithmetic.

    Args:
        x: float32 [B, D].
        centroids: float32 [size, D].

    Returns:
        int64 [B].
    """
    return torch.cdist(x, centroids).argmin(-1)


def nearest_fused(x: Tensor, centroids: Tensor, half_squares: Tensor) -> Tensor:
    """The same index from |c|^2 / 2 - x.c, which orders centroids as the distance does.

    One product and one search instead of a dozen kernels. Rounds differently from `nearest`, so
    near ties may fall the other way.

    Args:
        x: float32 [B, D].
        centroids: float32 [size, D].
        half_squares: float32 [size], |c|^2 / 2.

    Returns:
        int64 [B].
    """
    return torch.addmm(half_squares, x, centroids.T, alpha=-1).argmin(-1)
