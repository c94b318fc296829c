"""Eight-bit formats: float8_e4m3fn and int8, for weights and for keys and values.

    weights   one scale for each output, measured at load: its largest weight is the largest number
    fp8 KV    one scale for each layer and head, measured at start (`calibration.py`)
    int8 KV   one scale for each position, layer and head, found when it is written: seven bits
              do not reach far, so that one scale for all positions would cost much

Nothing saturates but keys and values in fp8. A NaN stays one: in int8 the position's scale becomes
NaN, so that the row that reads it is noticed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.config import Format

FP8 = torch.float8_e4m3fn
FP8_MAX = 448.0  # largest finite e4m3fn
INT8_MAX = 127.0
SCALE = torch.bfloat16  # of a position in int8: the range of bf16 values, in two bytes
TINY = 1e-12  # a row of zeros is not divided by zero


@dataclass(frozen=True, slots=True)
class Weight:
    """A projection's weight, plain or in 8 bits.

    Attributes:
        matrix: [N, K], bf16, float32, float8_e4m3fn or int8.
        scale: float32 [N], what one step is worth in each output; None for plain weights.
    """

    matrix: Tensor
    scale: Tensor | None = None


def quantise_weight(matrix: Tensor, kind: Format = "fp8") -> Weight:
    """The weight [N, K] in 8 bits."""
    most = matrix.abs().amax(dim=1).float().clamp(min=TINY)
    if kind == "fp8":
        scale = most / FP8_MAX
        return Weight((matrix / scale[:, None]).to(FP8), scale)
    scale = most / INT8_MAX
    return Weight((matrix.float() / scale[:, None]).round().to(torch.int8), scale)


def dequantised(weight: Weight) -> Tensor:
    """What the weight stands for, in float32 if it is quantised."""
    if weight.scale is None:
        return weight.matrix
    return weight.matrix.float() * weight.scale[:, None]


def kv_dtype(kind: Format, like: Tensor) -> torch.dtype:
    """The type of pages."""
    return {"bf16": like.dtype, "fp8": FP8, "int8": torch.int8}[kind]


def kv_position_bytes(kind: Format, head_dim: int, plain_bytes: int = 2) -> int:
    """Bytes of one head's key (or value) at one position, its scale included."""
    if kind == "bf16":
        return head_dim * plain_bytes
    return head_dim + (SCALE.itemsize if kind == "int8" else 0)


def to_int8(entries: Tensor) -> tuple[Tensor, Tensor]:
    """Rounds vectors [..., D] to int8, each with its own scale.

    Returns:
        int8 [..., D] and their scales, `SCALE` [...]; NaN where a vector holds one.
    """
    wide = entries.float()
    scale = (wide.abs().amax(dim=-1) / INT8_MAX).to(SCALE)
    steps = wide / scale.float().clamp(min=TINY)[..., None]
    whole = torch.floor(steps + 0.5).clamp(-INT8_MAX, INT8_MAX)
    return whole.nan_to_num().to(torch.int8), scale
