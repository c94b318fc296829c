"""Drawing one token a row on the device: temperature, top-k, and a race of exponentials.

A row of logits is read once and stays in registers. The k largest are found by bisection over
the sortable bits of a float, ties going to the lower token, so no sort is needed. The noise of a
token hangs on (call seed, frame, stream, token) alone: a call replays whatever its neighbours do.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from engine.kernels.linear import Stream


@dataclass(frozen=True, slots=True)
class Draw:
    """How each row draws, tensors [B]: float32 temperature (0: greedy), int32 top_k, int64 seed and frame."""

    temperature: torch.Tensor
    top_k: torch.Tensor
    seed: torch.Tensor
    frame: torch.Tensor


@triton.jit
def _mix(word):
    """A bijection of 32 bits in which every input bit moves every output bit."""
    word ^= word >> 16
    word *= 0x7FEB352D
    word ^= word >> 15
    word *= 0x846CA68B
    word ^= word >> 16
    return word


@triton.jit
def _exponential(seed, frame, stream: tl.constexpr, token):
    """Exp(1) noise [V] of the tokens [V] for one row."""
    key = _mix((seed & 0xFFFFFFFF).to(tl.uint32))
    key = _mix(key ^ ((seed >> 32) & 0xFFFFFFFF).to(tl.uint32))
    key = _mix(key ^ (frame & 0xFFFFFFFF).to(tl.uint32))
    key = _mix(key + ((stream * 0x9E3779B9) & 0xFFFFFFFF))
    word = _mix(_mix(token.to(tl.uint32) * 0x9E3779B9 + key))
    uniform = ((word >> 8).to(tl.float32) + 0.5) * 5.9604644775390625e-08  # 2^-24
    return -tl.log(uniform)


@triton.jit
def _keep_top(values, top_k, token, BITS: tl.constexpr):
    """Mask [V] of the top_k largest values; of equals at the edge, the lower tokens."""
    bits = values.to(tl.int32, bitcast=True)
    # Floats sort like sign-magnitude integers: flip all bits of the negative, the sign of the rest.
    order = (bits ^ ((bits >> 31) | -2147483648)).to(tl.uint32, bitcast=True) >> (32 - BITS)
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
def _sample(
    logits,  # [B, V]
    temperatures, top_ks, seeds, frames,  # [B]
    forced,  # int64 [B], `forced_stride` apart; negative: draw
    chosen,  # int64 [B], `chosen_stride` apart
    failed,  # bool [B]
    added,  # [B, D], `added_stride` apart: the depth input that the embedding joins
    table,  # [rows, D]: embedding of the chosen token
    norm_weight,  # [D]
    value, weighted,  # [B, D]
    squares,  # float32 [1, B]
    forced_stride,
    chosen_stride,
    added_stride,
    STREAM: tl.constexpr,
    VOCABULARY: tl.constexpr,
    BLOCK: tl.constexpr,
    BITS: tl.constexpr,
    DIM: tl.constexpr,
    EMBEDS: tl.constexpr,
):  # fmt: skip
    """One row."""
    row = tl.program_id(0)
    token = tl.arange(0, BLOCK)
    inside = token < VOCABULARY
    raw = tl.load(logits + row * VOCABULARY + token, mask=inside, other=float("-inf"))
    score = raw.to(tl.float32)
    broken = tl.max((score != score).to(tl.int32), axis=0) > 0
    score = tl.where(broken, tl.where(inside, 0.0, float("-inf")), score)
    temperature = tl.load(temperatures + row)
    top = tl.max(score, axis=0)
    probability = tl.exp((score - top) / tl.maximum(temperature, 1e-6))
    noise = _exponential(tl.load(seeds + row), tl.load(frames + row), STREAM, token)
    kept = _keep_top(score, tl.load(top_ks + row), token, BITS)
    race = tl.where(kept, probability / noise, -1.0)
    race = tl.where(temperature > 0.0, race, score)
    drawn = tl.argmax(race, axis=0).to(tl.int64)
    demanded = tl.load(forced + row * forced_stride)
    drawn = tl.where(demanded >= 0, demanded, drawn)
    tl.store(chosen + row * chosen_stride, drawn)
    if broken:
        tl.store(failed + row, True)
    if EMBEDS:
        at = tl.arange(0, DIM)
        entry = tl.load(table + drawn * DIM + at).to(tl.float32)
        total = tl.load(added + row * added_stride + at).to(tl.float32) + entry
        total = total.to(value.dtype.element_ty)
        tl.store(value + row * DIM + at, total)
        total = total.to(tl.float32)
        norm = tl.load(norm_weight + at).to(tl.float32)
        tl.store(weighted + row * DIM + at, (total * norm).to(weighted.dtype.element_ty))
        tl.store(squares + row, tl.sum(total * total, axis=0))


def sample(
    logits: torch.Tensor,
    draw: Draw,
    stream: int,
    forced: torch.Tensor,
    chosen: torch.Tensor,
    failed: torch.Tensor,
    follow: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None,
) -> Stream | None:
    """Draws one token a row and, if asked, starts the next depth step with it.

    Args:
        logits: [B, V], contiguous.
        draw: how each row draws.
        stream: 0 text, 1.. audio: a part of the noise's key.
        forced: int64 [B]; where it is not negative it is taken instead of a draw.
        chosen: int64 [B], written.
        failed: bool [B]; set for rows with a NaN logit, whose token means nothing.
        follow: (projected hidden state [B, D], embedding table, norm weight [D]) of the depth
            step that this token feeds.

    Returns:
        That step's input, if `follow` is given.
    """
    rows, vocabulary = logits.shape
    started = None
    added = table = norm_weight = value = weighted = squares = None
    if follow is not None:
        added, table, norm_weight = follow
        value = table.new_empty(rows, table.shape[1])
        weighted = torch.empty_like(value)
        squares = table.new_empty(1, rows, dtype=torch.float32)
        started = Stream(value, weighted, squares)
    block = triton.next_power_of_2(vocabulary)
    _sample[(rows,)](
        logits, draw.temperature, draw.top_k, draw.seed, draw.frame, forced, chosen, failed,
        added, table, norm_weight, value, weighted, squares,
        forced.stride(0), chosen.stride(0), added.stride(0) if added is not None else 0,
        STREAM=stream, VOCABULARY=vocabulary, BLOCK=block,
        BITS=16 if logits.dtype == torch.bfloat16 else 32,
        DIM=table.shape[1] if table is not None else 1, EMBEDS=follow is not None,
        num_warps=16 if block > 8192 else 4,
    )  # fmt: skip
    return started
