"""Writing keys into pages."""

from __future__ import annotations

from dataclasses import replace

import torch

from engine.model.attention import rotary_angles, rotate
from engine.model.kv import CacheRows, DecodeAttend, PrefillAttend, new_pool
from tests.unit.engine.oracle_lm import TINY

PAGE = 4
CPU = torch.device("cpu")
ROWS, RING = 3, 4


def rows_at(positions: list[int], sink: list[int]) -> CacheRows:
    """Rows with private pages 1..12 and prompts of the given lengths."""
    rows = CacheRows.allocate(ROWS, 2, RING, CPU)
    rows.live_table.copy_(1 + torch.arange(ROWS * RING).view(ROWS, RING))
    rows.position.copy_(torch.tensor(positions))
    rows.sink_length.copy_(torch.tensor(sink))
    rows.live_window.fill_(8)
    return rows


def vectors(seed: int) -> torch.Tensor:
    """Random q, k, v: [3, B, H, D]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, ROWS, TINY.heads, TINY.head_dim, generator=generator)


def test_keys_land_at_their_offset_and_idle_rows_on_the_scratch_page() -> None:
    """Row 0 at offset 0, row 1 (idle) nowhere, row 2 at offset 21 = place 1 of ring page 1."""
    pool = new_pool(TINY, 1 + ROWS * RING, PAGE, torch.zeros(1))
    rows = rows_at([5, 9, 24], [5, 0, 3])
    live = torch.tensor([True, False, True])
    q, k, v = vectors(0)
    DecodeAttend(TINY, pool, rows, live)(1, q, k, v)
    turned = rotate(k, rotary_angles(rows.position, TINY.head_dim, TINY.rope_period))
    assert torch.equal(pool[1, 1, 0, :, 0], turned[0])
    assert torch.equal(pool[1, 1, 1, :, 0], v[0])
    assert torch.equal(pool[1, 10, 0, :, 1], turned[2])
    pool[1, 1, :, :, 0] = 0
    pool[1, 10, :, :, 1] = 0
    assert not pool[:, 1:].any()


def test_window_moves_and_floor_holds() -> None:
    """The newest 8 offsets, unless pages below a floor are gone."""
    pool = new_pool(TINY, 1 + ROWS * RING, PAGE, torch.zeros(1))
    rows = rows_at([5, 20, 20], [5, 5, 5])
    rows.live_floor[2] = 12
    attend = DecodeAttend(TINY, pool, rows, torch.ones(ROWS, dtype=torch.bool))
    assert attend.live_start.tolist() == [0, 8, 12]
    assert attend.live_stop.tolist() == [1, 16, 16]
    assert attend.live_start.dtype == attend.live_stop.dtype == torch.int32


def test_sink_query_stands_inside_the_window() -> None:
    """Past the window, the query that meets the prompt is rotated as at window - 1."""
    pool = new_pool(TINY, 1 + ROWS * RING, PAGE, torch.zeros(1))
    rows = rows_at([4, TINY.window_positions - 1, 1000], [1, 1, 1])
    attend = DecodeAttend(TINY, pool, rows, torch.ones(ROWS, dtype=torch.bool))
    cos, sink_cos = attend.angles[0], attend.sink_angles[0]
    assert torch.equal(cos[:2], sink_cos[:2])
    assert torch.equal(sink_cos[2], cos[1])
    assert not torch.equal(cos[2], sink_cos[2])


def test_only_live_rows_advance() -> None:
    """An idle row stays where it is; views share memory."""
    rows = rows_at([5, 9, 24], [0, 0, 0])
    rows.rows(0, 2).advance(torch.tensor([True, False]))
    assert rows.position.tolist() == [6, 9, 24]


def test_prefill_writes_rotated_keys_at_absolute_positions() -> None:
    """A chunk from position 3 on goes through pages in the prompt's order."""
    pool = new_pool(replace(TINY, layers=1), 6, PAGE, torch.zeros(1))
    pages = torch.tensor([5, 2], dtype=torch.int32)
    _, k, v = vectors(1)
    attend = PrefillAttend(TINY, pool, pages, 3, 6)
    attend(0, *vectors(1))
    turned = rotate(k, rotary_angles(torch.tensor([3, 4, 5]), TINY.head_dim, TINY.rope_period))
    for index, (page, place) in enumerate([(5, 3), (2, 0), (2, 1)]):
        assert torch.equal(pool[0, page, 0, :, place], turned[index])
        assert torch.equal(pool[0, page, 1, :, place], v[index])
    assert not pool[0, [0, 1, 3, 4]].any()
