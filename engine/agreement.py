"""How far two ways to compute the same model lie apart, on the same inputs.

Both are led through the same codes and words (teacher-forced); at the last positions their logits
are compared: how often the most probable token is the same, and how much surprise, in nats, the one
would feel on average at the other's choices (Kullback-Leibler divergence).

What they are led through is what calls begin with: a voice and a role text, then talk, in which
most text tokens are padding. A trained model has its largest keys and values at first positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from engine.calibration import HiddenStates
from engine.config import AGENT_CODEBOOKS, AGENT_STREAMS, PAD_TEXT, STREAMS, Format, LMConfig
from engine.model.kv import PrefillAttend, new_pool, position_scales
from engine.model.lm import LanguageModel
from engine.prefill import Prefix

PAGE = 64
CHUNK = 64
PADDING = 0.75  # of the text tokens in talk


@dataclass(frozen=True, slots=True)
class Lead:
    """What a model is led through.

    Attributes:
        inputs: [T, dim], the model's inputs.
        following: int64 [n, 17], the columns after the last n positions: the depth steps' lead.
    """

    inputs: Tensor
    following: Tensor


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

    def within(self, text_kl: float, audio_kl: float) -> bool:
        """Whether neither divergence is larger; what is no number is not within anything."""
        return self.text_kl <= text_kl and self.audio_kl <= audio_kl

    def __str__(self) -> str:
        """The divergences, for a log."""
        return f"text {self.text_kl:.2g}, codes {self.audio_kl:.2g} nats"


def columns(config: LMConfig, positions: int, seed: int = 0) -> Tensor:
    """Random grid columns, int64 [positions, 17]."""
    generator = torch.Generator().manual_seed(seed)
    made = torch.randint(config.audio_card, (positions, STREAMS), generator=generator)
    made[:, 0] = torch.randint(config.text_card, (positions,), generator=generator)
    return made


def talk(config: LMConfig, positions: int, seed: int) -> Tensor:
    """Random columns whose text is mostly padding, int64 [positions, 17]."""
    made = columns(config, positions, seed)
    generator = torch.Generator().manual_seed(seed)
    silent = torch.rand(positions, generator=generator) < PADDING
    made[:, 0] = torch.where(silent, torch.full_like(made[:, 0], PAD_TEXT), made[:, 0])
    return made


def lead_of_columns(lm: LanguageModel, grid: Tensor, last: int) -> Lead:
    """A lead through a grid, int64 [T + 1, 17]; its last column is there for the depth steps."""
    grid = grid.to(lm.text_linear.weight.device)
    return Lead(lm.embed(grid[:-1]), grid[len(grid) - last :])


def lead_of_prompt(lm: LanguageModel, prefix: Prefix, positions: int, last: int, seed: int) -> Lead:
    """A lead through a prompt and talk behind it: `positions` in all, or the whole prompt and more.

    Args:
        lm: embeds the columns.
        prefix: the prompt.
        positions: how many.
        last: of the positions, how many are compared; talk alone.
        seed: of the talk.
    """
    weight = lm.text_linear.weight
    after = talk(lm.config, max(last, positions - prefix.positions) + 1, seed)
    grid = torch.cat([torch.from_numpy(prefix.prompt.columns), after]).to(weight.device)
    embedded = lm.embed(grid[:-1])
    inputs = torch.cat([prefix.embeddings.to(weight), embedded])
    return Lead(inputs, grid[len(grid) - last :])


@torch.inference_mode()
def forced_logits(
    lm: LanguageModel,
    hidden: HiddenStates,
    lead: Lead,
    scales: Tensor | None = None,
    kv: Format = "bf16",
) -> Logits:
    """Leads a model through its inputs and takes its logits at the last positions.

    Args:
        lm: the language model, for heads and depth steps.
        hidden: its temporal transformer, plain or in kernels.
        lead: what to lead it through.
        scales: float32 [layers, 2, H], for keys and values in fp8.
        kv: how keys and values are kept.
    """
    like, total, last = lm.text_linear.weight, len(lead.inputs), len(lead.following)
    pages = -(-total // PAGE)
    pool = new_pool(lm.config, 1 + pages, PAGE, like, kv)
    kept = {"bf16": None, "fp8": scales, "int8": position_scales(pool)}[kv]
    table = torch.arange(1, 1 + pages, dtype=torch.int32, device=like.device)
    bounds = [*range(0, total, CHUNK), total]
    states = []
    for start, stop in pairwise(bounds):
        attend = PrefillAttend(lm.config, pool, table, start, stop, kept)
        states.append(hidden(lead.inputs[start:stop], attend))
    state = torch.cat(states)[-last:]
    return Logits(lm.text_linear(state).float(), _depth_logits(lm, state, lead.following))


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


def compare_all(references: Sequence[Logits], others: Iterable[Logits]) -> Agreement:
    """Compares over several leads at once."""
    return compare(_joined(references), _joined(list(others)))


def _joined(parts: Sequence[Logits]) -> Logits:
    return Logits(
        torch.cat([part.text for part in parts]), torch.cat([part.audio for part in parts])
    )


def _same_top(one: Tensor, other: Tensor) -> Tensor:
    return (one.argmax(-1) == other.argmax(-1)).float()


def _divergence(reference: Tensor, other: Tensor) -> float:
    expected, found = reference.log_softmax(-1), other.log_softmax(-1)
    return float((expected.exp() * (expected - found)).sum(-1).mean())
