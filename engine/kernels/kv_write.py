"""From the packed projection of a step to rotated queries and a written KV page slot.

One program handles all heads' share of one row: read 3 x H x D values, write as many. Knows
nothing of windows: the caller gives the angles for both queries and the slot to write.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import triton
import triton.language as tl

_HEADS_A_PROGRAM = 8  # 8 heads x 128 values: four 16-byte loads for each of 64 threads


@dataclass(frozen=True, slots=True)
class Rotation:
    """Cosines and sines of one tick, float32 [B, D / 2] each, the same in every layer.

    `live` belongs to the row's absolute position, `sink` to the position that the query
    pretends to have when it looks at the prompt.
    """

    cos_live: torch.Tensor
    sin_live: torch.Tensor
    cos_sink: torch.Tensor
    sin_sink: torch.Tensor


@triton.jit
def _rotate(even, odd, cos, sin):
    """Turns each interleaved pair by its angle: [heads, D/2] values, [D/2] angles."""
    turned_even = even * cos[None, :] - odd * sin[None, :]
    turned_odd = even * sin[None, :] + odd * cos[None, :]
    return tl.join(turned_even, turned_odd)


@triton.jit
def _to_int8(vectors, worth):
    """Whole steps of [heads, D/2, 2], and each head's scale to `worth`; see `formats.to_int8`."""
    most = tl.max(tl.max(tl.abs(vectors), axis=2), axis=1)
    odd = tl.sum(tl.sum((vectors != vectors).to(tl.int32), axis=2), axis=1)
    kept = (tl.where(odd > 0, float("nan"), most) / 127.0).to(worth.dtype.element_ty)
    tl.store(worth, kept)
    scale = tl.maximum(tl.where(odd > 0, 1.0, kept.to(tl.float32)), 1e-12)
    whole = tl.floor(vectors / scale[:, None, None] + 0.5)
    return tl.where(whole == whole, tl.minimum(tl.maximum(whole, -127.0), 127.0), 0.0)


@triton.jit
def _write_kv(
    packed,  # [B, 3, H, D]: queries, keys, values
    cos_live, sin_live, cos_sink, sin_sink,  # float32 [B, D/2]
    pages,  # [pages, 2, H, S, D]
    scales,  # fp8: float32 [2, H]; int8: [pages, 2, H, S], written
    page_of,  # int32 [B]
    slot_of,  # int32 [B]
    query_live, query_sink,  # [B, H, D]
    HEADS: tl.constexpr,
    SLOTS: tl.constexpr,
    DIM: tl.constexpr,
    GROUP: tl.constexpr,
    BY_HEAD: tl.constexpr,
    BY_POSITION: tl.constexpr,
):  # fmt: skip
    """One (row, group of heads)."""
    row = tl.program_id(0)
    head = tl.program_id(1) * GROUP + tl.arange(0, GROUP)
    half = tl.arange(0, DIM // 2)
    pair = tl.arange(0, 2)
    inside = (2 * half)[None, :, None] + pair[None, None, :]  # [1, D/2, 2]
    vector = head[:, None, None] * DIM + inside  # [GROUP, D/2, 2]
    row_base = packed + row * (3 * HEADS * DIM)
    query_even, query_odd = tl.split(tl.load(row_base + vector).to(tl.float32))
    key_even, key_odd = tl.split(tl.load(row_base + HEADS * DIM + vector).to(tl.float32))
    value = tl.load(row_base + 2 * HEADS * DIM + vector).to(tl.float32)

    angle = row * (DIM // 2) + half
    cos = tl.load(cos_live + angle)
    sin = tl.load(sin_live + angle)
    live = _rotate(query_even, query_odd, cos, sin)
    sink = _rotate(query_even, query_odd, tl.load(cos_sink + angle), tl.load(sin_sink + angle))
    out_at = row * (HEADS * DIM) + vector
    tl.store(query_live + out_at, live.to(query_live.dtype.element_ty))
    tl.store(query_sink + out_at, sink.to(query_sink.dtype.element_ty))

    key = _rotate(key_even, key_odd, cos, sin)
    if BY_HEAD:
        # Out of range saturates: e4m3 has no infinity, the plain conversion would give NaN. A NaN
        # stays NaN, so that the row is noticed and ended.
        key_scale = tl.load(scales + head)[:, None, None]
        value_scale = tl.load(scales + HEADS + head)[:, None, None]
        key = tl.clamp(key / key_scale, -448.0, 448.0, tl.PropagateNan.ALL)
        value = tl.clamp(value / value_scale, -448.0, 448.0, tl.PropagateNan.ALL)
    page = tl.load(page_of + row).to(tl.int64) * (2 * HEADS * SLOTS * DIM)
    place = head * SLOTS + tl.load(slot_of + row)
    if BY_POSITION:
        worth = scales + page // DIM + place
        key = _to_int8(key, worth)
        value = _to_int8(value, worth + HEADS * SLOTS)
    slot_at = place[:, None, None] * DIM + inside
    kept = pages.dtype.element_ty
    tl.store(pages + page + slot_at, key.to(kept))
    tl.store(pages + page + HEADS * SLOTS * DIM + slot_at, value.to(kept))


def write_kv(
    packed: torch.Tensor,
    rotation: Rotation,
    pages: torch.Tensor,
    page_of: torch.Tensor,
    slot_of: torch.Tensor,
    heads: int,
    scales: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotates queries and keys and writes each row's key and value to its slot.

    Args:
        packed: [B, 3 * H * D], the projection's output: queries, keys, values, head-major.
        rotation: this tick's angles.
        pages: [pages, 2, H, S, D], one layer's pool; written in place.
        page_of: int32 [B], page to write; idle rows name the scratch page.
        slot_of: int32 [B], slot inside the page.
        heads: H.
        scales: fp8 pages: float32 [2, H], the worth of keys and values; int8 pages:
            [pages, 2, H, S], written as well.

    Returns:
        The queries for live pages and for sink pages, [B, H, D] each, in `packed`'s dtype.
    """
    rows = packed.shape[0]
    dim = pages.shape[4]
    query_live = packed.new_empty(rows, heads, dim)
    query_sink = packed.new_empty(rows, heads, dim)
    group = math.gcd(_HEADS_A_PROGRAM, heads)
    by_head = scales is not None and scales.dim() == 2
    _write_kv[(rows, heads // group)](
        packed, rotation.cos_live, rotation.sin_live, rotation.cos_sink, rotation.sin_sink,
        pages, scales, page_of, slot_of, query_live, query_sink,
        HEADS=heads, SLOTS=pages.shape[3], DIM=dim, GROUP=group,
        BY_HEAD=by_head, BY_POSITION=scales is not None and not by_head, num_warps=2,
    )  # fmt: skip
    return query_live, query_sink
