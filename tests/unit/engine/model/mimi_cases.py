"""Small codecs with random weights, and the reference implementation of the same sizes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from engine.config import MimiConfig
from engine.model.mimi import Mimi, MimiState
from engine.model.state import RowState
from tests.unit.engine.oracle_moshi import load_moshi

TINY = MimiConfig(
    sample_rate_hz=300,
    filters=4,
    dimension=32,
    ratios=(4, 3),
    layers=2,
    heads=2,
    feedforward=48,
    context=10,
    codebook_dim=16,
    codebook_size=64,
    codebooks=4,
    codebooks_stored=6,
)
COMPAT = replace(TINY, reference_compat=True)


def random_mimi(config: MimiConfig, seed: int = 0) -> Mimi:
    """A codec with random weights, ready for use."""
    generator = torch.Generator().manual_seed(seed)
    mimi = Mimi(config).eval()
    randomise(mimi, generator)
    mimi.prepare()
    return mimi


def randomise(model: nn.Module, generator: torch.Generator) -> None:
    """Fills all weights so that no layer is trivial: signal stays of order 1, no code repeats."""
    for name, tensor in model.state_dict().items():
        if name.endswith("cluster_usage"):
            tensor.uniform_(0.5, 2.0, generator=generator)
        elif name.endswith(("norm1.weight", "norm2.weight", "scale")):
            tensor.uniform_(0.3, 1.0, generator=generator)
        elif name.endswith("bias"):
            tensor.uniform_(-0.2, 0.2, generator=generator)
        elif not name.endswith("_initialized"):
            fan_in = max(tensor[0].numel(), 1)
            tensor.normal_(0, 1.3 * fan_in**-0.5, generator=generator)
        if name.endswith("embedding_sum"):
            tensor.mul_(2.0)


def reference(mimi: Mimi) -> nn.Module:
    """The reference implementation with the same sizes and weights, in streaming order."""
    moshi = load_moshi()
    config = mimi.config
    seanet = {
        "channels": 1, "dimension": config.dimension, "causal": True, "n_filters": config.filters,
        "n_residual_layers": 1, "activation": "ELU", "compress": config.compress,
        "dilation_base": 2, "disable_norm_outer_blocks": 0, "kernel_size": config.kernel,
        "residual_kernel_size": config.residual_kernel, "last_kernel_size": config.last_kernel,
        "norm": "none", "pad_mode": "constant", "ratios": list(config.ratios), "true_skip": True,
    }  # fmt: skip
    attention = {
        "d_model": config.dimension, "num_heads": config.heads, "num_layers": config.layers,
        "causal": True, "layer_scale": 0.01, "context": config.context, "conv_layout": True,
        "max_period": config.max_period, "gating": "none", "norm": "layer_norm",
        "positional_embedding": "rope", "dim_feedforward": config.feedforward,
        "input_dimension": config.dimension, "output_dimensions": [config.dimension],
    }  # fmt: skip
    model = moshi.models.MimiModel(
        moshi.modules.SEANetEncoder(**seanet),
        moshi.modules.SEANetDecoder(**seanet),
        moshi.quantization.SplitResidualVectorQuantizer(
            dimension=config.codebook_dim,
            n_q=config.codebooks_stored,
            bins=config.codebook_size,
            input_dimension=config.dimension,
            output_dimension=config.dimension,
        ),
        channels=1,
        sample_rate=config.sample_rate_hz,
        frame_rate=config.sample_rate_hz / config.frame_samples,
        encoder_frame_rate=config.sample_rate_hz / config.hop_samples,
        causal=True,
        resample_method="conv",
        encoder_transformer=moshi.modules.transformer.ProjectedTransformer(**attention),
        decoder_transformer=moshi.modules.transformer.ProjectedTransformer(**attention),
    )
    model.load_state_dict(mimi.state_dict(), strict=True)
    model.set_num_codebooks(config.codebooks)
    return model.eval().requires_grad_(False)


def sound(rows: int, frames: int, config: MimiConfig, seed: int = 1) -> Tensor:
    """Random audio, float32 [B, frames, frame_samples]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, frames, config.frame_samples, generator=generator)


def fresh_state(mimi: Mimi, rows: int) -> RowState:
    """A state for `rows` fresh rows of this codec."""
    return MimiState.allocate(mimi.config, rows)


def all_live(rows: int) -> Tensor:
    """The mask under which every row advances."""
    return torch.ones(rows, dtype=torch.bool)


def second_witness(mimi: Mimi) -> nn.Module:
    """The codec of the transformers library with the same sizes and weights; not for streaming."""
    import transformers

    config = mimi.config
    model = transformers.MimiModel(
        transformers.MimiConfig(
            sampling_rate=config.sample_rate_hz,
            num_filters=config.filters,
            hidden_size=config.dimension,
            upsampling_ratios=list(config.ratios),
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            head_dim=config.head_dim,
            intermediate_size=config.feedforward,
            sliding_window=config.context,
            codebook_dim=config.codebook_dim,
            vector_quantization_hidden_dimension=config.codebook_dim,
            codebook_size=config.codebook_size,
            num_quantizers=config.codebooks_stored,
            upsample_groups=config.dimension,
        )
    )
    ours = mimi.state_dict()
    theirs = {_witness_key(key): value for key, value in ours.items() if "in_proj" not in key}
    for key, value in ours.items():
        if key.endswith("in_proj_weight"):
            theirs |= _split_projection(_witness_key(key), value, config.heads)
    model.load_state_dict(theirs, strict=True)
    return model.eval().requires_grad_(False)


WITNESS_NAMES = (
    ("encoder_transformer.transformer.", "encoder.encoder_transformer."),
    ("decoder_transformer.transformer.", "decoder.decoder_transformer."),
    ("encoder.model.", "encoder.encoder_seanet.layers."),
    ("decoder.model.", "decoder.decoder_seanet.layers."),
    ("downsample.conv.conv.conv", "encoder.downsample.conv"),
    ("upsample.convtr.convtr.convtr", "decoder.upsample.conv"),
    (".conv.conv.", ".conv."),
    (".convtr.convtr.", ".conv."),
    ("rvq_first", "semantic_residual_vector_quantizer"),
    ("rvq_rest", "acoustic_residual_vector_quantizer"),
    (".vq.layers.", ".layers."),
    ("._codebook._initialized", ".codebook.initialized"),
    ("._codebook.embedding_sum", ".codebook.embed_sum"),
    ("._codebook.", ".codebook."),
    (".out_proj.", ".o_proj."),
    (".linear1.", ".mlp.fc1."),
    (".linear2.", ".mlp.fc2."),
    (".norm1.", ".input_layernorm."),
    (".norm2.", ".post_attention_layernorm."),
    (".layer_scale_1.", ".self_attn_layer_scale."),
    (".layer_scale_2.", ".mlp_layer_scale."),
)


def _witness_key(key: str) -> str:
    for ours, theirs in WITNESS_NAMES:
        if key.startswith(ours) or ours.startswith((".", "rvq", "_")):
            key = key.replace(ours, theirs)
    return key


def _split_projection(key: str, packed: Tensor, heads: int) -> dict[str, Tensor]:
    """Query, key and value; the first two with interleaved pairs sorted into two halves."""
    prefix = key.removesuffix("in_proj_weight")
    query, keys, value = packed.chunk(3)
    return {
        f"{prefix}q_proj.weight": _halves(query, heads),
        f"{prefix}k_proj.weight": _halves(keys, heads),
        f"{prefix}v_proj.weight": value,
    }


def _halves(weight: Tensor, heads: int) -> Tensor:
    rows, columns = weight.shape
    pairs = weight.view(heads, rows // heads // 2, 2, columns)
    return pairs.transpose(1, 2).reshape(rows, columns)
