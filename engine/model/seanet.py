"""SEANet, the convolutional part of the codec: waveform -> latent, and back.

Layout of the published sizes (the number is the layer's index in the checkpoint's keys):

    encoder  0 conv 1>64    1 res  3 conv /4 >128   4 res  6 conv /5 >256   7 res
             9 conv /6 >512  10 res  12 conv /8 >1024  14 conv >512
    decoder  0 conv 512>1024  2 up x8 >512  3 res  5 up x6 >256  6 res  8 up x5 >128  9 res
             11 up x4 >64  12 res  14 conv 64>1
    ELU stands at the indices left out.

This module does not know the codes, nor that its latent has half the rate afterwards.
Source: Tagliasacchi et al. 2020 (SEANet), as configured for Mimi.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from engine.config import MimiConfig
from engine.model.conv import CausalConv1d, CausalConvTranspose1d
from engine.model.state import RowState, Spec


class ResidualBlock(nn.Module):
    """x + conv1(elu(conv_k(elu(x)))), narrower inside."""

    def __init__(self, name: str, channels: int, config: MimiConfig) -> None:
        super().__init__()
        hidden = channels // config.compress
        kernel = config.residual_kernel
        self.block = nn.ModuleList(
            [
                nn.ELU(),
                CausalConv1d(f"{name}.block.1", channels, hidden, kernel),
                nn.ELU(),
                CausalConv1d(f"{name}.block.3", hidden, channels, 1),
            ]
        )

    def state_specs(self) -> Iterator[Spec]:
        """The carry of the one convolution that is wider than one tap."""
        return _specs_of(self.block)

    def forward(self, x: Tensor, state: RowState, live: Tensor) -> Tensor:
        """Refines one frame, [B, C, T] -> [B, C, T]."""
        return x + _run(self.block, x, state, live)


class Encoder(nn.Module):
    """Waveform [B, 1, T] -> latent [B, dimension, T / hop]."""

    def __init__(self, name: str, config: MimiConfig) -> None:
        super().__init__()
        width = config.filters
        layers = _Numbered(f"{name}.model")
        layers.add(CausalConv1d, 1, width, config.kernel)
        for ratio in reversed(config.ratios):
            layers.add(ResidualBlock, width, config)
            layers.add_elu()
            layers.add(CausalConv1d, width, 2 * width, 2 * ratio, ratio)
            width *= 2
        layers.add_elu()
        layers.add(CausalConv1d, width, config.dimension, config.last_kernel)
        self.model = layers.modules

    def state_specs(self) -> Iterator[Spec]:
        """The carries of all convolutions."""
        return _specs_of(self.model)

    def forward(self, x: Tensor, state: RowState, live: Tensor) -> Tensor:
        """Encodes one frame; T is a multiple of the hop."""
        return _run(self.model, x, state, live)


class Decoder(nn.Module):
    """Latent [B, dimension, T] -> waveform [B, 1, T * hop], not clipped."""

    def __init__(self, name: str, config: MimiConfig) -> None:
        super().__init__()
        width = config.filters * 2 ** len(config.ratios)
        layers = _Numbered(f"{name}.model")
        layers.add(CausalConv1d, config.dimension, width, config.kernel)
        for ratio in config.ratios:
            layers.add_elu()
            layers.add(CausalConvTranspose1d, width, width // 2, 2 * ratio, ratio)
            width //= 2
            layers.add(ResidualBlock, width, config)
        layers.add_elu()
        layers.add(CausalConv1d, width, 1, config.last_kernel)
        self.model = layers.modules

    def state_specs(self) -> Iterator[Spec]:
        """The carries of all convolutions."""
        return _specs_of(self.model)

    def forward(self, x: Tensor, state: RowState, live: Tensor) -> Tensor:
        """Decodes one frame."""
        return _run(self.model, x, state, live)


class _Numbered:
    """Builds layers that know their own name, which ends with their index."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.modules = nn.ModuleList()

    def add(self, kind: type[nn.Module], *sizes: object) -> None:
        self.modules.append(kind(f"{self.name}.{len(self.modules)}", *sizes))

    def add_elu(self) -> None:
        self.modules.append(nn.ELU())


def _specs_of(layers: nn.ModuleList) -> Iterator[Spec]:
    for layer in layers:
        if not isinstance(layer, nn.ELU):
            yield from layer.state_specs()


def _run(layers: nn.ModuleList, x: Tensor, state: RowState, live: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x) if isinstance(layer, nn.ELU) else layer(x, state, live)
    return x
