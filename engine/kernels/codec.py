"""The codec's frames on a GPU: what stands between its products, in one kernel each.

    attend_frame   rotates a frame's queries and keys, writes keys and values, attends to the ring
    pad            [carry | elu(x + y + biases)], the next convolution's input, and the next carry
    overlap        sums a transposed convolution's products, whose halves overlap
    first_conv     one channel in, few taps: no matrix instruction is worth its set-up

Sound lies in memory as [B, T, C], which is what tensor cores want. Results differ from the plain
codec's by rounding alone. This module does not know what the products are.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

STEPS = 2  # of a frame
_FRAME_WARPS = 8
_TIME_BLOCK = 32
_CHANNEL_BLOCK = 64


@triton.jit
def _turned(qkv, cos, sin, at, angle, DIM: tl.constexpr):
    """One head's vector, its pairs turned: [DIM]."""
    half = tl.arange(0, DIM // 2)
    pair = tl.arange(0, 2)
    both = tl.load(qkv + at + 2 * half[:, None] + pair[None, :])
    even, odd = tl.split(both)
    c = tl.load(cos + angle + half)
    s = tl.load(sin + angle + half)
    return tl.reshape(tl.join(even * c - odd * s, even * s + odd * c), [DIM])


@triton.jit
def _attend_frame(
    qkv,  # float32 [B, 2, 3, H, D]
    cos, sin,  # float32 [B, 2, D/2]
    ring,  # float32 [B, 2, H, CONTEXT + 2, D], rows `ring_stride` apart
    position,  # int64 [B], of the frame's first step
    live,  # bool [B]
    out,  # float32 [B, 2, H, D]
    ring_stride,
    score_scale,
    HEADS: tl.constexpr,
    DIM: tl.constexpr,
    CONTEXT: tl.constexpr,
    OLDEST: tl.constexpr,  # the oldest age that a frame's first step may see
    BLOCK: tl.constexpr,
):  # fmt: skip
    """One (row, head): both steps of its frame."""
    row = tl.program_id(0)
    head = tl.program_id(1)
    dim = tl.arange(0, DIM)
    begin = tl.load(position + row)
    is_live = tl.load(live + row)
    keys = ring + row.to(tl.int64) * ring_stride + head * ((CONTEXT + 2) * DIM)
    values = keys + HEADS * ((CONTEXT + 2) * DIM)
    for step in tl.static_range(2):
        at = ((row * 2 + step) * 3 * HEADS + head) * DIM
        angle = (row * 2 + step) * (DIM // 2)
        slot = tl.where(is_live, (begin + step) % CONTEXT, CONTEXT + step)
        key = _turned(qkv, cos, sin, at + HEADS * DIM, angle, DIM)
        tl.store(keys + slot * DIM + dim, key)
        tl.store(values + slot * DIM + dim, tl.load(qkv + at + 2 * HEADS * DIM + dim))
    tl.debug_barrier()  # what one thread wrote another reads

    place = tl.arange(0, BLOCK)
    inside = place < CONTEXT
    tile = place[:, None] * DIM + dim[None, :]
    key = tl.load(keys + tile, mask=inside[:, None], other=0.0)
    value = tl.load(values + tile, mask=inside[:, None], other=0.0)
    for step in tl.static_range(2):
        at = ((row * 2 + step) * 3 * HEADS + head) * DIM
        query = _turned(qkv, cos, sin, at, (row * 2 + step) * (DIM // 2), DIM)
        time = begin + step
        age = (time % CONTEXT - place + CONTEXT) % CONTEXT
        visible = inside & (age <= tl.minimum(time, OLDEST + step))
        score = tl.sum(key * query[None, :], axis=1) * score_scale
        score = tl.where(visible, score, float("-inf"))
        share = tl.where(visible, tl.exp(score - tl.max(score, axis=0)), 0.0)
        heard = tl.sum(value * share[:, None], axis=0) / tl.sum(share, axis=0)
        tl.store(out + ((row * 2 + step) * HEADS + head) * DIM + dim, heard)


def attend_frame(
    qkv: Tensor,
    cos: Tensor,
    sin: Tensor,
    ring: Tensor,
    position: Tensor,
    live: Tensor,
    heads: int,
    *,
    reference_compat: bool,
) -> Tensor:
    """Writes a frame's keys and values to the ring and attends; see `codec_transformer`.

    Args:
        qkv: float32 [B, 2, 3 * H * D], contiguous.
        cos: float32 [B, 2, D / 2], of the steps' angles.
        sin: the same.
        ring: float32 [B, 2, H, context + 2, D]; rows may be strided. Idle rows' stay frozen.
        position: int64 [B], of the frame's first step.
        live: bool [B].
        heads: H.
        reference_compat: hide the oldest key of a full ring.

    Returns:
        float32 [B, 2, H * D].
    """
    rows, dim, context = len(qkv), ring.shape[4], ring.shape[3] - STEPS
    out = qkv.new_empty(rows, STEPS, heads * dim)
    _attend_frame[(rows, heads)](
        qkv, cos, sin, ring, position, live, out, ring.stride(0), dim**-0.5,
        HEADS=heads, DIM=dim, CONTEXT=context, OLDEST=context - STEPS - int(reference_compat),
        BLOCK=triton.next_power_of_2(context), num_warps=_FRAME_WARPS,
    )  # fmt: skip
    return out


@triton.jit
def _sound(x, y, x_bias, y_bias, at_x, at_y, c, inside, HAS_Y: tl.constexpr, HAS_BIAS: tl.constexpr,
           HAS_Y_BIAS: tl.constexpr, ELU: tl.constexpr):  # fmt: skip
    """elu(x + y + biases) of some cells."""
    value = tl.load(x + at_x, mask=inside, other=0.0).to(tl.float32)
    if HAS_BIAS:
        value += tl.load(x_bias + c)[None, :]
    if HAS_Y:
        value += tl.load(y + at_y, mask=inside, other=0.0).to(tl.float32)
        if HAS_Y_BIAS:
            value += tl.load(y_bias + c)[None, :]
    if ELU:
        value = tl.where(value > 0.0, value, tl.exp(value) - 1.0)
    return value


@triton.jit(do_not_specialize=["frames"])
def _pad(
    x, y,  # [B, T, C], rows `x_stride` and `y_stride` apart
    x_bias, y_bias,  # float32 [C]
    carry,  # float32 [B, C, CARRY]
    live,  # bool [B]
    out,  # [B, CARRY + T, C]
    frames,
    x_stride,
    y_stride,
    CHANNELS: tl.constexpr,
    CARRY: tl.constexpr,
    CARRY_BLOCK: tl.constexpr,
    TIME: tl.constexpr,
    WIDTH: tl.constexpr,
    HAS_Y: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_Y_BIAS: tl.constexpr,
    ELU: tl.constexpr,
):  # fmt: skip
    """One (row, block of time, block of channels)."""
    row = tl.program_id(0).to(tl.int64)
    block = tl.program_id(1)
    c = tl.program_id(2) * WIDTH + tl.arange(0, WIDTH)
    t = block * TIME + tl.arange(0, TIME)
    x += row * x_stride
    y += row * y_stride
    out += row * ((CARRY + frames) * CHANNELS)
    cell = t[:, None] * CHANNELS + c[None, :]
    inside = (t < frames)[:, None]
    value = _sound(x, y, x_bias, y_bias, cell, cell, c, inside, HAS_Y, HAS_BIAS, HAS_Y_BIAS, ELU)
    tl.store(out + CARRY * CHANNELS + cell, value.to(out.dtype.element_ty), mask=inside)
    if CARRY > 0 and block == 0:
        # This program alone touches the carry of its row and channels.
        j = tl.arange(0, CARRY_BLOCK)
        kept = carry + row * (CHANNELS * CARRY) + c[None, :] * CARRY + j[:, None]
        old = tl.load(kept, mask=(j < CARRY)[:, None], other=0.0)
        from_old = (j + frames < CARRY)[:, None]
        older = tl.load(kept + frames, mask=from_old, other=0.0)
        tl.store(
            out + j[:, None] * CHANNELS + c[None, :], old.to(out.dtype.element_ty),
            mask=(j < CARRY)[:, None],
        )  # fmt: skip
        newest = (frames - CARRY + j)[:, None] * CHANNELS + c[None, :]
        is_new = ((j < CARRY) & (j + frames >= CARRY))[:, None]
        new = _sound(
            x, y, x_bias, y_bias, newest, newest, c, is_new, HAS_Y, HAS_BIAS, HAS_Y_BIAS, ELU
        )
        tl.debug_barrier()  # read by all before it is written by any
        wanted = (j < CARRY)[:, None] & tl.load(live + row)
        tl.store(kept, tl.where(from_old, older, new), mask=wanted)


def pad(
    x: Tensor,
    carry: Tensor | None,
    live: Tensor,
    *,
    y: Tensor | None = None,
    bias: Tensor | None = None,
    y_bias: Tensor | None = None,
    elu: bool,
) -> Tensor:
    """The next convolution's input: the carry, then elu(x + bias + y + y_bias).

    Args:
        x: [B, T, C]; rows may be strided.
        carry: float32 [B, C, k - s], moved on in place where `live`; None for one tap.
        live: bool [B].
        y: [B, T, C], to be added.
        bias: float32 [C], of x.
        y_bias: float32 [C], of y.
        elu: whether the activation stands here.

    Returns:
        [B, k - s + T, C], contiguous, in x's type.
    """
    rows, frames, channels = x.shape
    width = min(_CHANNEL_BLOCK, channels & -channels)
    samples = 0 if carry is None else carry.shape[2]
    out = x.new_empty(rows, samples + frames, channels)
    other = x if y is None else y
    _pad[(rows, triton.cdiv(frames, _TIME_BLOCK), channels // width)](
        x, other, bias, y_bias, carry, live, out, frames, x.stride(0), other.stride(0),
        CHANNELS=channels, CARRY=samples, CARRY_BLOCK=triton.next_power_of_2(max(samples, 1)),
        TIME=_TIME_BLOCK, WIDTH=width, HAS_Y=y is not None, HAS_BIAS=bias is not None,
        HAS_Y_BIAS=y_bias is not None, ELU=elu, num_warps=4,
    )  # fmt: skip
    return out


@triton.jit(do_not_specialize=["frames"])
def _overlap(
    parts,  # [B, T, 2 STRIDE, C]
    carry,  # float32 [B, C, STRIDE]
    live,  # bool [B]
    out,  # [B, T * STRIDE, C]
    frames,
    CHANNELS: tl.constexpr,
    STRIDE: tl.constexpr,
    STRIDE_BLOCK: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """One (row, input step, block of channels)."""
    row = tl.program_id(0).to(tl.int64)
    step = tl.program_id(1)
    c = tl.program_id(2) * WIDTH + tl.arange(0, WIDTH)
    j = tl.arange(0, STRIDE_BLOCK)
    inside = (j < STRIDE)[:, None]
    cell = j[:, None] * CHANNELS + c[None, :]
    mine = parts + (row * frames + step) * (2 * STRIDE * CHANNELS) + cell
    kept = carry + row * (CHANNELS * STRIDE) + c[None, :] * STRIDE + j[:, None]
    value = tl.load(mine, mask=inside, other=0.0).to(tl.float32)
    if step == 0:
        # This program alone touches the carry of its row and channels.
        value += tl.load(kept, mask=inside, other=0.0)
        last = mine + ((frames - 1) * 2 + 1) * (STRIDE * CHANNELS)
        unfinished = tl.load(last, mask=inside, other=0.0).to(tl.float32)
        tl.debug_barrier()  # read by all before it is written by any
        tl.store(kept, unfinished, mask=inside & tl.load(live + row))
    else:
        value += tl.load(mine - STRIDE * CHANNELS, mask=inside, other=0.0).to(tl.float32)
    at = out + (row * frames + step) * (STRIDE * CHANNELS) + cell
    tl.store(at, value.to(out.dtype.element_ty), mask=inside)


def overlap(parts: Tensor, carry: Tensor, live: Tensor) -> Tensor:
    """A transposed convolution from its products: each input step's outputs reach into the next.

    Args:
        parts: [B, T, 2 * stride, C], each step times the taps, without bias.
        carry: float32 [B, C, stride], the last step's unfinished half; moved on where `live`.
        live: bool [B].

    Returns:
        [B, T * stride, C].
    """
    rows, frames, taps, channels = parts.shape
    stride = taps // 2
    width = min(_CHANNEL_BLOCK, channels & -channels)
    out = parts.new_empty(rows, frames * stride, channels)
    _overlap[(rows, frames, channels // width)](
        parts, carry, live, out, frames,
        CHANNELS=channels, STRIDE=stride, STRIDE_BLOCK=triton.next_power_of_2(stride),
        WIDTH=width, num_warps=1 if stride * width <= 512 else 4,
    )  # fmt: skip
    return out


@triton.jit
def _first_conv(
    x,  # float32 [B, T + TAPS - 1]
    weight,  # float32 [C, TAPS]
    out,  # float32 [B, T, C]
    frames,
    CHANNELS: tl.constexpr,
    TAPS: tl.constexpr,
    TIME: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """One (row, block of time, block of channels)."""
    row = tl.program_id(0).to(tl.int64)
    t = tl.program_id(1) * TIME + tl.arange(0, TIME)
    c = tl.program_id(2) * WIDTH + tl.arange(0, WIDTH)
    inside = t < frames
    x += row * (frames + TAPS - 1)
    total = tl.zeros([TIME, WIDTH], tl.float32)
    for tap in tl.static_range(TAPS):
        sample = tl.load(x + t + tap, mask=inside, other=0.0)
        total += sample[:, None] * tl.load(weight + c * TAPS + tap)[None, :]
    at = (row * frames + t)[:, None] * CHANNELS + c[None, :]
    tl.store(out + at, total, mask=inside[:, None])


def first_conv(x: Tensor, weight: Tensor) -> Tensor:
    """A convolution of one channel, float32 [B, T + k - 1] with [C, k] -> [B, T, C]; no bias."""
    rows, length = x.shape
    channels, taps = weight.shape
    frames = length - taps + 1
    width = min(_CHANNEL_BLOCK, channels & -channels)
    out = x.new_empty(rows, frames, channels)
    _first_conv[(rows, triton.cdiv(frames, _TIME_BLOCK), channels // width)](
        x, weight, out, frames,
        CHANNELS=channels, TAPS=taps, TIME=_TIME_BLOCK, WIDTH=width, num_warps=4,
    )  # fmt: skip
    return out
