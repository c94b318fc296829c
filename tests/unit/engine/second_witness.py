"""The language model of the transformers library with our sizes and weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from engine.model.lm import LanguageModel


def transformers_config(ours: LanguageModel) -> Any:
    """Our sizes in its words; its feed-forward width counts both halves."""
    import transformers

    config = ours.config
    theirs = transformers.MoshiConfig(
        vocab_size=config.text_card,
        hidden_size=config.dim,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        audio_vocab_size=config.audio_card,
        sliding_window=config.window_positions,
        ffn_dim=2 * config.ffn_dim,
        depth_decoder_config={
            "hidden_size": config.depth_dim,
            "num_hidden_layers": config.depth_layers,
            "num_attention_heads": config.depth_heads,
            "max_position_embeddings": 17,
            "sliding_window": 16,
            "ffn_dim": 2 * config.depth_ffn_dim,
        },
    )
    theirs.depth_decoder_config.num_codebooks = 16
    return theirs


def temporal(ours: LanguageModel) -> Any:
    """Its text model; feed it embedded inputs."""
    from transformers.models.moshi.modeling_moshi import MoshiForCausalLM

    model = MoshiForCausalLM(transformers_config(ours))
    state = {
        "model.embed_tokens.weight": ours.text_emb.weight,
        "model.norm.weight": ours.out_norm.alpha.view(-1),
        "lm_head.weight": ours.text_linear.weight,
    }
    for index, layer in enumerate(ours.transformer.layers):
        q, k, v = layer.self_attn.in_proj_weight.chunk(3)
        state |= {
            f"model.layers.{index}.{name}.weight": value
            for name, value in {
                "self_attn.q_proj.linear": halves(q, ours.config.heads),
                "self_attn.k_proj.linear": halves(k, ours.config.heads),
                "self_attn.v_proj.linear": v,
                "self_attn.o_proj.linear": layer.self_attn.out_proj.weight,
                "mlp.fc1": layer.gating.linear_in.weight,
                "mlp.fc2": layer.gating.linear_out.weight,
                "input_layernorm": layer.norm1.alpha.view(-1),
                "post_attention_layernorm": layer.norm2.alpha.view(-1),
            }.items()
        }
    model.load_state_dict(state, strict=True)
    return model.eval().requires_grad_(False)


def depth(ours: LanguageModel) -> Any:
    """Its depth decoder, for all 16 steps at once."""
    from transformers.models.moshi.modeling_moshi import MoshiDepthDecoder

    model = MoshiDepthDecoder(transformers_config(ours).depth_decoder_config)
    state = {
        "text_embed_tokens.weight": ours.depformer_text_emb.weight,
        "input_projections.weight": stacked(ours.depformer_in),
        "lm_heads.weight": stacked(ours.linears),
    }
    for index, table in enumerate(ours.depformer_emb):
        state[f"embed_tokens.{index}.weight"] = table.weight
    for index, layer in enumerate(ours.depformer.layers):
        steps = layer.self_attn.in_proj_weight.unflatten(0, (16, 3, -1))  # [16, 3, D, D]
        state |= {
            f"layers.{index}.{name}.weight": value
            for name, value in {
                "self_attn.q_proj.linear": steps[:, 0],
                "self_attn.k_proj.linear": steps[:, 1],
                "self_attn.v_proj.linear": steps[:, 2],
                "self_attn.o_proj.linear": layer.self_attn.out_proj.weight.unflatten(0, (16, -1)),
                "mlp.fc1": stacked(gating.linear_in for gating in layer.gating),
                "mlp.fc2": stacked(gating.linear_out for gating in layer.gating),
                "input_layernorm": layer.norm1.alpha.view(-1),
                "post_attention_layernorm": layer.norm2.alpha.view(-1),
            }.items()
        }
    model.load_state_dict(state, strict=True)
    return model.eval().requires_grad_(False)


def stacked(layers: Any) -> Tensor:
    """The weights of linear layers, one above the other."""
    return torch.stack([layer.weight for layer in layers])


def halves(weight: Tensor, heads: int) -> Tensor:
    """Rows of interleaved rotary pairs, sorted into two halves a head."""
    pairs = weight.unflatten(0, (heads, -1, 2))  # [H, D / 2, 2, dim]
    return pairs.transpose(1, 2).flatten(0, 2)
