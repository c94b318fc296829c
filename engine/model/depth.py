"""The depth transformer: the codebooks of one position, one after the other.

Every step has its own weights, stacked in the checkpoint along the rows: step k of a matrix
with `rows` rows a step is [k * rows, (k + 1) * rows). A step attends to the steps of the same
position before it and to itself; nothing survives the position. It knows no sampling.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.config import LMConfig
from engine.model.layers import GatedFeedForward, RMSNorm


class DepthAttention(nn.Module):
    """Attention over the steps of one position, with a weight set for each step."""

    def __init__(self, config: LMConfig, steps: int) -> None:
        super().__init__()
        dim = config.depth_dim
        self.heads = config.depth_heads
        self.steps = steps
        self.in_proj_weight = nn.Parameter(torch.zeros(steps * 3 * dim, dim))
        self.out_proj = nn.Linear(dim, steps * dim, bias=False)

    def forward(self, x: Tensor, step: int, kv: Tensor, visible: Tensor) -> Tensor:
        """One step of one layer.

        Args:
            x: [B, depth_dim].
            step: index of the codebook.
            kv: [2, B, H, capacity, D]; place `step` is written here.
            visible: bool [capacity], the places that this step sees.

        Returns:
            [B, depth_dim].
        """
        weight_in = self.in_proj_weight.view(self.steps, -1, x.shape[-1])[step]
        packed = functional.linear(x, weight_in).unflatten(-1, (3, self.heads, -1))
        q, k, v = packed.unbind(1)  # [B, H, D] each
        kv[0, :, :, step] = k
        kv[1, :, :, step] = v
        out = functional.scaled_dot_product_attention(q[:, :, None], kv[0], kv[1], visible[None])
        weight_out = self.out_proj.weight.view(self.steps, -1, x.shape[-1])[step]
        return functional.linear(out.flatten(1), weight_out)


class DepthLayer(nn.Module):
    """One layer; the norms are shared by all steps, the rest is not."""

    def __init__(self, config: LMConfig, steps: int) -> None:
        super().__init__()
        self.self_attn = DepthAttention(config, steps)
        self.norm1 = RMSNorm(config.depth_dim)
        self.norm2 = RMSNorm(config.depth_dim)
        self.gating = nn.ModuleList(
            GatedFeedForward(config.depth_dim, config.depth_ffn_dim) for _ in range(steps)
        )

    def forward(self, x: Tensor, step: int, kv: Tensor, visible: Tensor) -> Tensor:
        """[B, depth_dim] -> [B, depth_dim]."""
        x = x + self.self_attn(self.norm1(x), step, kv, visible)
        return x + self.gating[step](self.norm2(x))


class DepthTransformer(nn.Module):
    """The stack of depth layers, for the first `steps` steps."""

    def __init__(self, config: LMConfig, steps: int) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(DepthLayer(config, steps) for _ in range(config.depth_layers))

    def new_cache(self, rows: int) -> Tensor:
        """Zeroed keys and values of one position, [layers, 2, rows, H, capacity, D].

        The capacity is the checkpoint's number of steps even where fewer are run: the order of
        the sums in the attention, and with it the last bit, depends on it.
        """
        config = self.config
        heads = config.depth_heads
        shape = (2, rows, heads, config.depth_steps, config.depth_dim // heads)
        weight = self.layers[0].norm1.alpha
        dtype = self.layers[0].self_attn.in_proj_weight.dtype
        return torch.zeros(len(self.layers), *shape, dtype=dtype, device=weight.device)

    def visible_places(self, step: int, device: torch.device) -> Tensor:
        """Places that a step sees: bool [capacity].

        The reference's ring hides its oldest entry once it is full, so its last step does not
        see the first; the last step speaks for the user and is never run by an engine.
        """
        place = torch.arange(self.config.depth_steps, device=device)
        full = step == self.config.depth_steps - 1
        return (place <= step) & (place >= int(full))

    def forward(self, x: Tensor, step: int, cache: Tensor) -> Tensor:
        """One step: [B, depth_dim] -> [B, depth_dim]; `cache` gets the step's keys."""
        visible = self.visible_places(step, x.device)
        for index, layer in enumerate(self.layers):
            x = layer(x, step, cache[index], visible)
        return x
