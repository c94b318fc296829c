"""Writes a tiny checkpoint with random weights, in the published layout.

    python -m engine.checkpoint tiny OUT --seed 0

It loads through the same code as the 7B model and speaks noise: it is for tests and for trying
the way of a call without a GPU.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import sentencepiece
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.config import CheckpointConfig, LMConfig, MimiConfig
from engine.model.lm import LanguageModel
from engine.model.mimi import Mimi
from engine.weights import CONFIG_FILE, LM_FILE, MIMI_FILE, TEXT_FILE, VOICES_FOLDER

TINY = CheckpointConfig(
    lm=LMConfig(
        dim=64,
        heads=4,
        layers=3,
        ffn_dim=176,
        window_positions=128,
        depth_dim=32,
        depth_heads=4,
        depth_layers=2,
        depth_ffn_dim=88,
        text_card=400,
    ),
    mimi=MimiConfig(
        filters=2,
        dimension=32,
        layers=2,
        heads=2,
        feedforward=64,
        context=50,
        codebook_dim=16,
        codebooks_stored=8,
    ),
)

TEXT = Path(__file__).with_name("README.md")
"""What the tiny tokenizer learns its pieces from."""


def write_tiny(folder: Path, seed: int = 0, config: CheckpointConfig = TINY) -> None:
    """Writes the checkpoint; the same seed and sizes give the same tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / VOICES_FOLDER).mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    save_file(randomised(LanguageModel(config.lm), lm_value, generator), folder / LM_FILE)
    save_file(randomised(Mimi(config.mimi), mimi_value, generator), folder / MIMI_FILE)
    (folder / TEXT_FILE).write_bytes(tiny_tokenizer(config.lm.text_card))
    sizes = asdict(replace(config, mimi=replace(config.mimi, reference_compat=False)))
    (folder / CONFIG_FILE).write_text(json.dumps(sizes, indent=1), encoding="utf-8")


Value = Callable[[str, Tensor], Tensor]


def randomised(model: nn.Module, value: Value, generator: torch.Generator) -> dict[str, Tensor]:
    """A state dict of the model's names and shapes with random values."""
    return {
        name: value(name, torch.randn(tensor.shape, generator=generator)).contiguous()
        for name, tensor in model.state_dict().items()
    }


def lm_value(name: str, noise: Tensor) -> Tensor:
    """Wide enough that logits are peaked and no layer is trivial."""
    if name.endswith("alpha"):
        return 1 + 0.1 * noise
    if "emb" in name:
        return 0.5 * noise
    return noise * 1.5 / noise.shape[-1] ** 0.5


def mimi_value(name: str, noise: Tensor) -> Tensor:
    """Keeps the signal near 1 from layer to layer, and every code in use."""
    if name.endswith(("cluster_usage", "_initialized")):
        return torch.ones_like(noise)
    if name.endswith(("norm1.weight", "norm2.weight", "scale")):
        return 0.6 + 0.1 * noise
    if name.endswith("bias"):
        return 0.1 * noise
    if name.endswith("embedding_sum"):
        return noise
    return noise * noise[0].numel() ** -0.5


def tiny_tokenizer(pieces: int) -> bytes:
    """A sentencepiece model of at most `pieces` pieces; special ids as published."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(TEXT.read_text(encoding="utf-8").splitlines()),
        model_writer=model,
        vocab_size=pieces,
        hard_vocab_limit=False,
        byte_fallback=True,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=3,
        minloglevel=2,
    )
    return model.getvalue()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m engine.checkpoint", description=__doc__)
    parser.add_argument("kind", choices=["tiny"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write_tiny(arguments.out, arguments.seed)


if __name__ == "__main__":
    main()
