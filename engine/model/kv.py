"""Keys and values in pages, and each row's way through them.

    pool         [layers, pages, 2, H, S, D]   page 0 is scratch: idle rows write there
    sink_table   int32 [B, max_sink_pages]     the prompt's pages, shared between rows
    sink_length  int32 [B]                     P, the prompt's positions
    live_table   int32 [B, ring_pages]         a ring of private pages
    position     int32 [B]                     the next absolute position p; live offset o = p - P
    live_floor   int32 [B]                     offsets below it are gone (elastic window)
    live_window  int32 [B]                     live offsets that may be seen at once

Which page belongs to whom is decided elsewhere, on the host; here are only numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from engine.config import Format, LMConfig
from engine.formats import FP8_MAX, SCALE, kv_dtype, to_int8
from engine.model.attention import decode_attention, prefill_attention, rotary_angles, rotate


@dataclass(frozen=True, slots=True)
class CacheRows:
    """Where each row stands and where its keys lie; see the module's table."""

    sink_table: Tensor
    sink_length: Tensor
    live_table: Tensor
    position: Tensor
    live_floor: Tensor
    live_window: Tensor

    @staticmethod
    def allocate(
        rows: int, max_sink_pages: int, ring_pages: int, device: torch.device
    ) -> CacheRows:
        """Zeroed rows: everything points to the scratch page."""

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=torch.int32, device=device)

        return CacheRows(
            sink_table=zeros(rows, max_sink_pages),
            sink_length=zeros(rows),
            live_table=zeros(rows, ring_pages),
            position=zeros(rows),
            live_floor=zeros(rows),
            live_window=zeros(rows),
        )

    def rows(self, start: int, stop: int) -> CacheRows:
        """Views of the rows [start, stop)."""
        return CacheRows(*(getattr(self, field.name)[start:stop] for field in fields(self)))

    def advance(self, live: Tensor) -> None:
        """Moves the live rows to their next position, in place."""
        self.position.add_(live)


def new_pool(
    config: LMConfig, pages: int, page_size: int, like: Tensor, kind: Format = "bf16"
) -> Tensor:
    """The zeroed pages of all layers, on the device and in the type of `like`, or in 8 bits."""
    shape = (config.layers, pages, 2, config.heads, page_size, config.head_dim)
    return torch.zeros(*shape, dtype=kv_dtype(kind, like), device=like.device)


def position_scales(pool: Tensor) -> Tensor:
    """The scales of a pool in int8, one a position: [layers, pages, 2, H, S]."""
    return torch.zeros(pool.shape[:-1], dtype=SCALE, device=pool.device)


class DecodeAttend:
    """One new position in each row of a batch.

    Idle rows write to the scratch page and get an output that means nothing.

    Args:
        config: the model's sizes.
        pool: the pages of all layers.
        rows: where each row stands.
        live: bool [B].
        scales: for a pool in 8 bits: fp8: float32 [layers, 2, H], int8: `position_scales`.
    """

    def __init__(
        self,
        config: LMConfig,
        pool: Tensor,
        rows: CacheRows,
        live: Tensor,
        scales: Tensor | None = None,
    ) -> None:
        self.pool = pool
        self.scales = scales
        self.rows = rows
        self.live = live
        offset = rows.position - rows.sink_length
        page_size = pool.shape[4]
        ring_index = (offset // page_size % rows.live_table.shape[1]).long()
        page = rows.live_table.gather(1, ring_index[:, None])[:, 0].long()
        self.page = torch.where(live, page, torch.zeros_like(page))
        self.place = (offset % page_size).long()
        self.live_stop = offset + 1
        self.live_start = torch.maximum(rows.live_floor, self.live_stop - rows.live_window)

        at_window = rows.position.clamp(max=config.window_positions - 1)
        self.angles = rotary_angles(rows.position, config.head_dim, config.rope_period)
        self.sink_angles = rotary_angles(at_window, config.head_dim, config.rope_period)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [B, H, D] -> [B, H, D]."""
        rows, kv_layer = self.rows, self.pool[layer]
        scales = self.scales[layer] if self.scales is not None else None
        store(kv_layer, self.page, self.place, rotate(k, self.angles), v, scales)
        return decode_attention(
            rotate(q, self.angles),
            rotate(q, self.sink_angles),
            kv_layer,
            rows.sink_table,
            rows.sink_length,
            rows.live_table,
            self.live_start,
            self.live_stop,
            scales,
        )


class PrefillAttend:
    """A chunk of one prompt, T positions at once.

    Args:
        config: the model's sizes.
        pool: the pages of all layers.
        pages: int32 [n], the prompt's pages from its beginning.
        start: the chunk's first position.
        stop: one past its last; start + T.
        scales: as in `DecodeAttend`.
    """

    def __init__(
        self,
        config: LMConfig,
        pool: Tensor,
        pages: Tensor,
        start: int,
        stop: int,
        scales: Tensor | None = None,
    ) -> None:
        self.pool = pool
        self.scales = scales
        self.pages = pages
        self.start = start
        position = torch.arange(start, stop, device=pool.device)
        page_size = pool.shape[4]
        self.page = pages.long()[position // page_size]
        self.place = position % page_size
        self.angles = rotary_angles(position, config.head_dim, config.rope_period)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [T, H, D] -> [T, H, D]."""
        kv_layer = self.pool[layer]
        scales = self.scales[layer] if self.scales is not None else None
        store(kv_layer, self.page, self.place, rotate(k, self.angles), v, scales)
        return prefill_attention(rotate(q, self.angles), kv_layer, self.pages, self.start, scales)


def store(
    kv_layer: Tensor, page: Tensor, place: Tensor, k: Tensor, v: Tensor, scales: Tensor | None
) -> None:
    """Writes keys and values [N, H, D] to their places, in place; int8's scales as well.

    Out of fp8's range saturates; what is no number stays none.
    """
    for which, entries in enumerate((k, v)):
        if scales is None:
            kv_layer[page, which, :, place] = entries
            continue
        if kv_layer.dtype == torch.int8:
            kv_layer[page, which, :, place], scales[page, which, :, place] = to_int8(entries)
            continue
        worth = entries.float() / scales[which][:, None]
        kept = worth.clamp(-FP8_MAX, FP8_MAX).to(kv_layer.dtype)
        # PyTorch indexes bytes, not 8-bit floats.
        kv_layer.view(torch.uint8)[page, which, :, place] = kept.view(torch.uint8)
