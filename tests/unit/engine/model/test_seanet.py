"""The convolutional encoder and decoder: shapes, names, and streaming against the whole."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.config import MimiConfig
from engine.model.conv import CausalConv1d, CausalConvTranspose1d
from engine.model.seanet import Decoder, Encoder, ResidualBlock
from engine.model.state import RowState
from tests.unit.engine.model.mimi_cases import TINY, all_live, randomise

ROWS = 2


def build(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    """An encoder or a decoder with random weights."""
    layer = kind("part", TINY)
    randomise(layer, torch.Generator().manual_seed(seed))
    return layer.requires_grad_(False)


def whole(layer: nn.Module, x: Tensor) -> Tensor:
    """The same network over the whole signal, without any state."""
    if isinstance(layer, CausalConv1d):
        raw = layer.conv["conv"]
        x = functional.pad(x, (layer.carry_samples, 0))
        return functional.conv1d(x, raw.weight, raw.bias, layer.stride)
    if isinstance(layer, CausalConvTranspose1d):
        raw = layer.convtr["convtr"]
        samples = x.shape[-1] * layer.stride
        return functional.conv_transpose1d(x, raw.weight, raw.bias, layer.stride)[..., :samples]
    if isinstance(layer, nn.ELU):
        return functional.elu(x)
    parts = layer.block if isinstance(layer, ResidualBlock) else layer.model
    y = x
    for part in parts:
        y = whole(part, y)
    return x + y if isinstance(layer, ResidualBlock) else y


def streamed(layer: nn.Module, x: Tensor, step: int) -> Tensor:
    """The network fed `step` samples at a time."""
    state = RowState.zeros(layer.state_specs(), len(x))
    live = all_live(len(x))
    return torch.cat([layer(chunk, state, live) for chunk in x.split(step, dim=-1)], dim=-1)


def test_encoder_streams_what_it_computes_at_once() -> None:
    """Frame by frame equals the whole signal, at one latent step a hop."""
    x = torch.randn(ROWS, 1, 6 * TINY.frame_samples, generator=torch.Generator().manual_seed(1))
    encoder = build(Encoder)
    got = streamed(encoder, x, TINY.frame_samples)
    assert got.shape == (ROWS, TINY.dimension, 12)
    torch.testing.assert_close(got, whole(encoder, x), rtol=0, atol=1e-5)


def test_decoder_streams_what_it_computes_at_once() -> None:
    """Two latent steps at a time equal the whole latent, at one hop a step."""
    z = torch.randn(ROWS, TINY.dimension, 12, generator=torch.Generator().manual_seed(2))
    decoder = build(Decoder)
    got = streamed(decoder, z, 2)
    assert got.shape == (ROWS, 1, 6 * TINY.frame_samples)
    torch.testing.assert_close(got, whole(decoder, z), rtol=0, atol=1e-5)


def test_streaming_needs_its_state() -> None:
    """Without the carries the second frame would differ: the state is really used."""
    x = torch.randn(ROWS, 1, 2 * TINY.frame_samples, generator=torch.Generator().manual_seed(3))
    encoder = build(Encoder)
    alone = whole(encoder, x[..., TINY.frame_samples :])
    assert not torch.allclose(streamed(encoder, x, TINY.frame_samples)[..., 2:], alone, atol=1e-3)


def test_layers_stand_where_the_checkpoint_has_them() -> None:
    """The published sizes give the published indices."""
    with torch.device("meta"):
        encoder, decoder = Encoder("encoder", MimiConfig()), Decoder("decoder", MimiConfig())
    up = [i for i, layer in enumerate(decoder.model) if isinstance(layer, CausalConvTranspose1d)]
    blocks = [i for i, layer in enumerate(encoder.model) if isinstance(layer, ResidualBlock)]
    assert up == [2, 5, 8, 11]
    assert blocks == [1, 4, 7, 10]
    assert len(encoder.model) == len(decoder.model) == 15


def test_every_carry_has_its_own_name() -> None:
    """Two layers with one name would overwrite each other's memory."""
    names = [spec.name for spec in build(Encoder).state_specs()]
    assert len(names) == len(set(names)) == 6
    assert "part.model.1.block.1" in names
