"""The kernels at the model's own sizes on a CUDA device, against float64 definitions."""

from __future__ import annotations

import pytest
import torch

from engine.config import Format
from tests.kernel_draws import draws

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.timeout(120),
]

if torch.cuda.is_available():
    from engine.kernels.tiles import Tile
    from tests import kernel_cases as cases

    BF16 = cases.On("cuda", torch.bfloat16)


@pytest.mark.parametrize("kind", ["bf16", "fp8", "int8"])
def test_attention(kind: Format) -> None:
    """32 heads of 128, a full window and a wrapped ring."""
    cases.check_attention(BF16, 32, 128, 64, 3000, kind)


def test_write_kv() -> None:
    """Exactly one slot of each row is written."""
    cases.check_write(BF16, 32, 128, 64)


def test_write_kv_quantised() -> None:
    """Stored e4m3 values are the nearest ones."""
    cases.check_write_quantised(BF16, 32, 128, 64)


def test_write_int8() -> None:
    """A scale for each vector."""
    cases.check_write_int8(BF16, 32, 128, 64)


@pytest.mark.parametrize("width", [4096, 11264])
def test_between_the_librarys_products(width: int) -> None:
    """Sum and norm, and the gate."""
    cases.check_wide(BF16, 152, width)


@pytest.mark.parametrize("kind", ["bf16", "fp8", "int8"])
@pytest.mark.parametrize("rows", [1, 5, 64, 100])
@pytest.mark.parametrize(
    ("outputs", "depth", "splits"), [(4096, 4096, 1), (1024, 2816, 1), (4096, 11264, 4)]
)
def test_projections(rows: int, outputs: int, depth: int, splits: int, kind: Format) -> None:
    """All four forms, whole and split, at row counts below and above a block's."""
    tile = Tile(32, 128, splits, 3) if rows < 100 else Tile(64, 64, splits, 3)
    cases.check_projections(BF16, rows, outputs, depth, tile, kind)


def test_embedding() -> None:
    """16 audio streams and text, 4096 wide."""
    cases.check_embedding(BF16, 4096, 16)


def test_depth_attention() -> None:
    """16 heads of 64 over up to 8 steps."""
    cases.check_depth_attention(BF16, 70, 16, 64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("vocabulary", "most"), [(2048, 250), (32000, 25)])
def test_sampler(vocabulary: int, most: int, dtype: torch.dtype) -> None:
    """Text and audio vocabularies, with ties."""
    clocks, draw = draws(rows=64, most=most, stream=3, device="cuda")
    cases.check_sampler(cases.On("cuda", dtype), vocabulary, 64, most, clocks, draw)
