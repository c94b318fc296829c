"""The codec's two directions over the kernels of `codec.py`, with the loaded codec's own weights.

The state is the plain codec's, name by name and value by value: a row may go on in either. Biases
and residual sums are no passes of their own but ride along to the next kernel that reads the sound.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.config import STEPS_PER_FRAME as T
from engine.kernels.codec import attend_frame, first_conv, overlap, pad
from engine.model.codec_transformer import CodecTransformer
from engine.model.conv import CausalConv1d, CausalConvTranspose1d
from engine.model.mimi import Mimi
from engine.model.seanet import ResidualBlock
from engine.model.state import RowState


@dataclass(frozen=True, slots=True)
class Sound:
    """What a layer left: x + bias + y + y_bias, not summed up yet.

    Attributes:
        x: float32 [B, T, C].
        bias: float32 [C] or None.
        y: float32 [B, T, C] or None.
        y_bias: float32 [C] or None.
    """

    x: Tensor
    bias: Tensor | None = None
    y: Tensor | None = None
    y_bias: Tensor | None = None

    def padded(self, carry: Tensor | None, live: Tensor, *, elu: bool) -> Tensor:
        """The next convolution's input, [B, k - s + T, C]."""
        return pad(self.x, carry, live, y=self.y, bias=self.bias, y_bias=self.y_bias, elu=elu)


class FusedCodec:
    """Encodes and decodes as `Mimi` does, but for rounding.

    Args:
        mimi: the loaded codec, on a CUDA device, prepared with `fused`.
    """

    def __init__(self, mimi: Mimi) -> None:
        self._mimi = mimi

    @torch.no_grad()
    def encode_frame(self, pcm: Tensor, state: RowState, live: Tensor) -> Tensor:
        """Encodes one frame of every live row; see `Mimi.encode_frame`."""
        mimi = self._mimi
        fresh = state[mimi.encoder_transformer.position_name] == 0
        sound = _run(mimi.encoder.model, Sound(pcm[..., None]), state, live)
        x = self._transform(mimi.encoder_transformer, sound.x + sound.bias, state, live)
        return mimi.quantizer.encode(mimi.downsample(x.mT, state, live, fresh))

    @torch.no_grad()
    def decode_frame(self, codes: Tensor, state: RowState, live: Tensor) -> Tensor:
        """Decodes one frame of every live row; see `Mimi.decode_frame`."""
        mimi = self._mimi
        codes = codes * live[:, None]  # an idle row's codes may lie outside the codebooks
        x = mimi.upsample(mimi.quantizer.decode(codes), state, live).mT.contiguous()
        x = self._transform(mimi.decoder_transformer, x, state, live)
        sound = _run(mimi.decoder.model, Sound(x), state, live)
        return (sound.x + sound.bias)[..., 0]

    def _transform(
        self, transformer: CodecTransformer, x: Tensor, state: RowState, live: Tensor
    ) -> Tensor:
        """The transformer's layers over a frame, float32 [B, 2, C]; writes over x."""
        position, ring = state[transformer.position_name], state[transformer.ring_name]
        config = transformer.config
        times = position[:, None] + torch.arange(T, device=position.device)
        angles = times.float()[:, :, None] * transformer.frequencies[0, 0]
        cos, sin = angles.cos(), angles.sin()
        for index, layer in enumerate(transformer.transformer["layers"]):
            qkv = functional.linear(layer.norm1(x), layer.self_attn.in_proj_weight)
            heard = attend_frame(
                qkv, cos, sin, ring[:, index], position, live, config.heads,
                reference_compat=config.reference_compat,
            )  # fmt: skip
            x = layer.attention_residual.add(x, heard)
            x = layer.feedforward_residual.add(x, functional.gelu(layer.linear1(layer.norm2(x))))
        position.add_(live, alpha=T)
        return x


def _run(layers: nn.ModuleList, sound: Sound, state: RowState, live: Tensor) -> Sound:
    """Leads a frame through an encoder's or a decoder's layers."""
    elu = False
    for layer in layers:
        if isinstance(layer, nn.ELU):
            elu = True
        elif isinstance(layer, ResidualBlock):
            sound = _refined(layer, sound, state, live)
        elif isinstance(layer, CausalConvTranspose1d):
            sound, elu = _widened(layer, sound.padded(None, live, elu=elu), state, live), False
        else:
            sound, elu = _convolved(layer, sound, state, live, elu=elu), False
    return sound


def _convolved(
    layer: CausalConv1d, sound: Sound, state: RowState, live: Tensor, *, elu: bool
) -> Sound:
    carry = state[layer.name] if layer.carry_samples else None
    x, raw = sound.padded(carry, live, elu=elu), layer.conv["conv"]
    if raw.kernel_size == (1,):
        return Sound(functional.linear(x, raw.weight[..., 0]), raw.bias)
    if layer.channels == 1 and layer.stride == 1:
        return Sound(first_conv(x[..., 0], raw.weight[:, 0].contiguous()), raw.bias)
    # As a picture one line high: PyTorch would copy a one-dimensional input out of this layout.
    flat, weight = x.mT.unsqueeze(2), raw.weight.unsqueeze(2)
    convolved = functional.conv2d(flat, weight, None, (1, layer.stride))
    return Sound(convolved.squeeze(2).mT.contiguous(), raw.bias)


def _refined(block: ResidualBlock, sound: Sound, state: RowState, live: Tensor) -> Sound:
    """The block's sum is left to whoever reads it."""
    _, wide, _, narrow = block.block
    hidden = _convolved(wide, sound, state, live, elu=True)
    refined = _convolved(narrow, hidden, state, live, elu=True)
    return Sound(sound.x, sound.bias, refined.x, refined.bias)


def _widened(layer: CausalConvTranspose1d, x: Tensor, state: RowState, live: Tensor) -> Sound:
    raw = layer.convtr["convtr"]
    taps = raw.weight.mT.flatten(1)  # [C in, 2 * stride * C out]; a view of the fused layout
    parts = (x.flatten(0, 1) @ taps).view(*x.shape[:2], 2 * layer.stride, layer.out_channels)
    return Sound(overlap(parts, state[layer.name], live), raw.bias)
