"""The temporal transformer in kernels computes what the plain one does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

import pytest
import torch

from engine.engine import PersonaPlexEngine
from engine.kernels.model import FusedModel
from engine.kernels.step import FusedStep
from engine.model.lm import LanguageModel
from engine.phases import Span
from tests import kernel_cases as cases
from tests.unit.engine.engine_cases import LIMITS, frame, join, models, voice

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning"),
    pytest.mark.timeout(60),  # the interpreter takes its time
]


@pytest.fixture
def lm() -> Iterator[LanguageModel]:
    """A language model that the test may use up."""
    models.cache_clear()
    yield models().lm
    models.cache_clear()


def values_alone(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """An attention that passes the values on."""
    return v


def test_hidden_states_are_the_plain_ones(lm: LanguageModel) -> None:
    """All layers and the last norm, up to rounding."""
    x = torch.randn(3, lm.config.dim)
    expected = lm.hidden(x, values_alone)
    result = FusedModel(lm, rows=16).hidden(x, values_alone)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)


def test_pieces_of_a_prompt_are_the_plain_ones(lm: LanguageModel) -> None:
    """Two pieces over scattered pages: hidden states and what the pages hold."""
    lm.transformer.layers = lm.transformer.layers[:1]
    cases.check_prompt(lm, positions=6, cut=3, fp8=False)


def test_rows_in_the_middle_of_the_batch(lm: LanguageModel) -> None:
    """A phase group's rows begin anywhere: the same tokens as in plain PyTorch, nobody else's."""
    lm.transformer.layers = lm.transformer.layers[:1]
    lm.depformer.layers = lm.depformer.layers[:1]
    subject = PersonaPlexEngine(models(), replace(LIMITS, slots=4, phases=2), {"ada": voice()})
    slots = [join(subject, seed=seed) for seed in range(4)]
    subject.tick({slot: frame(0, slot) for slot in slots})
    rows = subject.seating.view(Span(2, 2))
    column = rows.grid.column(torch.arange(16).view(2, 8))
    plain = subject._step.next_column(column, rows)
    parts = {field.name: getattr(subject._step, field.name) for field in fields(subject._step)}
    fused = FusedStep(**parts, model=FusedModel(lm, rows=16)).next_column(column, rows)
    assert torch.equal(fused.text, plain.text)
    assert torch.equal(fused.agent, plain.agent)
    assert len({tuple(codes) for codes in plain.agent.tolist()}) == 2


def test_fp8_weights_free_the_plain_ones(lm: LanguageModel) -> None:
    """The temporal layers' plain weights are gone; what is computed stays near."""
    x = torch.randn(3, lm.config.dim)
    expected = lm.hidden(x, values_alone)
    fused = FusedModel(lm, rows=16, quantise=True)
    assert lm.transformer.layers[0].self_attn.in_proj_weight.numel() == 0
    difference = fused.hidden(x, values_alone) - expected
    assert difference.norm() < 0.1 * expected.norm()
