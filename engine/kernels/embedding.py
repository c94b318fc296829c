"""The input of the temporal transformer: 17 embedding rows a call, summed in one kernel.

Reads 17 rows of 8 KiB a call and writes two; in separate operations it would be 34 launches.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl

from engine.kernels.linear import Stream

_BLOCK = 1024  # 128 threads x 8 values: one 16-byte load each


@triton.jit(do_not_specialize=["batch"])
def _embed(
    tokens,  # int64 [B, 1 + audio streams], text first; -1: contributes nothing
    text_table,  # [text rows, D]
    audio_table,  # [streams, audio rows, D]
    norm_weight,  # [D]
    value, weighted,  # [B, D]
    squares,  # float32 [blocks, B]
    batch,
    audio_rows,
    DIM: tl.constexpr,
    STREAMS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """One (row, block of the width); each sum is rounded, in the order of the training."""
    row = tl.program_id(0)
    block = tl.program_id(1)
    at = block * BLOCK + tl.arange(0, BLOCK)
    kept = value.dtype.element_ty
    total = tl.zeros([BLOCK], tl.float32)
    for stream in tl.static_range(STREAMS + 1):
        table = audio_table + stream * audio_rows * DIM
        column = stream + 1
        if stream == STREAMS:
            table = text_table
            column = 0
        token = tl.load(tokens + row * (STREAMS + 1) + column)
        entry = tl.load(table + tl.maximum(token, 0) * DIM + at).to(tl.float32)
        entry = tl.where(token >= 0, entry, 0.0)
        total = (total + entry).to(kept).to(tl.float32)
    tl.store(value + row * DIM + at, total.to(kept))
    norm = tl.load(norm_weight + at).to(tl.float32)
    tl.store(weighted + row * DIM + at, (total * norm).to(kept))
    tl.store(squares + block * batch + row, tl.sum(total * total, axis=0))


def embed(
    tokens: torch.Tensor,
    text_table: torch.Tensor,
    audio_table: torch.Tensor,
    norm_weight: torch.Tensor,
) -> Stream:
    """Sums the embeddings of one grid position and prepares the sum for its first norm.

    Args:
        tokens: int64 [B, 17]; text, then the audio streams; -1 stands for the zero vector.
        text_table: [32001, D].
        audio_table: [16, 2049, D].
        norm_weight: [D], the first layer's.
    """
    rows = tokens.shape[0]
    streams, audio_rows, dim = audio_table.shape
    block = math.gcd(_BLOCK, dim)
    value = audio_table.new_empty(rows, dim)
    weighted = torch.empty_like(value)
    squares = audio_table.new_empty(dim // block, rows, dtype=torch.float32)
    _embed[(rows, dim // block)](
        tokens, text_table, audio_table, norm_weight, value, weighted, squares, rows, audio_rows,
        DIM=dim, STREAMS=streams, BLOCK=block, num_warps=4,
    )  # fmt: skip
    return Stream(value, weighted, squares)
