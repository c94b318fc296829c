"""The depth transformer of one tick: a handful of short steps, five kernels a layer each.

Every step has its own weights, read once: 1.23 GB for 8 steps, 0.41 ms at 3 TB/s. The kernels
between them move kilobytes, so their number is what counts: 8 steps x (6 layers x 5 + head +
sampler) = 256. Keys and values of earlier steps are simply the kept projections of those steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from engine.formats import Weight
from engine.kernels.linear import (
    Stream,
    Workspace,
    project,
    project_gated,
    project_normed,
    project_onto,
)
from engine.kernels.sampler import DepthStart, Draw, sample
from engine.kernels.tiles import DepthTiles


@dataclass(frozen=True, slots=True)
class DepthLayer:
    """One layer's weights for one step; the norms are shared by all steps.

    Attributes:
        norm_in: [D], before the attention.
        packed: [3 D, D], queries, keys, values.
        attended: [D, D], out of the attention.
        norm_gate: [D], before the gate.
        gate: [2 F, D].
        down: [D, F].
    """

    norm_in: torch.Tensor
    packed: Weight
    attended: Weight
    norm_gate: torch.Tensor
    gate: Weight
    down: Weight


@dataclass(frozen=True, slots=True)
class DepthStep:
    """One step's weights.

    Attributes:
        table: [rows, D], embedding of the token that this step starts from.
        layers: its layers.
        head: [V, D], its logits.
    """

    table: torch.Tensor
    layers: tuple[DepthLayer, ...]
    head: Weight


@triton.jit(do_not_specialize=["batch", "step"])
def _attend_steps(
    packed,  # [steps, B, 3, H, D]: this step's and the earlier steps' projections
    attended,  # [B, H, D]
    batch,
    step,
    scale,
    HEADS: tl.constexpr,
    DIM: tl.constexpr,
    STEPS: tl.constexpr,
):
    """One (row, head): this step's query over the keys of steps 0 .. step."""
    row = tl.program_id(0)
    head = tl.program_id(1)
    dim = tl.arange(0, DIM)
    index = tl.arange(0, STEPS)
    width: tl.constexpr = 3 * HEADS * DIM
    at = row * width + head * DIM + dim
    query = tl.load(packed + step * batch * width + at).to(tl.float32) * scale
    key_at = packed + HEADS * DIM + index[:, None] * batch * width + at[None, :]
    seen = (index <= step)[:, None]
    key = tl.load(key_at, mask=seen, other=0.0).to(tl.float32)
    value = tl.load(key_at + HEADS * DIM, mask=seen, other=0.0).to(tl.float32)
    score = tl.where(index <= step, tl.sum(key * query[None, :], axis=1), float("-inf"))
    share = tl.exp(score - tl.max(score, axis=0))
    share = share / tl.sum(share, axis=0)
    result = tl.sum(share[:, None] * value, axis=0)
    tl.store(attended + (row * HEADS + head) * DIM + dim, result.to(attended.dtype.element_ty))


def attend_steps(packed: torch.Tensor, step: int, heads: int) -> torch.Tensor:
    """Attention over this frame's steps.

    Args:
        packed: [steps, B, 3 * H * D], projections; those up to `step` are filled.
        step: the step whose query looks.
        heads: H.

    Returns:
        [B, H * D].
    """
    steps, rows, width = packed.shape
    dim = width // 3 // heads
    attended = packed.new_empty(rows, heads * dim)
    _attend_steps[(rows, heads)](
        packed, attended, rows, step, dim**-0.5,
        HEADS=heads, DIM=dim, STEPS=triton.next_power_of_2(steps), num_warps=1,
    )  # fmt: skip
    return attended


def run_depth(
    steps: tuple[DepthStep, ...],
    projected: torch.Tensor,
    stream: Stream,
    draw: Draw,
    broken: torch.Tensor,
    *,
    heads: int,
    eps: float,
    tiles: DepthTiles,
    workspace: Workspace,
) -> torch.Tensor:
    """Draws the audio tokens of one frame, one codebook after the other.

    Args:
        steps: K steps.
        projected: [B, K, D], every step's view of the temporal hidden state.
        stream: step 0's input: projected[:, 0] plus the text token's embedding.
        draw: how the audio streams draw.
        broken: bool [B]; set for rows with NaN logits.
        heads: attention heads.
        eps: of the norms.
        tiles: how each projection is cut.
        workspace: scratch for split projections.

    Returns:
        int64 [B, K].
    """
    rows, count, dim = projected.shape
    inner = steps[0].layers[0].down.matrix.shape[1]
    tokens = torch.empty(rows, count, dtype=torch.int64, device=projected.device)
    packed = projected.new_empty(len(steps[0].layers), count, rows, 3 * dim)
    hidden = projected.new_empty(rows, inner)
    logits = projected.new_empty(rows, steps[0].head.matrix.shape[0])
    for index, step in enumerate(steps):
        for number, layer in enumerate(step.layers):
            project_normed(
                stream, layer.packed, packed[number, index], eps, tiles.packed, workspace
            )
            attended = attend_steps(packed[number], index, heads)
            stream = project_onto(
                attended, layer.attended, stream, layer.norm_gate, tiles.attended, workspace
            )
            project_gated(stream, layer.gate, hidden, eps, tiles.gate, workspace)
            following = step.layers[number + 1].norm_in if number + 1 < len(step.layers) else None
            stream = project_onto(hidden, layer.down, stream, following, tiles.down, workspace)
        project(stream.value, step.head, logits, tiles.head, workspace)
        start = None
        if index + 1 < count:
            after = steps[index + 1]
            start = DepthStart(projected[:, index + 1], after.table, after.layers[0].norm_in)
        stream = sample(logits, draw, 1 + index, tokens[:, index], broken, start) or stream
    return tokens
