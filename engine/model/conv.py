"""Causal convolutions that run frame by frame, each row of the batch at its own time.

A layer's memory between frames is its carry, found in the state under the layer's name:

    convolution, kernel k, stride s: the last k - s inputs
        |<- carry: k - s ->|<------ frame: T, a multiple of s ------>|   -> T / s outputs
                                                  |<- next carry ->|
    transposed convolution:          the last k - s outputs, which the next frame adds to
        |<------------- frame: T inputs -> T * s outputs ----------->|<- next carry: k - s ->|

A fresh row's carry is zeros, which is the reference's zero padding on the left.

Tensors are [B, C, T]. Prepared with `fused`, layers keep them in memory as [B, T, C], which is what
tensor cores want; the strides carry that through the element-wise layers between. On CPU the
reference's results come out to the bit only in the plain layout.

This module knows neither the codec's structure nor which row belongs to whom.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.model.state import RowState, Spec, keep


class CausalConv1d(nn.Module):
    """Convolution over time. The weight's key is `conv.conv.weight`, as in the checkpoint."""

    def __init__(
        self, name: str, channels: int, out_channels: int, kernel: int, stride: int = 1,
        bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        raw = nn.Conv1d(channels, out_channels, kernel, stride, bias=bias)
        self.conv = nn.ModuleDict({"conv": raw})
        self.name = name
        self.channels = channels
        self.stride = stride
        self.carry_samples = kernel - stride
        self.channels_last = False

    def prepare(self, fused: bool) -> None:
        """Chooses the layout in memory, and turns the weight to it."""
        self.channels_last = fused
        lay_out(self.conv["conv"].weight, channels_last=fused)

    def state_specs(self) -> Iterator[Spec]:
        """The carry, float32 [channels, kernel - stride]; none if kernel and stride agree."""
        if self.carry_samples:
            yield Spec(self.name, (self.channels, self.carry_samples))

    def forward(self, x: Tensor, state: RowState, live: Tensor) -> Tensor:
        """Convolves one frame.

        Args:
            x: float32 [B, channels, T], T a multiple of the stride.
            state: has the carry; advanced in place where `live`.
            live: bool [B].

        Returns:
            float32 [B, out_channels, T / stride].
        """
        if self.carry_samples:
            x = self._prepend_carry(x, state[self.name], live)  # [B, C, k - s + T]
        return self._convolve(x)

    def _prepend_carry(self, x: Tensor, carry: Tensor, live: Tensor) -> Tensor:
        if self.channels_last:
            x = torch.cat([carry.mT, x.mT], dim=1).mT
        else:
            x = torch.cat([carry, x], dim=-1)
        keep(carry, x[..., -self.carry_samples :], live)
        return x

    def _convolve(self, x: Tensor) -> Tensor:
        raw = self.conv["conv"]
        if self.channels_last and raw.kernel_size == (1,):
            return functional.linear(x.mT, raw.weight[..., 0], raw.bias).mT
        return functional.conv1d(x, raw.weight, raw.bias, self.stride)


class Downsample(nn.Module):
    """Halves the latent's rate. A fresh row is padded with its own first step, not with zeros."""

    def __init__(self, name: str, channels: int, stride: int) -> None:
        super().__init__()
        self.conv = CausalConv1d(name, channels, channels, 2 * stride, stride, bias=False)

    def state_specs(self) -> Iterator[Spec]:
        """The carry of the convolution."""
        return self.conv.state_specs()

    def forward(self, x: Tensor, state: RowState, live: Tensor, fresh: Tensor) -> Tensor:
        """Halves one frame, [B, C, T] -> [B, C, T / 2]; `fresh` bool [B] marks first frames."""
        carry = state[self.conv.name]
        keep(carry, x[..., :1].expand_as(carry), fresh & live)
        return self.conv(x, state, live)


class CausalConvTranspose1d(nn.Module):
    """Transposed convolution over time. The weight's key is `convtr.convtr.weight`."""

    def __init__(
        self, name: str, channels: int, out_channels: int, kernel: int, stride: int
    ) -> None:
        super().__init__()
        raw = nn.ConvTranspose1d(channels, out_channels, kernel, stride)
        self.convtr = nn.ModuleDict({"convtr": raw})
        self.name = name
        self.out_channels = out_channels
        self.stride = stride
        self.carry_samples = kernel - stride

    def prepare(self, fused: bool) -> None:
        """Turns the weight to the layout in memory that `fused` asks for."""
        lay_out(self.convtr["convtr"].weight, channels_last=fused)

    def state_specs(self) -> Iterator[Spec]:
        """The unfinished outputs, without bias: float32 [out_channels, kernel - stride]."""
        yield Spec(self.name, (self.out_channels, self.carry_samples))

    def forward(self, x: Tensor, state: RowState, live: Tensor) -> Tensor:
        """Widens one frame.

        Args:
            x: float32 [B, channels, T].
            state: has the carry; advanced in place where `live`.
            live: bool [B].

        Returns:
            float32 [B, out_channels, T * stride].
        """
        raw, carry = self.convtr["convtr"], state[self.name]
        y = functional.conv_transpose1d(
            x, raw.weight, raw.bias, self.stride
        )  # [B, C, T * s + k - s]
        y[..., : self.carry_samples] += carry
        # The next frame's head has the bias too: it must not count twice.
        keep(carry, y[..., -self.carry_samples :] - raw.bias[:, None], live)
        return y[..., : -self.carry_samples]


class Upsample(nn.Module):
    """Doubles the latent's rate, each channel by itself; takes one step at a time.

    One step makes the transposed convolution a product, and the overlap a sum:

        y[0 : s] = x * w[0 : s] + carry        next carry = x * w[s : 2s]
    """

    def __init__(self, name: str, channels: int, stride: int) -> None:
        super().__init__()
        raw = nn.ConvTranspose1d(
            channels, channels, 2 * stride, stride, groups=channels, bias=False
        )
        self.convtr = nn.ModuleDict({"convtr": nn.ModuleDict({"convtr": raw})})
        self.name = name
        self.channels = channels
        self.stride = stride

    def state_specs(self) -> Iterator[Spec]:
        """The unfinished outputs, float32 [channels, stride]."""
        yield Spec(self.name, (self.channels, self.stride))

    def forward(self, x: Tensor, state: RowState, live: Tensor) -> Tensor:
        """Doubles one step, float32 [B, C, 1] -> [B, C, 2]; the carry advances where `live`."""
        weight, carry = self.convtr["convtr"]["convtr"].weight, state[self.name]
        y = x * weight[:, 0]  # [B, C, 2s]
        head = y[..., : self.stride] + carry
        keep(carry, y[..., self.stride :], live)
        return head


def lay_out(weight: nn.Parameter, channels_last: bool) -> None:
    """Orders a weight [.., C, K] in memory as [.., K, C] or plainly; values and shape stay."""
    data = weight.data
    weight.data = data.mT.contiguous().mT if channels_last else data.contiguous()
