"""Streaming convolutions against torch's own over the whole signal at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.model.conv import (
    CausalConv1d,
    CausalConvTranspose1d,
    Downsample,
    Upsample,
    lay_out,
)
from engine.model.state import RowState

CHANNELS, OUT_CHANNELS, ROWS = 3, 5, 2
LIVE = torch.ones(ROWS, dtype=torch.bool)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def state_of(layer: nn.Module, rows: int = ROWS) -> RowState:
    """A fresh state for one layer."""
    return RowState.zeros(layer.state_specs(), rows)


def stream(layer: Callable[[Tensor], Tensor], x: Tensor, step: int) -> Tensor:
    """Feeds `step` samples at a time."""
    with torch.no_grad():
        return torch.cat([layer(chunk) for chunk in x.split(step, dim=-1)], dim=-1)


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (7, 1), (8, 4), (10, 5), (6, 2)])
@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("fused", [False, True])
def test_streamed_convolution_is_the_zero_padded_one(
    kernel: int, stride: int, steps: int, fused: bool
) -> None:
    """Chunk by chunk gives what one convolution over the padded signal gives."""
    layer = CausalConv1d("conv", CHANNELS, OUT_CHANNELS, kernel, stride)
    layer.prepare(fused)
    x = torch.randn(ROWS, CHANNELS, 6 * stride * steps)
    raw = layer.conv["conv"]
    whole = functional.conv1d(functional.pad(x, (kernel - stride, 0)), raw.weight, raw.bias, stride)
    state = state_of(layer)
    got = stream(lambda chunk: layer(chunk, state, LIVE), x, stride * steps)
    torch.testing.assert_close(got, whole, rtol=0, atol=1e-5)


def test_convolution_of_one_tap_has_no_state() -> None:
    """Nothing is carried where kernel and stride agree."""
    assert list(CausalConv1d("conv", CHANNELS, OUT_CHANNELS, 1).state_specs()) == []


@pytest.mark.parametrize(("kernel", "stride"), [(8, 4), (16, 8), (5, 2), (3, 1)])
@pytest.mark.parametrize("steps", [2, 4])
@pytest.mark.parametrize("fused", [False, True])
def test_streamed_transposed_convolution_is_the_trimmed_one(
    kernel: int, stride: int, steps: int, fused: bool
) -> None:
    """Chunk by chunk gives what one transposed convolution gives, less its unfinished tail."""
    layer = CausalConvTranspose1d("up", CHANNELS, OUT_CHANNELS, kernel, stride)
    layer.prepare(fused)
    x = torch.randn(ROWS, CHANNELS, 4 * steps)
    raw = layer.convtr["convtr"]
    whole = functional.conv_transpose1d(x, raw.weight, raw.bias, stride)
    state = state_of(layer)
    got = stream(lambda chunk: layer(chunk, state, LIVE), x, steps)
    assert got.shape[-1] == x.shape[-1] * stride
    torch.testing.assert_close(got, whole[..., : got.shape[-1]], rtol=0, atol=1e-5)


def test_downsample_repeats_the_first_step_of_a_fresh_row() -> None:
    """The padding on the left is the row's own first step."""
    layer = Downsample("down", CHANNELS, 2)
    x = torch.randn(ROWS, CHANNELS, 8)
    whole = functional.conv1d(
        functional.pad(x, (2, 0), mode="replicate"), layer.conv.conv["conv"].weight, stride=2
    )
    state, fresh = state_of(layer), iter([LIVE, ~LIVE, ~LIVE, ~LIVE])
    got = stream(lambda chunk: layer(chunk, state, LIVE, next(fresh)), x, 2)
    torch.testing.assert_close(got, whole, rtol=0, atol=1e-6)


def test_downsample_leaves_a_fresh_idle_row_fresh() -> None:
    """A row that waits for its first frame is not padded with what happens to be there."""
    layer = Downsample("down", CHANNELS, 2)
    state = state_of(layer)
    with torch.no_grad():
        layer(torch.randn(ROWS, CHANNELS, 2), state, ~LIVE, LIVE)
    assert not state["down"].any()


def test_upsample_is_a_transposed_convolution_of_each_channel() -> None:
    """Step by step gives what torch's grouped transposed convolution gives."""
    layer = Upsample("up", CHANNELS, 2)
    x = torch.randn(ROWS, CHANNELS, 7)
    raw = layer.convtr["convtr"]["convtr"]
    whole = functional.conv_transpose1d(x, raw.weight, None, 2, groups=CHANNELS)
    state = state_of(layer)
    got = stream(lambda chunk: layer(chunk, state, LIVE), x, 1)
    torch.testing.assert_close(got, whole[..., :14], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        CausalConv1d("layer", CHANNELS, OUT_CHANNELS, 7),
        CausalConvTranspose1d("layer", CHANNELS, OUT_CHANNELS, 8, 4),
        Upsample("layer", CHANNELS, 2),
    ],
    ids=["convolution", "transposed", "upsample"],
)
def test_idle_row_is_frozen(layer: nn.Module) -> None:
    """An idle row keeps every bit of its carry, whatever is fed to it."""
    state = state_of(layer)
    with torch.no_grad():
        layer(torch.randn(ROWS, CHANNELS, 1), state, LIVE)
        before = state["layer"].clone()
        layer(torch.full((ROWS, CHANNELS, 1), torch.nan), state, torch.tensor([False, False]))
        assert torch.equal(state["layer"], before)
        layer(torch.randn(ROWS, CHANNELS, 1), state, torch.tensor([False, True]))
    assert torch.equal(state["layer"][0], before[0])
    assert not torch.equal(state["layer"][1], before[1])


def is_channels_last(x: Tensor) -> bool:
    """Whether torch's convolutions would take this [B, C, T] as [B, T, C] in memory."""
    return x.unsqueeze(2).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_fused_keeps_channels_last(kernel: int) -> None:
    """A channels-last signal stays so through carry, convolution and the layers between."""
    layer = CausalConv1d("conv", 4, 4, kernel)
    layer.prepare(fused=True)
    state, x = state_of(layer), torch.randn(ROWS, 16, 4).mT
    with torch.no_grad():
        y = functional.elu(layer(functional.elu(x), state, LIVE)) + x
    assert is_channels_last(layer.conv["conv"].weight)
    assert is_channels_last(y)
    assert not y.is_contiguous()


def test_layout_keeps_the_values() -> None:
    """Only the strides change, and they can change back."""
    weight = nn.Parameter(torch.randn(4, 3, 5), requires_grad=False)
    before = weight.clone()
    lay_out(weight, channels_last=True)
    assert torch.equal(weight, before)
    assert weight.stride() == (15, 1, 3)
    lay_out(weight, channels_last=False)
    assert torch.equal(weight, before)
    assert weight.is_contiguous()
