"""The kernels at small sizes through Triton's interpreter, against their definitions."""

from __future__ import annotations

import pytest
import torch

from engine.config import Format
from engine.kernels.attention import splits_for, warps_and_stages
from engine.kernels.tiles import Tile
from tests import kernel_cases as cases
from tests.kernel_draws import draws

# The interpreter computes masked-out lanes too, and warns of what they hold.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning"),
    pytest.mark.timeout(60),  # the interpreter takes its time
]

FLOAT32 = cases.On("cpu", torch.float32)
BFLOAT16 = cases.On("cpu", torch.bfloat16)


@pytest.mark.parametrize("on", [FLOAT32, BFLOAT16], ids=["float32", "bf16"])
@pytest.mark.parametrize("kind", ["bf16", "fp8", "int8"])
def test_attention(on: cases.On, kind: Format) -> None:
    """Sink and live pages, a wrapped ring, an idle row, stale pages full of NaN."""
    cases.check_attention(on, heads=2, dim=32, slots=16, window=61, kind=kind)


def test_attention_splits_by_batch_alone() -> None:
    """More rows, fewer splits; never so few blocks that the device stands idle."""
    assert [splits_for(rows, 32) for rows in (1, 8, 32, 64, 128)] == [8, 8, 4, 2, 1]


def test_attention_takes_smaller_blocks_for_many_rows_in_8_bits() -> None:
    """Few rows, and pages of two bytes, keep the larger ones."""
    assert warps_and_stages(64, 1) == (2, 2)
    assert warps_and_stages(1, 1) == warps_and_stages(64, 2) == (4, 3)


@pytest.mark.parametrize(
    ("on", "heads"), [(FLOAT32, 12), (BFLOAT16, 2)], ids=["float32, 12 heads", "bf16"]
)
def test_write_kv(on: cases.On, heads: int) -> None:
    """Exactly one slot of each row is written, in every head; queries are turned twice."""
    cases.check_write(on, heads, dim=32, slots=16)


def test_write_int8() -> None:
    """A scale for each vector, in every head."""
    cases.check_write_int8(FLOAT32, heads=12, dim=32, slots=16)


@pytest.mark.parametrize("width", [64, 1500])
def test_between_the_librarys_products(width: int) -> None:
    """Sum and norm, and the gate; a width that is no multiple of a block."""
    cases.check_wide(FLOAT32, rows=3, width=width)


@pytest.mark.parametrize("splits", [1, 3])
@pytest.mark.parametrize("kind", ["bf16", "fp8", "int8"])
def test_projections(splits: int, kind: Format) -> None:
    """Plain, normed, gated and onto the stream; whole and split along the depth."""
    cases.check_projections(FLOAT32, 5, 64, 96, Tile(32, 32, splits), kind)


@pytest.mark.parametrize("dim", [64, 1536])
def test_embedding(dim: int) -> None:
    """The sum in order, with zero tokens; a width that is no multiple of a block."""
    cases.check_embedding(FLOAT32, dim, streams=4)


def test_depth_attention() -> None:
    """A step sees the steps before and itself."""
    cases.check_depth_attention(FLOAT32, rows=3, heads=2, dim=16)


@pytest.mark.parametrize("on", [FLOAT32, BFLOAT16], ids=["float32", "bf16"])
@pytest.mark.parametrize("vocabulary", [48, 256])
def test_sampler(on: cases.On, vocabulary: int) -> None:
    """The engine's own noise, ties, greedy rows, NaN."""
    clocks, draw = draws(rows=8, most=25, stream=3, device="cpu")
    cases.check_sampler(on, vocabulary, 8, 25, clocks, draw)
