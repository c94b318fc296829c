"""The reference language model at a tiny size, and ours with the same random weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from engine.config import DELAYS, LMConfig
from engine.model.lm import LanguageModel
from tests.unit.engine.oracle_moshi import load_moshi

TINY = LMConfig(
    dim=64,
    heads=4,
    layers=3,
    ffn_dim=176,
    window_positions=16,
    depth_dim=32,
    depth_heads=4,
    depth_layers=2,
    depth_ffn_dim=88,
    audio_card=2048,
    text_card=50,
)


def random_weights(model: torch.nn.Module, seed: int) -> None:
    """Fills every parameter: matrices wide enough to give peaked logits, norms around 1."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("alpha"):
            parameter.data.copy_(1 + 0.1 * noise)
        elif "emb" in name:
            parameter.data.copy_(0.5 * noise)
        else:
            parameter.data.copy_(noise * 1.5 / parameter.shape[-1] ** 0.5)


def reference_model(
    config: LMConfig, state: dict[str, torch.Tensor] | None = None, **place: Any
) -> Any:
    """The reference's LMModel, with the given weights, loaded strictly.

    `place` is a device and a type; float32 on the CPU where nothing is said.
    """
    moshi = load_moshi()
    lm_module = __import__(f"{moshi.__name__}.models.lm", fromlist=["LMModel"])
    model = lm_module.LMModel(
        delays=list(DELAYS),
        n_q=16,
        dep_q=16,
        card=config.audio_card,
        text_card=config.text_card,
        existing_text_padding_id=3,
        dim=config.dim,
        num_heads=config.heads,
        num_layers=config.layers,
        hidden_scale=4.125,
        causal=True,
        layer_scale=None,
        context=config.window_positions,
        max_period=config.rope_period,
        gating="silu",
        norm="rms_norm_f32",
        positional_embedding="rope",
        depformer_dim=config.depth_dim,
        depformer_dim_feedforward=int(4.125 * config.depth_dim),
        depformer_num_heads=config.depth_heads,
        depformer_num_layers=config.depth_layers,
        depformer_causal=True,
        depformer_layer_scale=None,
        depformer_multi_linear=True,
        depformer_context=16,
        depformer_max_period=10_000,
        depformer_gating="silu",
        depformer_pos_emb="none",
        depformer_weights_per_step=True,
        **place,
    ).eval()
    if state is not None:
        model.load_state_dict(state, strict=True)
    return model.requires_grad_(False)


def models(seed: int = 0, **sizes: Any) -> tuple[Any, LanguageModel]:
    """The reference and ours, with the same weights, loaded strictly."""
    config = replace(TINY, **sizes)
    oracle = reference_model(config)
    random_weights(oracle, seed)
    ours = LanguageModel(config).eval().requires_grad_(False)
    ours.load_state_dict(oracle.state_dict(), strict=True)
    return oracle, ours


def tiny_model(seed: int = 0) -> LanguageModel:
    """Ours alone, with random weights."""
    model = LanguageModel(TINY).eval().requires_grad_(False)
    random_weights(model, seed)
    return model


def random_columns(count: int, batch: int, config: LMConfig, seed: int) -> torch.Tensor:
    """Columns of the grid, int64 [count, B, 17], among them initial and zero tokens."""
    generator = torch.Generator().manual_seed(seed)
    audio = torch.randint(0, config.audio_card + 1, (count, batch, 16), generator=generator)
    text = torch.randint(-1, config.text_card + 1, (count, batch, 1), generator=generator)
    return torch.cat([text, audio], dim=2)
