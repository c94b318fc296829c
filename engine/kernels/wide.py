"""The temporal layers for many rows: the vendor's products, with two kernels of our own between.

From some 64 rows on a product is no longer a matter of the weight's bytes alone: the library's
kernels, made for whole matrices, take half the time of `linear.py`'s (152 rows on an H200: 136 us a
layer against 283). What they leave in memory is read once more by each of the two kernels here.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch.nn import functional

from engine.kernels.temporal import AttendPacked, TemporalLayer

_BLOCK = 1024


@triton.jit
def _add_and_norm(
    value,  # [B, D], read and written
    added,  # [B, D]
    norm_weight,  # [D]
    normed,  # [B, D]
    eps,
    DIM: tl.constexpr,
    BLOCK: tl.constexpr,
    ADDS: tl.constexpr,
):
    """One row: value += added, normed = rmsnorm(value)."""
    at = tl.arange(0, BLOCK)
    inside = at < DIM
    place = tl.program_id(0).to(tl.int64) * DIM + at
    kept = value.dtype.element_ty
    total = tl.load(value + place, mask=inside, other=0.0).to(tl.float32)
    if ADDS:
        total += tl.load(added + place, mask=inside, other=0.0).to(tl.float32)
        total = total.to(kept).to(tl.float32)
        tl.store(value + place, total.to(kept), mask=inside)
    factor = tl.rsqrt(tl.sum(total * total, axis=0) / DIM + eps)
    norm = tl.load(norm_weight + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(normed + place, (total * (norm * factor)).to(kept), mask=inside)


@triton.jit
def _gate(
    halves,  # [B, 2 F]
    out,  # [B, F]
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One (row, block of the width): silu(a) * b."""
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < WIDTH
    a = tl.load(halves + row * (2 * WIDTH) + at, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(halves + row * (2 * WIDTH) + WIDTH + at, mask=inside, other=0.0).to(tl.float32)
    gated = a / (1.0 + tl.exp(-a)) * b
    tl.store(out + row * WIDTH + at, gated.to(out.dtype.element_ty), mask=inside)


def add_and_norm(
    value: torch.Tensor, added: torch.Tensor | None, norm_weight: torch.Tensor, eps: float
) -> torch.Tensor:
    """Adds to `value` [B, D] in place, if there is anything to add, and gives its norm, [B, D]."""
    rows, dim = value.shape
    normed = torch.empty_like(value)
    _add_and_norm[(rows,)](
        value, added, norm_weight, normed, eps,
        DIM=dim, BLOCK=triton.next_power_of_2(dim), ADDS=added is not None, num_warps=8,
    )  # fmt: skip
    return normed


def gate(halves: torch.Tensor) -> torch.Tensor:
    """silu(a) * b, where [a | b] = `halves` [B, 2 F]: [B, F]."""
    rows, width = halves.shape[0], halves.shape[1] // 2
    out = halves.new_empty(rows, width)
    _gate[(rows, triton.cdiv(width, _BLOCK))](halves, out, WIDTH=width, BLOCK=_BLOCK, num_warps=4)
    return out


def run_wide(
    layers: tuple[TemporalLayer, ...],
    value: torch.Tensor,
    first_norm: torch.Tensor,
    attend: AttendPacked,
    eps: float,
) -> torch.Tensor:
    """Takes many rows through all layers; the weights are plain.

    Args:
        layers: the layers.
        value: [B, E], the summed embeddings; written over.
        first_norm: [E], the first layer's.
        attend: the attention.
        eps: of the norms.

    Returns:
        [B, E], after the last norm.
    """
    normed = add_and_norm(value, None, first_norm, eps)
    for index, layer in enumerate(layers):
        attended = attend(index, functional.linear(normed, layer.packed.matrix))
        added = functional.linear(attended, layer.attended.matrix)
        normed = add_and_norm(value, added, layer.norm_gate, eps)
        hidden = gate(functional.linear(normed, layer.gate.matrix))
        added = functional.linear(hidden, layer.down.matrix)
        normed = add_and_norm(value, added, layer.norm_next, eps)
    return normed
