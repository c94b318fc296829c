"""Attention of one new position per session over paged keys, and of a prompt chunk over its own.

Keys are stored rotated at their absolute positions. A session sees two groups of them:

    sink   [0, P)              the prompt; shared pages; the query stands at min(p, window - 1)
    live   [P + start, P + o]  the rolling window; private ring of pages; the query stands at p

so that no distance between a query and a key leaves the range that the model was trained on.
With an empty sink table only the live group exists, and the keys lie in the order of the ring.

This is the plain PyTorch form: the CPU path, and what faster kernels are compared with. It
knows nothing of who owns a page.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def rotary_angles(position: Tensor, head_dim: int, period: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the rotary embedding, float32 [N, head_dim / 2] each."""
    pair = torch.arange(head_dim // 2, device=position.device, dtype=torch.float32)
    frequency = torch.exp(pair * (-math.log(period) * 2 / head_dim))
    angle = frequency * position.float()[:, None]  # [N, head_dim / 2]
    return torch.cos(angle), torch.sin(angle)


def rotate(x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """Turns the pairs (2i, 2i + 1) of each head, in float32, and casts back.

    Args:
        x: [N, H, D].
        angles: from `rotary_angles`, one row for each of the N.
    """
    cos, sin = (part[:, None, :] for part in angles)
    real, imaginary = x.unflatten(-1, (-1, 2)).float().unbind(-1)  # [N, H, D / 2]
    turned = torch.stack(
        [
            (real * cos - imaginary * sin).to(x.dtype),
            (real * sin + imaginary * cos).to(x.dtype),
        ],
        dim=-1,
    )
    return turned.flatten(-2)  # [N, H, D]


def gather_pages(
    kv_layer: Tensor, table: Tensor, scales: Tensor | None, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Keys and values of each row's pages, side by side.

    Args:
        kv_layer: [pages, 2, H, S, D].
        table: int32 [B, n], page numbers.
        scales: the worth of keys and values: fp8 pages: float32 [2, H], int8 pages:
            [pages, 2, H, S]; None for plain pages.
        dtype: what 8-bit pages are turned into.

    Returns:
        Keys and values, [B, H, n * S, D] each.
    """
    if scales is None:
        pages = kv_layer[table.long()]  # [B, n, 2, H, S, D]
    elif kv_layer.dtype == torch.int8:
        worth = scales[table.long()].float()[..., None]  # [B, n, 2, H, S, 1]
        pages = (kv_layer[table.long()] * worth).to(dtype)
    else:  # PyTorch indexes bytes, not 8-bit floats
        pages = kv_layer.view(torch.uint8)[table.long()].view(kv_layer.dtype).float()
        pages = (pages * scales[:, :, None, None]).to(dtype)
    keys, values = pages.permute(2, 0, 3, 1, 4, 5).flatten(3, 4)  # [B, H, n * S, D] each
    return keys, values


def ring_visible(live_start: Tensor, live_stop: Tensor, capacity: int) -> Tensor:
    """Which places of the ring hold a visible key: bool [B, capacity].

    Place r holds the newest offset below `live_stop` that is r modulo the capacity:

        capacity 8, stop 11:   place    0  1  2  3  4  5  6  7
                               offset   8  9 10  3  4  5  6  7
    """
    place = torch.arange(capacity, device=live_stop.device)
    newest = (live_stop - 1)[:, None].long()
    offset = newest - torch.remainder(newest - place, capacity)
    return offset >= live_start[:, None].clamp(min=0)


def decode_attention(
    q_live: Tensor,
    q_sink: Tensor,
    kv_layer: Tensor,
    sink_table: Tensor,
    sink_length: Tensor,
    live_table: Tensor,
    live_start: Tensor,
    live_stop: Tensor,
    scales: Tensor | None = None,
) -> Tensor:
    """One query per row over the row's sink and live pages.

    Args:
        q_live: [B, H, D], rotated at the row's position.
        q_sink: [B, H, D], rotated at min(position, window - 1).
        kv_layer: [pages, 2, H, S, D], keys and values of one layer.
        sink_table: int32 [B, max_sink_pages].
        sink_length: int32 [B], prompt positions.
        live_table: int32 [B, ring_pages]; offset o lies in page (o // S) % ring_pages.
        live_start: [B], first visible live offset.
        live_stop: [B], one past the last; a row with nothing visible gets an undefined output.
        scales: as in `gather_pages`.

    Returns:
        [B, H, D].
    """
    keys, values = gather_pages(kv_layer, live_table, scales, q_live.dtype)
    visible = ring_visible(live_start, live_stop, keys.shape[2])
    keys, values = hide(keys, visible), hide(values, visible)
    if sink_table.shape[1] == 0:
        mask = visible[:, None, None, :]
        out = functional.scaled_dot_product_attention(q_live[:, :, None], keys, values, mask)
        return out[:, :, 0]

    sink_keys, sink_values = gather_pages(kv_layer, sink_table, scales, q_live.dtype)
    in_sink = torch.arange(sink_keys.shape[2], device=keys.device) < sink_length[:, None]
    sink_keys, sink_values = hide(sink_keys, in_sink), hide(sink_values, in_sink)
    scores = torch.cat(
        [
            torch.einsum("bhd,bhkd->bhk", q_sink, sink_keys),
            torch.einsum("bhd,bhkd->bhk", q_live, keys),
        ],
        dim=-1,
    ).float() / math.sqrt(q_live.shape[-1])
    seen = torch.cat([in_sink, visible], dim=-1)[:, None]  # [B, 1, K]
    weight = torch.softmax(scores.masked_fill(~seen, -math.inf), dim=-1).to(values.dtype)
    return torch.einsum("bhk,bhkd->bhd", weight, torch.cat([sink_values, values], dim=2))


def hide(entries: Tensor, visible: Tensor) -> Tensor:
    """Zeroes the entries that nobody may see.

    A page's earlier owner may have left NaN in it, and 0 * NaN is NaN.

    Args:
        entries: [B, H, K, D].
        visible: bool [B, K].
    """
    return torch.where(visible[:, None, :, None], entries, torch.zeros_like(entries))


def prefill_attention(
    q: Tensor, kv_layer: Tensor, pages: Tensor, start: int, scales: Tensor | None = None
) -> Tensor:
    """Causal attention of a prompt chunk over the prompt so far.

    Args:
        q: [T, H, D], rotated at positions start .. start + T - 1.
        kv_layer: [pages, 2, H, S, D]; the chunk's own keys are already written.
        pages: int32 [n], the prompt's pages from its beginning.
        start: the chunk's first position.
        scales: as in `gather_pages`.

    Returns:
        [T, H, D].
    """
    stop = start + q.shape[0]
    keys, values = gather_pages(kv_layer, pages[None], scales, q.dtype)
    query_position = torch.arange(start, stop, device=q.device)[:, None]
    mask = torch.arange(stop, device=q.device)[None, :] <= query_position  # [T, stop]
    out = functional.scaled_dot_product_attention(
        q.transpose(0, 1)[None], keys[:, :, :stop], values[:, :, :stop], mask
    )
    return out[0].transpose(0, 1)
