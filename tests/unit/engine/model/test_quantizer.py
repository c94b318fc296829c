"""The split quantizer against its definition."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.config import MimiConfig
from engine.model.quantizer import (
    USAGE_FLOOR,
    Branch,
    Codebook,
    SplitQuantizer,
    nearest,
    nearest_fused,
)
from tests.unit.engine.model.mimi_cases import TINY, randomise

ROWS = 50


def build(fused: bool = False) -> SplitQuantizer:
    """A quantizer with random codebooks, ready for use."""
    quantizer = SplitQuantizer(TINY)
    randomise(quantizer, torch.Generator().manual_seed(0))
    quantizer.requires_grad_(False).prepare(fused)
    return quantizer


def latents(seed: int = 1) -> Tensor:
    """Random latents, float32 [B, dimension, 1]."""
    return torch.randn(ROWS, TINY.dimension, 1, generator=torch.Generator().manual_seed(seed))


def codes_by_definition(branch: Branch, x: Tensor) -> Tensor:
    """Residual quantization in float64, one row and one codebook at a time."""
    left = x[..., 0].double() @ branch.input_proj.weight[..., 0].double().T
    codes = torch.zeros(len(x), branch.used, dtype=torch.int64)
    for row in range(len(x)):
        for level in range(branch.used):
            centroids = branch.vq["layers"][level]["_codebook"].centroids().double()
            code = (centroids - left[row]).norm(dim=1).argmin()
            left[row] -= centroids[code]
            codes[row, level] = code
    return codes


def test_codes_are_the_nearest_centroids_of_what_is_left() -> None:
    """Both branches start from the same latent; each level quantizes the remainder."""
    quantizer, x = build(), latents()
    codes = quantizer.encode(x)
    assert codes.shape == (ROWS, TINY.codebooks)
    assert torch.equal(codes[:, :1], codes_by_definition(quantizer.rvq_first, x))
    assert torch.equal(codes[:, 1:], codes_by_definition(quantizer.rvq_rest, x))


def test_codes_use_the_codebooks() -> None:
    """The test above would say little if all rows had the same code."""
    codes = build().encode(latents())
    assert all(len(codes[:, level].unique()) > ROWS // 4 for level in range(TINY.codebooks))


def test_decode_sums_each_branch_and_projects_it() -> None:
    """The latent is the projected semantic centroid plus the projected acoustic sum."""
    quantizer = build()
    codes = torch.randint(TINY.codebook_size, (ROWS, TINY.codebooks))
    expected = torch.zeros(ROWS, TINY.dimension, dtype=torch.float64)
    level = 0
    for branch in (quantizer.rvq_first, quantizer.rvq_rest):
        project = branch.output_proj.weight[..., 0].double().T
        for layer in list(branch.vq["layers"])[: branch.used]:
            expected += layer["_codebook"].centroids()[codes[:, level]].double() @ project
            level += 1
    torch.testing.assert_close(
        quantizer.decode(codes)[..., 0].double(), expected, rtol=0, atol=1e-5
    )


def test_fused_finds_the_same_codes() -> None:
    """The cheaper formula orders the centroids as the distance does."""
    x = latents(2)
    assert torch.equal(build(fused=True).encode(x), build().encode(x))


def test_fused_search_agrees_at_the_published_size() -> None:
    """2048 centroids of width 256; only a near tie may fall the other way."""
    generator = torch.Generator().manual_seed(3)
    centroids = torch.randn(2048, 256, generator=generator)
    x = 1.5 * torch.randn(64, 256, generator=generator)
    exact = nearest(x, centroids)
    fused = nearest_fused(x, centroids, centroids.square().sum(-1) / 2)
    true = (x.double()[:, None] - centroids.double()).norm(dim=-1)
    excess = true.gather(1, fused[:, None])[:, 0] - true.gather(1, exact[:, None])[:, 0]
    assert (fused != exact).sum() <= 1
    assert excess.abs().max() < 1e-4


def test_hardly_used_centroid_is_finite() -> None:
    """A usage of zero divides by the floor, as the reference's does."""
    book = Codebook(MimiConfig(codebook_size=2, codebook_dim=3))
    book.cluster_usage.copy_(torch.tensor([0.0, 4.0]))
    book.embedding_sum.fill_(1.0)
    expected = torch.tensor([1 / USAGE_FLOOR, 0.25])
    torch.testing.assert_close(book.centroids(), expected[:, None].expand(2, 3))


def test_derived_tensors_are_not_in_the_checkpoint() -> None:
    """Preparing adds no key."""
    assert build().state_dict().keys() == SplitQuantizer(TINY).state_dict().keys()
