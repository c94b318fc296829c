"""Decode attention over paged keys and values: one query a row, split over programs.

A row sees its shared prompt pages first (the sink, with a query rotated for them), then its own
ring of live pages. The kernel reads each visible page once and nothing else of size, so its floor
is the KV bytes over the memory bandwidth: at 32 heads of 128 a position is 16 KiB a layer in
bf16, 8 KiB in 8 bits. This module does not know who filled the pages, or what a prompt is.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

# Programs wanted in flight: an H100 holds about 400 of these at once, and ten turns of that keep
# the last, partly filled turn small.
_WANTED_PROGRAMS = 4096
_MAX_SPLITS = 8
_FEW_ROWS = 8
_LOG2_E = 1.4426950408889634


# Table widths differ between prompts and ticks: no code of its own for a width of one.
@triton.jit(do_not_specialize=["sink_columns", "ring"])
def _attend_pages(
    query_live,  # [B, H, D]
    query_sink,  # [B, H, D]
    pages,  # [pages, 2, H, S, D]
    scales,  # what one step is worth; fp8: float32 [2, H]; int8: [pages, 2, H, S]
    sink_table,  # int32 [B, sink_columns]
    sink_length,  # int32 [B]
    live_table,  # int32 [B, ring]
    live_start,  # int32 [B]
    live_stop,  # int32 [B]
    partial,  # float32 [B, H, splits, D]
    log_weight,  # float32 [B, H, splits], base 2
    sink_columns,
    ring,
    score_scale,
    HEADS: tl.constexpr,
    SLOTS: tl.constexpr,
    DIM: tl.constexpr,
    SPLITS: tl.constexpr,
    BY_HEAD: tl.constexpr,
    BY_POSITION: tl.constexpr,
    STAGES: tl.constexpr,
):
    """One (head, split, row): its share of the row's pages, into a partial sum."""
    head = tl.program_id(0)
    split = tl.program_id(1)
    row = tl.program_id(2)

    sink = tl.load(sink_length + row)
    start = tl.load(live_start + row)
    stop = tl.load(live_stop + row)
    sink_pages = tl.cdiv(sink, SLOTS)
    first_live = start // SLOTS
    total = sink_pages + tl.maximum(tl.cdiv(stop, SLOTS) - first_live, 0)
    share = tl.cdiv(total, SPLITS)
    begin = split * share
    end = tl.minimum(begin + share, total)

    slot = tl.arange(0, SLOTS)
    dim = tl.arange(0, DIM)
    scale = score_scale
    if BY_HEAD:
        scale *= tl.load(scales + head)
    query_at = (row * HEADS + head) * DIM + dim
    live_query = tl.load(query_live + query_at).to(tl.float32) * scale
    sink_query = tl.load(query_sink + query_at).to(tl.float32) * scale
    tile = slot[:, None] * DIM + dim[None, :]
    key_pages = pages + head * SLOTS * DIM
    value_pages = key_pages + HEADS * SLOTS * DIM

    # Each slot of the page keeps its own running maximum and sum: no reduction across slots, and
    # so no exchange between threads, until all pages are read.
    top = tl.full([SLOTS], -1e30, tl.float32)
    weight = tl.zeros([SLOTS], tl.float32)
    out = tl.zeros([SLOTS, DIM], tl.float32)
    for index in tl.range(begin, end, num_stages=STAGES):
        in_sink = index < sink_pages
        live_page = first_live + index - sink_pages
        entry = tl.where(
            in_sink,
            sink_table + row * sink_columns + index,
            live_table + row * ring + live_page % ring,
        )
        # A page is 2 x H x S x D values: past 2^31 of them after 4096 pages of bf16.
        page = tl.load(entry).to(tl.int64) * (2 * HEADS * SLOTS * DIM)
        at = tl.where(in_sink, index, live_page) * SLOTS + slot
        visible = (at >= tl.where(in_sink, 0, start)) & (at < tl.where(in_sink, sink, stop))
        # Masked loads: a stale slot of a page may hold a NaN of the call that had it before.
        key = tl.load(key_pages + page + tile, mask=visible[:, None], other=0.0)
        value = tl.load(value_pages + page + tile, mask=visible[:, None], other=0.0)
        query = tl.where(in_sink, sink_query, live_query)
        score = tl.sum(key.to(tl.float32) * query[None, :], axis=1)
        if BY_POSITION:
            worth = scales + page // DIM + head * SLOTS + slot
            score *= tl.load(worth, mask=visible, other=0.0).to(tl.float32)
        new_top = tl.where(visible, tl.maximum(top, score), top)
        probability = tl.where(visible, tl.exp2(score - new_top), 0.0)
        fade = tl.exp2(top - new_top)
        weight = weight * fade + probability
        if BY_POSITION:
            value_worth = tl.load(worth + HEADS * SLOTS, mask=visible, other=0.0)
            probability *= value_worth.to(tl.float32)
        out = out * fade[:, None] + probability[:, None] * value.to(tl.float32)
        top = new_top

    if begin < end:
        peak = tl.max(top, axis=0)
        fade = tl.exp2(top - peak)
        total_weight = tl.sum(weight * fade, axis=0)
        merged = tl.sum(out * fade[:, None], axis=0) / total_weight
        part = (row * HEADS + head) * SPLITS + split
        tl.store(partial + part * DIM + dim, merged)
        tl.store(log_weight + part, peak + tl.log2(total_weight))


@triton.jit
def _merge_splits(
    partial,  # float32 [B, H, splits, D]
    log_weight,  # float32 [B, H, splits], base 2
    scales,  # float32 [2, H]
    sink_length,  # int32 [B]
    live_start,  # int32 [B]
    live_stop,  # int32 [B]
    attended,  # [B, H, D]
    HEADS: tl.constexpr,
    SLOTS: tl.constexpr,
    DIM: tl.constexpr,
    SPLITS: tl.constexpr,
    BY_HEAD: tl.constexpr,
):
    """One (head, row): the weighted mean of its splits; zeros for a row that sees nothing."""
    head = tl.program_id(0)
    row = tl.program_id(1)
    pages = tl.cdiv(tl.load(sink_length + row), SLOTS) + tl.maximum(
        tl.cdiv(tl.load(live_stop + row), SLOTS) - tl.load(live_start + row) // SLOTS, 0
    )
    split = tl.arange(0, SPLITS)
    dim = tl.arange(0, DIM)
    used = split * tl.cdiv(pages, SPLITS) < pages
    part = (row * HEADS + head) * SPLITS + split
    score = tl.load(log_weight + part, mask=used, other=-1e30)
    share = tl.where(used, tl.exp2(score - tl.max(score, axis=0)), 0.0)
    share = share / tl.maximum(tl.sum(share, axis=0), 1e-30)
    values = tl.load(partial + part[:, None] * DIM + dim[None, :], mask=used[:, None], other=0.0)
    merged = tl.sum(values * share[:, None], axis=0)
    if BY_HEAD:
        merged *= tl.load(scales + HEADS + head)
    at = attended + (row * HEADS + head) * DIM + dim
    tl.store(at, merged.to(attended.dtype.element_ty))


def splits_for(rows: int, heads: int) -> int:
    """Splits of each row's pages: a power of two, chosen from the batch alone.

    The grid must not depend on lengths, which only the device knows.
    """
    splits = 1
    while splits < _MAX_SPLITS and 2 * splits * rows * heads <= _WANTED_PROGRAMS:
        splits *= 2
    return splits


def warps_and_stages(rows: int, value_bytes: int) -> tuple[int, int]:
    """Warps of a block and pages on their way to it.

    A page in 8 bits is half a page's bytes: blocks of two warps, of which twice as many are in
    flight, then read 4 to 15 % faster (H200, 64 and 152 rows), but for few rows there are too few.
    """
    return (2, 2) if value_bytes == 1 and rows > _FEW_ROWS else (4, 3)


def decode_attention(
    query_live: torch.Tensor,
    query_sink: torch.Tensor,
    pages: torch.Tensor,
    sink_table: torch.Tensor,
    sink_length: torch.Tensor,
    live_table: torch.Tensor,
    live_start: torch.Tensor,
    live_stop: torch.Tensor,
    scales: torch.Tensor | None = None,
) -> torch.Tensor:
    """Attends one query a row to the row's sink pages and then to its live pages.

    Live offset o lies in page `live_table[row, (o // S) % ring]`, slot `o % S`; offsets from
    `live_start` up to, not including, `live_stop` are visible. A row that sees nothing (an idle
    row) costs no reads and gives zeros.

    Args:
        query_live: [B, H, D], rotated at the row's position; contiguous.
        query_sink: [B, H, D], rotated as the sink is to be seen.
        pages: [pages, 2, H, S, D], bf16, float32, float8_e4m3fn or int8; keys, then values.
        sink_table: int32 [B, any], page numbers of the shared prompt.
        sink_length: int32 [B], prompt positions that are visible.
        live_table: int32 [B, ring], page numbers of the row's own ring.
        live_start: int32 [B], first visible live offset.
        live_stop: int32 [B], one past the last.
        scales: the worth of keys and values; fp8 pages: float32 [2, H], int8 pages:
            [pages, 2, H, S].

    Returns:
        [B, H, D] in the queries' dtype.
    """
    rows, heads, dim = query_live.shape
    slots = pages.shape[3]
    splits = splits_for(rows, heads)
    partial = query_live.new_empty(rows, heads, splits, dim, dtype=torch.float32)
    log_weight = query_live.new_empty(rows, heads, splits, dtype=torch.float32)
    attended = torch.empty_like(query_live)
    by_head = scales is not None and scales.dim() == 2
    by_position = scales is not None and not by_head
    warps, stages = warps_and_stages(rows, pages.element_size())
    _attend_pages[(heads, splits, rows)](
        query_live, query_sink, pages, scales,
        sink_table, sink_length, live_table, live_start, live_stop,
        partial, log_weight,
        sink_table.shape[1], live_table.shape[1], _LOG2_E / dim**0.5,
        HEADS=heads, SLOTS=slots, DIM=dim, SPLITS=splits, BY_HEAD=by_head,
        BY_POSITION=by_position, STAGES=stages, num_warps=warps,
    )  # fmt: skip
    _merge_splits[(heads, rows)](
        partial, log_weight, scales, sink_length, live_start, live_stop, attended,
        HEADS=heads, SLOTS=slots, DIM=dim, SPLITS=splits, BY_HEAD=by_head, num_warps=1,
    )  # fmt: skip
    return attended
