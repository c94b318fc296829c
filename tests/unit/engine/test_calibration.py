"""Scales of 8-bit keys and values, and pages that hold them, in plain PyTorch."""

from __future__ import annotations

import pytest
import torch

from engine.agreement import columns
from engine.calibration import HEADROOM, Measure, kv_scales
from engine.config import Format
from engine.formats import FP8, FP8_MAX, SCALE
from engine.model.kv import (
    CacheRows,
    DecodeAttend,
    PrefillAttend,
    new_pool,
    position_scales,
    store,
)
from tests.unit.engine.engine_cases import config, models

PAGE = 8


def test_scales_put_the_measured_range_into_e4m3() -> None:
    """Twice what was measured still fits; every head has its own scale; more inputs raise them."""
    lm = models().lm
    short, long = (lm.embed(columns(lm.config, length, seed=length)) for length in (40, 150))
    scales = kv_scales(lm, lm.hidden, PAGE, [short])
    assert scales.shape == (lm.config.layers, 2, lm.config.heads)
    assert bool((scales > 1e-12).all())
    assert torch.equal(scales, kv_scales(lm, lm.hidden, PAGE, [short]))
    assert len(scales.unique()) > 1
    both = kv_scales(lm, lm.hidden, PAGE, [short, long])
    assert torch.equal(both, torch.maximum(scales, kv_scales(lm, lm.hidden, PAGE, [long])))
    assert not torch.equal(both, scales)


def test_measure_sees_through_the_rotation() -> None:
    """A key's entry can become as large as its pair's norm; a value's stays as it is."""
    sizes = config()
    pool = new_pool(sizes, 2, PAGE, torch.zeros(1))
    table = torch.ones(1, dtype=torch.int32)
    largest = torch.zeros(sizes.layers, 2, sizes.heads)
    measure = Measure(largest, PrefillAttend(sizes, pool, table, 0, 2))
    q = torch.zeros(2, sizes.heads, sizes.head_dim)
    k, v = q.clone(), q.clone()
    k[1, 2, 4:6] = torch.tensor([3.0, -4.0])
    v[0, 1, 3] = -7.0
    measure(1, q, k, v)
    assert float(largest[1, 0, 2]) == 5.0
    assert float(largest[1, 1, 1]) == 7.0
    assert float(largest.sum()) == 12.0
    assert HEADROOM > 1


def test_store_saturates_and_keeps_nan() -> None:
    """e4m3 has no infinity: too large becomes 448 steps; NaN stays NaN, to be noticed."""
    kv_layer = torch.zeros(2, 2, 1, 4, 4, dtype=FP8)
    page, place = torch.tensor([1]), torch.tensor([2])
    k = torch.tensor([[[1.0, 1e4, -1e4, float("nan")]]])
    store(kv_layer, page, place, k, torch.ones(1, 1, 4), torch.tensor([[0.5], [0.25]]))
    written = kv_layer.float()[1, :, 0, 2]
    assert written[0, :3].tolist() == [2.0, FP8_MAX, -FP8_MAX]
    assert bool(written[0, 3].isnan())
    assert written[1].tolist() == [4.0] * 4


def test_store_keeps_int8_with_a_scale_for_each_vector() -> None:
    """127 steps to each vector's largest entry; zeros stay zeros; a NaN spoils its own vector."""
    kv_layer = torch.zeros(2, 2, 2, 4, 4, dtype=torch.int8)
    scales = torch.zeros(2, 2, 2, 4, dtype=SCALE)
    page, place = torch.tensor([1]), torch.tensor([2])
    k = torch.tensor([[[1.0, -127.0, 0.4, 63.6], [0.0, 0.0, 0.0, 0.0]]])
    v = torch.tensor([[[0.0, 0.0, 0.0, 254.0], [1.0, 2.0, float("nan"), 3.0]]])
    store(kv_layer, page, place, k, v, scales)
    assert kv_layer[1, 0, :, 2].tolist() == [[1, -127, 0, 64], [0, 0, 0, 0]]
    assert kv_layer[1, 1, 0, 2].tolist() == [0, 0, 0, 127]
    assert scales[1, 0, :, 2].tolist() == [1.0, 0.0]
    assert float(scales[1, 1, 0, 2]) == 2.0
    assert bool(scales[1, 1, 1, 2].isnan())
    assert int(scales.count_nonzero()) == 3


@pytest.mark.parametrize("sink", [0, 11])
@pytest.mark.parametrize(("kind", "most"), [("fp8", 0.08), ("int8", 0.015)])
def test_8_bit_pages_attend_nearly_as_plain_ones(sink: int, kind: Format, most: float) -> None:
    """The same keys in both kinds of pages lead to nearly the same output."""
    sizes = config()
    by_head = torch.full((sizes.layers, 2, sizes.heads), 0.02)
    outputs = []
    for kept in ("bf16", kind):
        torch.manual_seed(1)
        pool = new_pool(sizes, 8, PAGE, torch.zeros(1), kept)
        scales = {"bf16": None, "fp8": by_head, "int8": position_scales(pool)}[kept]
        rows = CacheRows.allocate(1, 2, 4, torch.device("cpu"))
        rows.sink_table[0] = torch.tensor([1, 2])
        rows.live_table[0] = torch.tensor([3, 4, 5, 6])
        rows.sink_length[0] = sink
        rows.live_window[0] = 20
        table = torch.tensor([1, 2], dtype=torch.int32)
        heads = torch.randn(3, max(sink, 1), sizes.heads, sizes.head_dim)
        PrefillAttend(sizes, pool, table, 0, max(sink, 1), scales)(0, *heads)
        for position in range(sink, sink + 9):
            rows.position[0] = position
            attend = DecodeAttend(sizes, pool, rows, torch.tensor([True]), scales)
            out = attend(0, *torch.randn(3, 1, sizes.heads, sizes.head_dim))
        outputs.append(out)
    plain, quantised = outputs
    assert not torch.equal(plain, quantised)
    assert (plain - quantised).norm() < most * plain.norm()
