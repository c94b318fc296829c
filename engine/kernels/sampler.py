"""Drawing one token a row on the device: temperature, top-k, and a race of exponential clocks.

The same draw as `engine.model.sampling`: argmax of p / e over the k most probable, with e from
Philox keyed by the call's seed, the position, the stream and the candidate's rank. One program
reads its row of logits once and keeps it in registers; the k largest are found by bisection over
the sortable bits of a float, so that only those few are ranked, not the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from engine.kernels.linear import Stream


@dataclass(frozen=True, slots=True)
class Draw:
    """How each row draws.

    Attributes:
        temperature: float32 [B]; 0 = always the most probable.
        top_k: int64 [B].
        seed: int64 [B].
        position: int32 or int64 [B], where the token will stand.
        most: the largest top_k that any row may have.
    """

    temperature: torch.Tensor
    top_k: torch.Tensor
    seed: torch.Tensor
    position: torch.Tensor
    most: int


@dataclass(frozen=True, slots=True)
class DepthStart:
    """What a depth step's input is made of, apart from the token that is being drawn.

    Attributes:
        projected: [B, D], the step's view of the temporal state; rows may be strided.
        table: [rows, D], embedding of the token.
        norm_weight: [D], the step's first norm.
    """

    projected: torch.Tensor
    table: torch.Tensor
    norm_weight: torch.Tensor


@triton.jit
def _sortable(values):
    """Unsigned words that sort as the floats do: they are stored as sign and magnitude."""
    bits = values.to(tl.int32, bitcast=True)
    return (bits ^ ((bits >> 31) | -2147483648)).to(tl.uint32, bitcast=True)


@triton.jit
def _top(order, top_k, BITS: tl.constexpr):
    """Mask of the top_k largest of `order`, which has BITS bits; of equals the first ones."""
    edge = tl.zeros([], tl.uint32)
    for index in tl.static_range(BITS):
        candidate = edge | (1 << (BITS - 1 - index))
        enough = tl.sum((order >= candidate).to(tl.int32), axis=0) >= top_k
        edge = tl.where(enough, candidate, edge)
    above = order > edge
    equal = order == edge
    room = top_k - tl.sum(above.to(tl.int32), axis=0)
    return above | (equal & (tl.cumsum(equal.to(tl.int32), axis=0) <= room))


@triton.jit
def _clock(seed, position, stream, rank):
    """Exp(1) draws of the candidates `rank` [K]: word rank % 4 of Philox block rank // 4."""
    zero = tl.zeros_like(rank)
    a, b, c, d = tl.philox(
        seed, (rank >> 2).to(tl.uint32), (zero + stream).to(tl.uint32),
        (zero + position).to(tl.uint32), zero.to(tl.uint32),
    )  # fmt: skip
    lane = rank & 3
    word = tl.where(lane == 0, a, tl.where(lane == 1, b, tl.where(lane == 2, c, d)))
    uniform = ((word >> 9).to(tl.float64) + 0.5) * 1.1920928955078125e-07  # 2^-23
    return (-tl.log(uniform)).to(tl.float32)


@triton.jit
def _sample(
    logits,  # [B, V]
    temperatures, top_ks, seeds, positions,  # [B]
    chosen,  # int64 [B], `chosen_stride` apart
    broken,  # bool [B]
    scratch_score,  # float32 [B, MOST]
    scratch_token,  # int32 [B, MOST]
    projected,  # [B, D], `projected_stride` apart
    table,  # [rows, D]
    norm_weight,  # [D]
    value, weighted,  # [B, D]
    squares,  # float32 [1, B]
    chosen_stride,
    projected_stride,
    STREAM: tl.constexpr,
    VOCABULARY: tl.constexpr,
    BLOCK: tl.constexpr,
    MOST: tl.constexpr,
    BITS: tl.constexpr,
    DIM: tl.constexpr,
    STARTS_DEPTH: tl.constexpr,
):  # fmt: skip
    """One row."""
    row = tl.program_id(0)
    token = tl.arange(0, BLOCK)
    inside = token < VOCABULARY
    score = tl.load(logits + row * VOCABULARY + token, mask=inside, other=float("-inf"))
    score = score.to(tl.float32)
    nan = tl.max((score != score).to(tl.int32), axis=0) > 0
    score = tl.where(nan, tl.where(inside, 0.0, float("-inf")), score)
    temperature = tl.load(temperatures + row)
    warm = tl.where(temperature > 0.0, temperature, 1.0)
    best = tl.max(score, axis=0)
    total = tl.sum(tl.exp((score - best) / warm), axis=0)

    # The kept candidates, packed by token: few enough to rank each against all others.
    top_k = tl.minimum(tl.load(top_ks + row).to(tl.int32), MOST)
    kept = _top(_sortable(score) >> (32 - BITS), top_k, BITS)
    pack = row * MOST + tl.cumsum(kept.to(tl.int32), axis=0) - 1
    tl.store(scratch_score + pack, score, mask=kept)
    tl.store(scratch_token + pack, token, mask=kept)
    tl.debug_barrier()
    place = tl.arange(0, MOST)
    used = place < top_k
    at = row * MOST + place
    candidate = tl.load(scratch_token + at, mask=used, other=0)
    mine = tl.load(scratch_score + at, mask=used, other=float("-inf"))
    rank = tl.zeros([MOST], tl.int32)
    for first in tl.range(0, MOST, 16):
        index = first + tl.arange(0, 16)
        other = tl.load(scratch_score + row * MOST + index, mask=index < top_k, other=float("-inf"))
        before = (other[None, :] > mine[:, None]) | (
            (other[None, :] == mine[:, None]) & (index[None, :] < place[:, None])
        )
        rank += tl.sum(before.to(tl.int32), axis=1)

    probability = tl.exp((mine - best) / warm) / total
    clock = _clock(tl.load(seeds + row), tl.load(positions + row), STREAM, rank)
    race = tl.where(used, probability / clock, -1.0)
    race = tl.where(temperature > 0.0, race, tl.where(rank == 0, 1.0, -1.0))
    winner = tl.argmax(race, axis=0)
    drawn = tl.sum(tl.where(place == winner, candidate, 0), axis=0).to(tl.int64)
    tl.store(chosen + row * chosen_stride, drawn)
    if nan:
        tl.store(broken + row, True)
    if STARTS_DEPTH:
        at = tl.arange(0, DIM)
        entry = tl.load(table + drawn * DIM + at).to(tl.float32)
        start = tl.load(projected + row * projected_stride + at).to(tl.float32) + entry
        start = start.to(value.dtype.element_ty)
        tl.store(value + row * DIM + at, start)
        start = start.to(tl.float32)
        norm = tl.load(norm_weight + at).to(tl.float32)
        tl.store(weighted + row * DIM + at, (start * norm).to(weighted.dtype.element_ty))
        tl.store(squares + row, tl.sum(start * start, axis=0))


def sample(
    logits: torch.Tensor,
    draw: Draw,
    stream: int,
    chosen: torch.Tensor,
    broken: torch.Tensor,
    start: DepthStart | None = None,
) -> Stream | None:
    """Draws one token a row and, if asked, makes the depth step's input that follows from it.

    Args:
        logits: [B, V], contiguous.
        draw: how each row draws.
        stream: 0 text, 1.. the agent's codebooks: a part of the noise's key.
        chosen: int64 [B], written; may be strided.
        broken: bool [B]; set for rows with a NaN logit, whose token means nothing.
        start: of the depth step that reads this token.

    Returns:
        That step's input, if `start` is given.
    """
    rows, vocabulary = logits.shape
    block = triton.next_power_of_2(vocabulary)
    most = triton.next_power_of_2(draw.most)
    scratch_score = torch.empty(rows, most, dtype=torch.float32, device=logits.device)
    scratch_token = torch.empty(rows, most, dtype=torch.int32, device=logits.device)
    stream_out = None
    if start is not None:
        value = start.table.new_empty(rows, start.table.shape[1])
        squares = start.table.new_empty(1, rows, dtype=torch.float32)
        stream_out = Stream(value, torch.empty_like(value), squares)
    _sample[(rows,)](
        logits, draw.temperature, draw.top_k, draw.seed, draw.position, chosen, broken,
        scratch_score, scratch_token,
        start.projected if start else None, start.table if start else None,
        start.norm_weight if start else None,
        stream_out.value if stream_out else None, stream_out.weighted if stream_out else None,
        stream_out.squares if stream_out else None,
        chosen.stride(0), start.projected.stride(0) if start else 0,
        STREAM=stream, VOCABULARY=vocabulary, BLOCK=block, MOST=most,
        BITS=16 if logits.dtype == torch.bfloat16 else 32,
        DIM=start.table.shape[1] if start else 1, STARTS_DEPTH=start is not None,
        num_warps=32 if block > 8192 else 8,
    )  # fmt: skip
    return stream_out
