"""The published model's sizes with random weights, made on the device in seconds.

With BENCH_TRIAL=1 in the environment everything is tiny and on the CPU: the benchmarks' own code
can be tried before a GPU is paid for. What such a run prints are no measurements.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import sentencepiece
import soundfile
import torch
from torch import nn

from engine.checkpoint import TINY, Value, lm_value, mimi_value, tiny_tokenizer
from engine.config import AGENT_CODEBOOKS, LMConfig, MimiConfig
from engine.interface import FRAME_SAMPLES, Frame, SessionSpec
from engine.model.lm import LanguageModel
from engine.model.mimi import Mimi
from engine.weights import Models

TRIAL = os.environ.get("BENCH_TRIAL") == "1"
DEVICE = torch.device("cpu" if TRIAL else "cuda")
LM = replace(TINY.lm, window_positions=900) if TRIAL else LMConfig()
MIMI = TINY.mimi if TRIAL else MimiConfig()

VOICE_S = 4.0
ROLE = "You work for First Neuron Bank and your name is Alexis. Verify the caller, then help."


def filled(model: nn.Module, value: Value, dtype: torch.dtype) -> nn.Module:
    """Gives every tensor of a model on the meta device memory and random values."""
    model.to(dtype).to_empty(device=DEVICE)
    for name, tensor in model.state_dict().items():
        tensor.copy_(value(name, torch.randn(tensor.shape, dtype=dtype, device=DEVICE)))
    return model.eval().requires_grad_(False)


def calm_value(name: str, noise: torch.Tensor) -> torch.Tensor:
    """As a trained model begins: each layer adds little, so that an error grows no avalanche."""
    if name.endswith("alpha"):
        return torch.ones_like(noise)
    if "emb" in name:
        return noise
    layers = 64 if name.startswith("transformer") else 12  # two additions a layer
    gain = layers**-0.5 if "out_proj" in name or "linear_out" in name else 1.0
    return noise * gain / noise.shape[-1] ** 0.5


def build_models(seed: int = 0) -> Models:
    """Language model in bf16 (the agent's depth steps alone), codec in float32."""
    torch.manual_seed(seed)
    with torch.device("meta"):
        lm, mimi = LanguageModel(LM, AGENT_CODEBOOKS), Mimi(MIMI)
    filled(lm, lm_value if TRIAL else calm_value, torch.bfloat16)
    filled(mimi, mimi_value, torch.float32)
    lm.prepare()
    mimi.prepare(fused=True)
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=tiny_tokenizer(400))
    return Models(lm=lm, mimi=mimi, tokenizer=tokenizer, weights_id=f"random-{seed}")


def voice() -> Path:
    """A clip of noise."""
    path = Path(tempfile.mkdtemp()) / "voice.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, int(24_000 * VOICE_S)), 24_000)
    return path


def spec(seed: int, role: str = ROLE) -> SessionSpec:
    """A session with the voice "noise"."""
    return SessionSpec(f"session-{seed}", "bank", role, "noise", seed=seed)


def frames(count: int) -> list[Frame]:
    """Different frames of noise."""
    noise = np.random.default_rng(1).normal(0, 2000, (count, FRAME_SAMPLES))
    return list(noise.astype(np.int16))


def machine() -> dict[str, str]:
    """What a figure hangs on."""
    name = "CPU, trial" if TRIAL else torch.cuda.get_device_name()
    return {"device": name, "torch": torch.__version__}


def synchronise() -> None:
    """Waits for the device."""
    if not TRIAL:
        torch.cuda.synchronize()


def memory() -> dict[str, float]:
    """What the device holds, and PyTorch of it, in GiB."""
    if TRIAL:
        return {"device_gib": 0.0, "allocated_gib": 0.0}
    free, total = torch.cuda.mem_get_info()
    return {
        "device_gib": round((total - free) / 2**30, 3),
        "allocated_gib": round(torch.cuda.memory_allocated() / 2**30, 3),
    }
