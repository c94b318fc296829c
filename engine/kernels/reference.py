"""What each kernel computes, in plain PyTorch: the definition that the tests hold them to.

Works in the inputs' dtype (give float64 for a yardstick), loops where a loop reads best, and is
no part of a running engine. Needs no Triton.
"""

from __future__ import annotations

import torch
from torch.nn import functional


def rmsnorm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """X * weight / sqrt(mean(x^2) + eps) over the last axis."""
    return x * weight * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


def gated(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """silu(a) * b, where [a | b] = x W^T."""
    a, b = (x @ weight.T).chunk(2, dim=-1)
    return functional.silu(a) * b


def rotate(vectors: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turns interleaved pairs of [B, H, D] by angles [B, D / 2]."""
    even, odd = vectors[..., 0::2], vectors[..., 1::2]
    cos, sin = cos[:, None], sin[:, None]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


def decode_attention(
    query_live: torch.Tensor,
    query_sink: torch.Tensor,
    pages: torch.Tensor,
    sink_table: torch.Tensor,
    sink_length: torch.Tensor,
    live_table: torch.Tensor,
    live_start: torch.Tensor,
    live_stop: torch.Tensor,
) -> torch.Tensor:
    """See `engine.kernels.attention.decode_attention`; fp8 pages come already scaled up."""
    slots, ring = pages.shape[3], live_table.shape[1]
    rows = []
    for row, (live, sink) in enumerate(zip(query_live, query_sink, strict=True)):
        prompt = range(int(sink_length[row]))
        offsets = range(int(live_start[row]), int(live_stop[row]))
        cells = [(int(sink_table[row, p // slots]), p % slots) for p in prompt]
        cells += [(int(live_table[row, o // slots % ring]), o % slots) for o in offsets]
        if not cells:
            rows.append(torch.zeros_like(live))
            continue
        key, value = torch.stack([pages[page, :, :, slot] for page, slot in cells], dim=2)
        query = torch.stack([sink] * len(prompt) + [live] * len(offsets), dim=1)  # [H, T, D]
        share = ((query * key).sum(-1) / key.shape[-1] ** 0.5).softmax(dim=-1)
        rows.append((share[..., None] * value).sum(1))
    return torch.stack(rows)


def attend_steps(packed: torch.Tensor, step: int, heads: int) -> torch.Tensor:
    """See `engine.kernels.depth.attend_steps`."""
    steps, rows, _ = packed.shape
    query, key, value = packed.view(steps, rows, 3, heads, -1)[: step + 1].unbind(2)
    share = ((query[step] * key).sum(-1) / key.shape[-1] ** 0.5).softmax(dim=0)  # [T, B, H]
    return (share[..., None] * value).sum(0).flatten(1)


def embed(
    tokens: torch.Tensor, text_table: torch.Tensor, audio_table: torch.Tensor
) -> torch.Tensor:
    """Audio streams in order, then text; -1 is the zero vector; every sum is rounded."""
    tables = [*audio_table, text_table]
    total = None
    for column, table in zip(tokens[:, [*range(1, len(tables)), 0]].T, tables, strict=True):
        entry = table[column.clamp(min=0)] * (column >= 0)[:, None].to(table.dtype)
        total = entry if total is None else total + entry
    assert total is not None  # noqa: S101 -- there is always a text stream
    return total


def sample(
    logits: torch.Tensor,
    temperature: torch.Tensor,
    top_k: torch.Tensor,
    clocks: torch.Tensor,
) -> torch.Tensor:
    """Argmax of softmax(logits / T) / clock over the top_k largest; of equals the lower token.

    Args:
        logits: [B, V].
        temperature: [B]; 0 = the most probable.
        top_k: [B].
        clocks: [B, K], one for each rank.
    """
    order = logits.float().sort(dim=-1, descending=True, stable=True).indices
    order = order[:, : clocks.shape[1]]
    warm = torch.where(temperature > 0, temperature, 1.0)[:, None]
    best = (logits.float() / warm).softmax(dim=-1).gather(1, order)
    allowed = torch.arange(clocks.shape[1], device=logits.device) < top_k[:, None]
    race = torch.where(allowed, best / clocks, -1.0)
    drawn = order.gather(1, race.argmax(-1, keepdim=True))[:, 0]
    return torch.where(temperature > 0, drawn, order[:, 0])
