"""How far two ways to compute the same model lie apart, on fixed inputs.

Both are led through the same random codes and words (teacher-forced); at the last positions their
logits are compared: how often the most probable token is the same, and how many bits of
surprise the one would feel at the other's choices (Kullback-Leibler divergence, in nats).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from engine.calibration import HiddenStates
from engine.config import AGENT_CODEBOOKS, AGENT_STREAMS, STREAMS, LMConfig
from engine.model.kv import PrefillAttend, new_pool
from engine.model.lm import LanguageModel

PAGE = 64
CHUNK = 128


@dataclass(frozen=True, slots=True)
class Logits:
    """What a model says at the compared positions: float32 [n, text_card], [n, 8, audio_card]."""

    text: Tensor
    audio: Tensor


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near two sets of logits are.

    Attributes:
        text_top1: share of positions with the same most probable text token.
        audio_top1: the same for each of the agent's codebooks.
        text_kl: mean divergence of the text's distributions, in nats.
        audio_kl: of the codes', over all codebooks.
    """

    text_top1: float
    audio_top1: tuple[float, ...]
    text_kl: float
    audio_kl: float


def columns(config: LMConfig, positions: int, seed: int = 0) -> Tensor:
    """Random grid columns, int64 [positions, 17]."""
    generator = torch.Generator().manual_seed(seed)
    made = torch.randint(config.audio_card, (positions, STREAMS), generator=generator)
    made[:, 0] = torch.randint(config.text_card, (positions,), generator=generator)
    return made


@torch.inference_mode()
def forced_logits(
    lm: LanguageModel,
    hidden: HiddenStates,
    grid: Tensor,
    last: int,
    scales: Tensor | None = None,
) -> Logits:
    """Leads a model through a grid and takes its logits at the last positions.

    Args:
        lm: the language model, for embeddings, heads and depth steps.
        hidden: its temporal transformer, plain or in kernels.
        grid: int64 [T + 1, 17]; the last column is only what the depth steps are led by.
        last: how many positions to compare, at most 128.
        scales: float32 [layers, 2, H], to keep keys and values in fp8.
    """
    device, total = lm.text_linear.weight.device, len(grid) - 1
    grid = grid.to(device)
    pages = -(-total // PAGE)
    like = lm.text_linear.weight
    pool = new_pool(lm.config, 1 + pages, PAGE, like, scales is not None)
    table = torch.arange(1, 1 + pages, dtype=torch.int32, device=device)
    bounds = [*range(0, total - last, CHUNK), total - last, total]
    for start, stop in pairwise(bounds):
        if start < stop:
            attend = PrefillAttend(lm.config, pool, table, start, stop, scales)
            state = hidden(lm.embed(grid[start:stop]), attend)
    following = grid[total - last + 1 :]
    return Logits(lm.text_linear(state).float(), _depth_logits(lm, state, following))


def _depth_logits(lm: LanguageModel, state: Tensor, following: Tensor) -> Tensor:
    inputs, cache = lm.depth_inputs(state), lm.depformer.new_cache(len(state))
    led_by = torch.cat([following[:, :1], following[:, AGENT_STREAMS]], dim=1)
    steps = [
        lm.depth_logits(step, inputs[step], led_by[:, step], cache).float()
        for step in range(AGENT_CODEBOOKS)
    ]
    return torch.stack(steps, dim=1)


def compare(reference: Logits, other: Logits) -> Agreement:
    """Compares two models' logits at the same positions."""
    return Agreement(
        text_top1=float(_same_top(reference.text, other.text).mean()),
        audio_top1=tuple(_same_top(reference.audio, other.audio).mean(0).tolist()),
        text_kl=_divergence(reference.text, other.text),
        audio_kl=_divergence(reference.audio, other.audio),
    )


def _same_top(one: Tensor, other: Tensor) -> Tensor:
    return (one.argmax(-1) == other.argmax(-1)).float()


def _divergence(reference: Tensor, other: Tensor) -> float:
    expected, found = reference.log_softmax(-1), other.log_softmax(-1)
    return float((expected.exp() * (expected - found)).sum(-1).mean())
