"""Random ways to draw, with the noise that belongs to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from engine.model.sampling import CounterNoise

if TYPE_CHECKING:
    from engine.kernels.sampler import Draw


def draws(rows: int, most: int, stream: int, device: str) -> tuple[torch.Tensor, Draw]:
    """Clocks float32 [rows, most] of a stream, and the rows' sampling."""
    from engine.kernels.sampler import Draw  # Triton is not everywhere

    draw = Draw(
        temperature=torch.rand(rows, device=device) * 1.5,
        top_k=torch.randint(1, most + 1, (rows,), device=device),
        seed=torch.randint(-(2**62), 2**62, (rows,), device=device),
        position=torch.randint(0, 2**20, (rows,), device=device, dtype=torch.int32),
        most=most,
    )
    draw.temperature[::7] = 0.0
    noise = CounterNoise().draw(draw.seed, draw.position, most, most)
    clocks = noise.text if stream == 0 else noise.audio[:, stream - 1]
    return clocks, draw
