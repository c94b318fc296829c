"""Projection of few rows by a large weight: y = x W^T with what stands around it fused in.

With at most 128 rows every weight is used so little that its bytes are the whole cost: the floor
is the weight bytes over the memory bandwidth. The kernel computes the transpose, so that the
weight rows fill the long side of the matrix instruction and the rows of the batch the short one.

The root-mean-square norm of the input costs no pass of its own: whoever wrote the input also
wrote it multiplied by the norm's weight, and its sums of squares; the projection is linear, so
the row's factor is applied to the finished sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from engine.formats import Weight
from engine.kernels.tiles import Tile, block_of_rows

_MOST_SPLITS = 4


@dataclass(frozen=True, slots=True)
class Stream:
    """The residual stream between two projections, written in place.

    Attributes:
        value: [B, K], the stream itself.
        weighted: [B, K], value times the next norm's weight.
        squares: float32 [parts, B], whose sum over parts is the sum of squares of a row.
    """

    value: torch.Tensor
    weighted: torch.Tensor
    squares: torch.Tensor


@dataclass(frozen=True, slots=True)
class Workspace:
    """Scratch of split projections, shared by all that run one after another on a stream.

    Attributes:
        partial: float32 [enough]; the unfinished sums.
        arrivals: int32 [most output blocks], zero between launches.
    """

    partial: torch.Tensor
    arrivals: torch.Tensor

    @staticmethod
    def allocate(outputs: int, rows: int, device: torch.device | str) -> Workspace:
        """Room for projections to `outputs` outputs, in up to four splits, of `rows` rows."""
        padded = block_of_rows(rows) * triton.cdiv(rows, block_of_rows(rows))
        return Workspace(
            torch.empty(_MOST_SPLITS * outputs * padded, dtype=torch.float32, device=device),
            torch.zeros(outputs * padded // 256, dtype=torch.int32, device=device),
        )


@triton.jit
def _silu(x):
    return x / (1.0 + tl.exp(-x))


# The number of rows changes from tick to tick and from prompt to prompt: no code of its own for
# the odd, the even and the one.
@triton.jit(do_not_specialize=["batch"])
def _project(
    x,  # [B, K], rows `x_stride` apart
    weight,  # [N, K]; gated: [2 N, K], first half under the activation
    weight_scale,  # float32 [N] or [2 N]
    squares,  # float32 [parts, B]
    out,  # [B, N], rows `out_stride` apart; with RESIDUAL also read
    norm_weight,  # [N]: the next norm's
    weighted_out,  # [B, N]
    squares_out,  # float32 [blocks, B]
    partial,  # float32 [splits, blocks, (2,) BLOCK_N, BLOCK_B]
    arrivals,  # int32 [blocks]
    batch,
    outputs,
    x_stride,
    out_stride,
    eps,
    K: tl.constexpr,
    PARTS: tl.constexpr,  # of `squares`; 0: no norm
    GATED: tl.constexpr,
    RESIDUAL: tl.constexpr,
    FEEDS_NORM: tl.constexpr,
    QUANTISED: tl.constexpr,
    SPLITS: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    STAGES: tl.constexpr,
):
    """One (block of rows, block of outputs, split of the depth).

    Blocks of rows that share a block of outputs run side by side: the weight is read from memory
    once, and by the others from the second-level cache.
    """
    row_block = tl.program_id(0)
    block = tl.program_id(1)
    split = tl.program_id(2)
    n = block * BLOCK_N + tl.arange(0, BLOCK_N)
    b = row_block * BLOCK_B + tl.arange(0, BLOCK_B)
    k = tl.arange(0, BLOCK_K)
    has_row = b < batch
    row_mask = has_row[None, :]
    x_at = x + b.to(tl.int64)[None, :] * x_stride + k[:, None]
    weight_at = weight + n.to(tl.int64)[:, None] * K + k[None, :]
    gate_at = weight_at + outputs.to(tl.int64) * K
    acc = tl.zeros([BLOCK_N, BLOCK_B], tl.float32)
    gate_acc = tl.zeros([BLOCK_N, BLOCK_B], tl.float32)
    steps: tl.constexpr = K // BLOCK_K
    share: tl.constexpr = (steps + SPLITS - 1) // SPLITS
    first = split * share
    for step in tl.range(first, tl.minimum(first + share, steps), num_stages=STAGES):
        offset = step * BLOCK_K
        columns = tl.load(x_at + offset, mask=row_mask, other=0.0)  # [BLOCK_K, BLOCK_B]
        tile = tl.load(weight_at + offset)
        acc = tl.dot(tile.to(columns.dtype), columns, acc, input_precision="ieee")
        if GATED:
            gate = tl.load(gate_at + offset)
            gate_acc = tl.dot(gate.to(columns.dtype), columns, gate_acc, input_precision="ieee")

    last = True
    if SPLITS > 1:
        # The split that arrives last sums all of them in their order: the result does not depend
        # on the order of arrival.
        cell = tl.arange(0, BLOCK_N)[:, None] * BLOCK_B + tl.arange(0, BLOCK_B)[None, :]
        size: tl.constexpr = BLOCK_N * BLOCK_B * (2 if GATED else 1)
        group = row_block * tl.num_programs(1) + block
        base = partial + group * (SPLITS * size) + cell
        tl.store(base + split * size, acc)
        if GATED:
            tl.store(base + split * size + BLOCK_N * BLOCK_B, gate_acc)
        tl.debug_barrier()
        arrived = tl.atomic_add(arrivals + group, 1, sem="acq_rel", scope="gpu")
        last = arrived == SPLITS - 1
        if last:
            tl.store(arrivals + group, 0)
            acc = tl.zeros([BLOCK_N, BLOCK_B], tl.float32)
            gate_acc = tl.zeros([BLOCK_N, BLOCK_B], tl.float32)
            for other in tl.static_range(SPLITS):
                acc += tl.load(base + other * size, cache_modifier=".cg")
                if GATED:
                    gate_acc += tl.load(
                        base + other * size + BLOCK_N * BLOCK_B, cache_modifier=".cg"
                    )
    if last:
        if QUANTISED:
            acc *= tl.load(weight_scale + n)[:, None]
            if GATED:
                gate_acc *= tl.load(weight_scale + outputs + n)[:, None]
        if PARTS > 0:
            part = tl.arange(0, PARTS)
            square = tl.load(
                squares + part[:, None] * batch + b[None, :], mask=has_row[None, :], other=0.0
            )
            factor = tl.rsqrt(tl.sum(square, axis=0) / K + eps)[None, :]
            acc *= factor
            gate_acc *= factor
        if GATED:
            acc = _silu(acc) * gate_acc
        at = b.to(tl.int64)[None, :] * out_stride + n[:, None]
        if RESIDUAL:
            acc += tl.load(out + at, mask=row_mask, other=0.0).to(tl.float32)
        result = acc.to(out.dtype.element_ty)
        tl.store(out + at, result, mask=row_mask)
        if FEEDS_NORM:
            result = result.to(tl.float32)
            norm = tl.load(norm_weight + n).to(tl.float32)[:, None]
            weighted = (result * norm).to(weighted_out.dtype.element_ty)
            tl.store(
                weighted_out + b.to(tl.int64)[None, :] * outputs + n[:, None],
                weighted,
                mask=row_mask,
            )
            tl.store(squares_out + block * batch + b, tl.sum(result * result, axis=0), mask=has_row)


def _launch(
    x: torch.Tensor,
    weight: Weight,
    out: torch.Tensor,
    tile: Tile,
    workspace: Workspace,
    *,
    squares: torch.Tensor | None = None,
    gated: bool = False,
    residual: bool = False,
    norm_weight: torch.Tensor | None = None,
    weighted: torch.Tensor | None = None,
    squares_out: torch.Tensor | None = None,
    eps: float = 0.0,
) -> None:
    rows, depth = x.shape
    outputs = out.shape[1]
    tile = tile.fit(outputs, depth, x.element_size())
    block_rows = tile.rows or block_of_rows(rows)
    _project[(triton.cdiv(rows, block_rows), outputs // tile.outputs, tile.splits)](
        x, weight.matrix, weight.scale, squares, out, norm_weight, weighted, squares_out,
        workspace.partial, workspace.arrivals,
        rows, outputs, x.stride(0), out.stride(0), eps,
        K=depth, PARTS=0 if squares is None else squares.shape[0], GATED=gated,
        RESIDUAL=residual, FEEDS_NORM=norm_weight is not None, QUANTISED=weight.scale is not None,
        SPLITS=tile.splits, BLOCK_B=block_rows, BLOCK_N=tile.outputs, BLOCK_K=tile.depth,
        STAGES=tile.stages, num_warps=tile.warps,
    )  # fmt: skip


def project(
    x: torch.Tensor,
    weight: Weight,
    out: torch.Tensor,
    tile: Tile,
    workspace: Workspace,
) -> None:
    """Writes x W^T into `out` [B, N]; x [B, K] and `out` may have strided rows."""
    _launch(x, weight, out, tile, workspace)


def project_normed(
    stream: Stream,
    weight: Weight,
    out: torch.Tensor,
    eps: float,
    tile: Tile,
    workspace: Workspace,
) -> None:
    """Writes rmsnorm(stream) W^T into `out` [B, N]."""
    _launch(stream.weighted, weight, out, tile, workspace, squares=stream.squares, eps=eps)


def project_gated(
    stream: Stream,
    weight: Weight,
    out: torch.Tensor,
    eps: float,
    tile: Tile,
    workspace: Workspace,
) -> None:
    """Writes silu(a) * b into `out` [B, N], where [a | b] = rmsnorm(stream) W^T, W [2 N, K]."""
    _launch(
        stream.weighted, weight, out, tile, workspace, squares=stream.squares, eps=eps, gated=True
    )


def project_onto(
    x: torch.Tensor,
    weight: Weight,
    stream: Stream,
    norm_weight: torch.Tensor | None,
    tile: Tile,
    workspace: Workspace,
) -> Stream:
    """Adds x W^T to the stream in place and prepares it for the norm `norm_weight`, if any.

    Returns:
        The stream as the next projection is to see it.
    """
    parts = (
        stream.value.shape[1]
        // tile.fit(stream.value.shape[1], x.shape[1], x.element_size()).outputs
    )
    squares = (
        stream.squares.new_empty(parts, x.shape[0]) if norm_weight is not None else stream.squares
    )
    _launch(
        x, weight, stream.value, tile, workspace, residual=True,
        norm_weight=norm_weight, weighted=stream.weighted, squares_out=squares,
    )  # fmt: skip
    return Stream(stream.value, stream.weighted, squares)
