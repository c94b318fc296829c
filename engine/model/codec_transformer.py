"""The codec's transformer: latent steps attend to the last ten seconds of their own row.

Keys and values live in a ring of `context` slots a row; the step at absolute position p is in slot
p mod context. Rows are at different positions, so everything that depends on time is [B, ...]:

    a frame writes positions           p, p + 1
    and leaves in the ring             p + 2 - context .. p + 1      (as far as they exist)
    the queries see                    p + 2 - context .. p,  p + 2 - context .. p + 1
    with reference_compat, once full   p + 3 - context .. p,  p + 3 - context .. p + 1

Two more slots behind the ring take the writes of idle rows, so their ring stays frozen without
reading it. Keys are stored rotated by their absolute position, so they are never touched again.

This module does not know on which side of the codec it stands.
Source: Vaswani et al. 2017; RoPE with interleaved pairs, Su et al. 2021; LayerScale, Touvron et
al. 2021.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.config import STEPS_PER_FRAME as T
from engine.config import MimiConfig
from engine.model.state import RowState, Spec

MASK_ALIGNMENT = 8  # keys; CUDA's attention kernels copy a mask whose row stride is no multiple


@dataclass(frozen=True, slots=True)
class Clock:
    """What all layers of one frame share.

    Attributes:
        rows: int64 [B, 1], the row numbers, for indexing.
        slots: int64 [B, T], where each step of the frame is written in its row's ring.
        rotation: complex64 [B, T, 3, 1, D/2], for queries, keys and (no turn) values.
        mask: float32 [B, 1, T, context], 0 where a key is visible, else -inf.
    """

    rows: Tensor
    slots: Tensor
    rotation: Tensor
    mask: Tensor


class CodecTransformer(nn.Module):
    """Causal transformer over latent steps, two steps a frame."""

    def __init__(self, name: str, config: MimiConfig) -> None:
        super().__init__()
        layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.transformer = nn.ModuleDict({"layers": layers})
        self.ring_name = f"{name}.ring"
        self.position_name = f"{name}.position"
        self.config = config
        self.register_buffer("frequencies", None, persistent=False)

    def prepare(self, fused: bool) -> None:
        """Derives what sizes and loaded weights imply; `fused` as in `Mimi.prepare`."""
        device = self.transformer["layers"][0].self_attn.in_proj_weight.device
        self.frequencies = rotary_frequencies(self.config, device)
        for layer in self.transformer["layers"]:
            layer.attention_residual.prepare(fused)
            layer.feedforward_residual.prepare(fused)

    def state_specs(self) -> Iterator[Spec]:
        """The ring, float32 [layers, 2, heads, context + 2, head_dim], and the next position."""
        sizes = self.config
        ring = (sizes.layers, 2, sizes.heads, sizes.context + T, sizes.head_dim)
        yield Spec(self.ring_name, ring)
        yield Spec(self.position_name, (), torch.int64)

    def forward(self, x: Tensor, state: RowState, live: Tensor) -> Tensor:
        """Advances one frame.

        Args:
            x: float32 [B, dimension, T], T = 2.
            state: has the ring and the position; advanced in place where `live`.
            live: bool [B].

        Returns:
            float32 [B, dimension, T].
        """
        position, ring = state[self.position_name], state[self.ring_name]
        clock = self._clock(position, live)
        x = x.transpose(1, 2).contiguous()  # [B, T, C]
        for index, layer in enumerate(self.transformer["layers"]):
            x = layer(x, ring[:, index], clock)
        position.add_(live, alpha=T)
        return x.transpose(1, 2)

    def _clock(self, position: Tensor, live: Tensor) -> Clock:
        context = self.config.context
        steps = torch.arange(T, device=position.device)
        times = position[:, None] + steps  # [B, T]
        return Clock(
            rows=torch.arange(len(position), device=position.device)[:, None],
            slots=torch.where(live[:, None], times % context, context + steps),
            rotation=self._rotation(times),
            mask=visibility(times, context, self.config.reference_compat),
        )

    def _rotation(self, times: Tensor) -> Tensor:
        angles = times.float()[:, :, None, None, None] * self.frequencies
        return torch.complex(angles.cos(), angles.sin())  # [B, T, 3, 1, D/2]


class Layer(nn.Module):
    """x + scale1 * attention(norm1 x), then x + scale2 * feedforward(norm2 x)."""

    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        width = config.dimension
        self.self_attn = Attention(config)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, config.feedforward, bias=False)
        self.linear2 = nn.Linear(config.feedforward, width, bias=False)
        self.layer_scale_1 = LayerScale(width)
        self.layer_scale_2 = LayerScale(width)
        self.attention_residual = Residual(self.self_attn.out_proj, self.layer_scale_1)
        self.feedforward_residual = Residual(self.linear2, self.layer_scale_2)

    def forward(self, x: Tensor, ring: Tensor, clock: Clock) -> Tensor:
        """Runs one layer, [B, T, C] -> [B, T, C]; `x` and the ring may be written in place."""
        x = self.attention_residual.add(x, self.self_attn(self.norm1(x), ring, clock))
        return self.feedforward_residual.add(x, functional.gelu(self.linear1(self.norm2(x))))


class LayerScale(nn.Module):
    """Holds the learnt factors of a residual branch, one a channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))


class Residual:
    """The end of a residual branch: x + scale * (W y).

    Owns no weight, it only borrows: so it is no module and has no key in the checkpoint.
    """

    def __init__(self, linear: nn.Linear, scale: LayerScale) -> None:
        self.linear = linear
        self.scale = scale
        self.folded: Tensor | None = None

    def prepare(self, fused: bool) -> None:
        """With `fused`, folds the scale into a copy of the weight: one product does it all."""
        folded = self.scale.scale[:, None] * self.linear.weight
        self.folded = folded.T.contiguous() if fused else None  # [K, C]

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """Adds the branch y, [B, T, K], to x, contiguous [B, T, C]; may write over x."""
        if self.folded is None:
            # Not addcmul: it rounds once where the reference rounds twice.
            return x + self.scale.scale * self.linear(y)
        x.flatten(0, 1).addmm_(y.flatten(0, 1), self.folded)
        return x


class Attention(nn.Module):
    """Multi-head attention over a row's ring, up to the output projection."""

    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        width = config.dimension
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.out_proj = nn.Linear(width, width, bias=False)  # applied by the layer's Residual
        self.heads = config.heads
        self.context = config.context
        nn.init.kaiming_uniform_(self.in_proj_weight, a=math.sqrt(5))

    def forward(self, x: Tensor, ring: Tensor, clock: Clock) -> Tensor:
        """Writes the frame's keys and values, then attends.

        Args:
            x: float32 [B, T, C].
            ring: float32 [B, 2, H, context + 2, D], keys and values of this layer.
            clock: the frame's positions, rotation and mask.

        Returns:
            float32 [B, T, C], not yet projected.
        """
        qkv = functional.linear(x, self.in_proj_weight).unflatten(-1, (3, self.heads, -1, 2))
        # Values are turned by 0, so that one product serves all three. Real and imaginary part
        # round as the reference's do where head_dim is a multiple of 16.
        turned = torch.view_as_complex(qkv) * clock.rotation  # [B, T, 3, H, D/2]
        qkv = torch.view_as_real(turned).flatten(-2)  # [B, T, 3, H, D]
        ring[clock.rows, :, :, clock.slots] = qkv[:, :, 1:]
        keys, values = ring[:, :, :, : self.context].unbind(1)  # [B, H, context, D]
        query = qkv[:, :, 0].transpose(1, 2)  # [B, H, T, D]
        heard = functional.scaled_dot_product_attention(query, keys, values, clock.mask)
        return heard.transpose(1, 2).flatten(-2)


def rotary_frequencies(config: MimiConfig, device: torch.device) -> Tensor:
    """How far queries, keys and values turn in one step.

    Returns:
        float32 [3, 1, head_dim / 2], radians a step; 0 for the values.
    """
    pairs = config.head_dim // 2
    exponents = torch.arange(pairs, device=device, dtype=torch.float32)
    turning = torch.exp(exponents * (-math.log(config.max_period) / pairs))
    return torch.stack([turning, turning, torch.zeros_like(turning)])[:, None]


def visibility(times: Tensor, context: int, reference_compat: bool) -> Tensor:
    """Says which ring slots each step of the frame may attend to.

    Seen from the query at q, slot s holds a key of age (q - s) mod context: 0 is the query's own
    step. Older than q itself means never written; the ages of the last slots, which the frame's
    later steps have overwritten, mean the future.

    Args:
        times: int64 [B, T], positions of the frame's steps; all of them are in the ring.
        context: slots in the ring.
        reference_compat: hide the oldest key of a full ring.

    Returns:
        float32 [B, 1, T, context], 0 or -inf, with rows padded to `MASK_ALIGNMENT` in memory.
    """
    padded = -(-context // MASK_ALIGNMENT) * MASK_ALIGNMENT
    slots = torch.arange(padded, device=times.device)
    ages = (times[:, :, None] - slots) % context  # [B, T, padded]
    steps = torch.arange(T, device=times.device)
    oldest = torch.minimum(times, steps + (context - T - int(reference_compat)))
    mask = (ages <= oldest[:, :, None]).float().log()  # 1 -> 0, 0 -> -inf
    return mask[:, None, :, :context]
