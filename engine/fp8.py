"""Eight-bit floats, float8_e4m3fn: weights with one scale for each output.

Prepared once at load. The scale makes an output's largest weight the largest finite e4m3
number, so nothing saturates; the relative rounding error of a weight is at most 2^-4.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

FP8 = torch.float8_e4m3fn
FP8_MAX = 448.0  # largest finite e4m3fn


@dataclass(frozen=True, slots=True)
class Weight:
    """A projection's weight, plain or in fp8.

    Attributes:
        matrix: [N, K], bf16, float32 or float8_e4m3fn.
        scale: float32 [N], what one fp8 step is worth in each output; None for plain weights.
    """

    matrix: torch.Tensor
    scale: torch.Tensor | None = None


def quantise_weight(matrix: torch.Tensor) -> Weight:
    """The weight [N, K] in fp8."""
    scale = matrix.abs().amax(dim=1).float().clamp(min=1e-12) / FP8_MAX
    return Weight((matrix / scale[:, None]).to(FP8), scale)


def dequantised(weight: Weight) -> torch.Tensor:
    """What the weight stands for, in float32 if it is quantised."""
    if weight.scale is None:
        return weight.matrix
    return weight.matrix.float() * weight.scale[:, None]
