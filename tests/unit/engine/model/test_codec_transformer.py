"""The codec's transformer: which keys are visible, and streaming against plain attention."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from engine.config import MimiConfig
from engine.model.codec_transformer import (
    MASK_ALIGNMENT,
    CodecTransformer,
    Layer,
    rotary_frequencies,
    visibility,
)
from engine.model.state import RowState
from tests.unit.engine.model.mimi_cases import COMPAT, TINY, all_live, randomise

ROWS = 3


def build(config: MimiConfig = TINY, fused: bool = False) -> CodecTransformer:
    """A transformer with random weights, ready for use."""
    model = CodecTransformer("t", config)
    randomise(model, torch.Generator().manual_seed(0))
    model.requires_grad_(False).prepare(fused)
    return model


def latents(steps: int, rows: int = ROWS) -> Tensor:
    """Random input, float32 [B, C, T]."""
    generator = torch.Generator().manual_seed(5)
    return torch.randn(rows, TINY.dimension, steps, generator=generator)


def state_of(model: CodecTransformer, rows: int = ROWS) -> RowState:
    """A fresh state."""
    return RowState.zeros(model.state_specs(), rows)


def streamed(model: CodecTransformer, x: Tensor) -> Tensor:
    """Two steps at a time, every row live."""
    state, live = state_of(model, len(x)), all_live(len(x))
    return torch.cat([model(chunk, state, live) for chunk in x.split(2, dim=-1)], dim=-1)


def oldest_visible(step: int, context: int, compat: bool) -> int:
    """The first position that the query at `step` sees, when steps come in twos."""
    end = step // 2 * 2 + 2
    return max(0, end - context + int(compat)) if end >= context else 0


def plain(model: CodecTransformer, x: Tensor) -> Tensor:
    """The same network over all steps at once in float64, with nothing but its definition."""
    config = model.config
    x = x.double().transpose(1, 2)  # [B, T, C]
    for layer in model.transformer["layers"]:
        x = x + layer.layer_scale_1.scale.double() * plain_attention(
            layer, norm(layer.norm1, x), config
        )
        inner = functional.gelu(norm(layer.norm2, x) @ layer.linear1.weight.double().T)
        x = x + layer.layer_scale_2.scale.double() * (inner @ layer.linear2.weight.double().T)
    return x.transpose(1, 2)


def norm(layer: torch.nn.LayerNorm, x: Tensor) -> Tensor:
    """Layer normalisation, written out."""
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return centred / (variance + 1e-5).sqrt() * layer.weight.double() + layer.bias.double()


def plain_attention(layer: Layer, x: Tensor, config: MimiConfig) -> Tensor:
    """Attention with one loop over heads and one over queries."""
    query, keys, values = (x @ layer.self_attn.in_proj_weight.double().T).chunk(3, dim=-1)
    query, keys = turn(query, config), turn(keys, config)
    heard = torch.zeros_like(x)
    for head in range(config.heads):
        part = slice(head * config.head_dim, (head + 1) * config.head_dim)
        for step in range(x.shape[1]):
            seen = slice(oldest_visible(step, config.context, config.reference_compat), step + 1)
            scores = keys[:, seen, part] @ query[:, step, part, None] / math.sqrt(config.head_dim)
            heard[:, step, part] = (scores.softmax(1) * values[:, seen, part]).sum(1)
    return heard @ layer.self_attn.out_proj.weight.double().T


def turn(x: Tensor, config: MimiConfig) -> Tensor:
    """Rotary embedding, one pair at a time."""
    out = x.clone()
    for first in range(0, config.dimension, 2):
        pair = first % config.head_dim // 2
        angle = torch.arange(x.shape[1]).double() * 10_000.0 ** (-2 * pair / config.head_dim)
        even, odd = x[..., first], x[..., first + 1]
        out[..., first] = even * angle.cos() - odd * angle.sin()
        out[..., first + 1] = even * angle.sin() + odd * angle.cos()
    return out


@pytest.mark.parametrize("config", [TINY, COMPAT], ids=["correct", "compat"])
def test_streaming_is_windowed_attention(config: MimiConfig) -> None:
    """Ring, rotation and mask together give plain attention, also long after the ring is full."""
    model = build(config)
    x = latents(3 * config.context, rows=2)
    torch.testing.assert_close(streamed(model, x).double(), plain(model, x), rtol=0, atol=2e-5)


def test_compat_hides_one_key_more() -> None:
    """The two rules agree until the ring is full and differ from then on."""
    x = latents(3 * TINY.context)
    correct, compat = streamed(build(TINY), x), streamed(build(COMPAT), x)
    full = TINY.context - 2
    assert torch.equal(correct[..., :full], compat[..., :full])
    assert not torch.allclose(correct[..., full:], compat[..., full:], atol=1e-3)


def test_fused_agrees() -> None:
    """Folding the scale into the weights changes rounding only."""
    x = latents(3 * TINY.context)
    torch.testing.assert_close(
        streamed(build(fused=True), x), streamed(build(), x), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("context", [8, 10, 15])
@pytest.mark.parametrize("compat", [False, True])
def test_visibility_is_the_rule(context: int, compat: bool) -> None:
    """Slot by slot, for rows before, at and after the ring's filling."""
    starts = torch.arange(0, 3 * context, 2)
    times = starts[:, None] + torch.arange(2)
    mask = visibility(times, context, compat)[:, 0]
    for row, start in enumerate(starts.tolist()):
        holds = {p % context: p for p in range(start + 2)}  # later positions overwrite earlier
        for query in (0, 1):
            low = oldest_visible(start, context, compat)
            seen = [slot for slot, p in holds.items() if low <= p <= start + query]
            assert sorted(seen) == mask[row, query].eq(0).nonzero()[:, 0].tolist()
    assert set(mask.unique().tolist()) == {0.0, -math.inf}


def test_mask_rows_are_aligned_in_memory() -> None:
    """Attention kernels take the mask as it is."""
    mask = visibility(torch.tensor([[0, 1]]), 10, reference_compat=False)
    assert mask.shape == (1, 1, 2, 10)
    assert mask.stride(-2) % MASK_ALIGNMENT == 0


def test_rows_keep_their_own_time() -> None:
    """A row that starts later computes what it would have computed from the start."""
    model, x = build(), latents(24)
    alone = streamed(model, x)
    state = state_of(model)
    late = torch.tensor([True, False, True])
    for chunk in x.split(2, dim=-1)[:3]:
        model(chunk, state, late)
    outputs = [model(chunk, state, all_live(ROWS))[1] for chunk in x.split(2, dim=-1)]
    assert torch.equal(torch.cat(outputs, dim=-1), alone[1])
    assert state["t.position"].tolist() == [30, 24, 30]


def test_idle_row_is_frozen() -> None:
    """Neither ring nor position of an idle row changes, whatever is fed to it."""
    model, state, x = build(), state_of(build()), latents(14)
    for chunk in x.split(2, dim=-1):
        model(chunk, state, all_live(ROWS))
    before = state.export_row(0)
    model(torch.full_like(x[..., :2], torch.nan), state, torch.zeros(ROWS, dtype=torch.bool))
    assert torch.equal(state["t.position"][0], before["t.position"])
    ring = slice(TINY.context)
    assert torch.equal(state["t.ring"][0, ..., ring, :], before["t.ring"][..., ring, :])


def test_idle_garbage_is_never_heard() -> None:
    """NaN written while a row was idle does not reach its next live frame."""
    model, x = build(), latents(4)
    expected = streamed(model, x)
    state = state_of(model)
    model(x[..., :2], state, all_live(ROWS))
    model(torch.full_like(x[..., :2], torch.nan), state, torch.zeros(ROWS, dtype=torch.bool))
    assert torch.equal(model(x[..., 2:], state, all_live(ROWS)), expected[..., 2:])


def test_values_are_not_rotated() -> None:
    """The third frequency set is zero, the first two are the rotary embedding's."""
    frequencies = rotary_frequencies(replace(TINY, dimension=16, heads=2), torch.device("cpu"))
    expected = [1.0, 10_000**-0.25, 10_000**-0.5, 10_000**-0.75]
    assert frequencies.shape == (3, 1, 4)
    assert frequencies[0, 0].tolist() == pytest.approx(expected)
    assert torch.equal(frequencies[0], frequencies[1])
    assert not frequencies[2].any()
