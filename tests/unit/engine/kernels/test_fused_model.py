"""The temporal transformer in kernels computes what the plain one does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

import pytest
import torch

from engine import assembly
from engine.assembly import Layout
from engine.config import Format
from engine.device import typical
from engine.engine import PersonaPlexEngine
from engine.kernels import model
from engine.kernels.model import FusedModel
from engine.kernels.step import FusedStep
from engine.model.lm import LanguageModel
from engine.phases import Span
from tests import kernel_cases as cases
from tests.unit.engine.engine_cases import LIMITS, frame, join, models, narrowed, voice

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning"),
    pytest.mark.timeout(60),  # the interpreter takes its time
]

H100 = typical((9, 0))


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
    fused = FusedModel(lm, 16, H100)
    torch.testing.assert_close(fused.hidden(x, values_alone), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="17 rows, and the kernels were made for 16"):
        fused.hidden(torch.randn(17, lm.config.dim), values_alone)


def test_kernels_are_made_for_all_that_is_rehearsed(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces of every size, also where prompts are computed in smaller ones."""
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    lm.transformer.layers = lm.transformer.layers[:1]
    limits = replace(LIMITS, prefill_chunk=5)
    fused = assembly.fuse(lm, limits, Layout(H100, limits, "bf16", "bf16"))
    assert fused.hidden(torch.randn(128, lm.config.dim), values_alone).isfinite().all()


def test_pieces_of_a_prompt_are_the_plain_ones(lm: LanguageModel) -> None:
    """Two pieces over scattered pages: hidden states and what the pages hold."""
    lm.transformer.layers = lm.transformer.layers[:1]
    cases.check_prompt(lm, positions=6, cut=3, kind="bf16")


def test_many_rows_go_through_the_librarys_products(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same hidden states and the same tokens, up to rounding."""
    monkeypatch.setattr(model, "WIDE_ROWS", 2)
    x = torch.randn(3, lm.config.dim)
    expected = lm.hidden(x, values_alone)
    found = FusedModel(lm, 16, H100).hidden(x, values_alone)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_rows_in_the_middle_of_the_batch(lm: LanguageModel) -> None:
    """A phase group's rows begin anywhere: the same tokens as in plain PyTorch, nobody else's.

    Past a window that is no multiple of the page; what was never written is no number.
    """
    lm.transformer.layers = lm.transformer.layers[:1]
    lm.depformer.layers = lm.depformer.layers[:1]
    limits = replace(LIMITS, slots=4, phases=2, page_size=16)
    subject = PersonaPlexEngine(narrowed(45), limits, {"ada": voice()})
    subject._step.pool.fill_(torch.nan)
    for seed in range(4):
        join(subject, seed=seed, role_text="")
    for tick in range(28):  # 26 fill the window behind the prompt
        assert not subject.tick({slot: frame(tick, slot) for slot in (2, 3)}).failed
    rows = subject.seating.view(Span(2, 2))
    column = rows.grid.column(torch.arange(16).view(2, 8))
    plain = subject._step.next_column(column, rows)
    parts = {field.name: getattr(subject._step, field.name) for field in fields(subject._step)}
    fused = FusedStep(**parts, model=FusedModel(lm, 16, H100), fused_codec=None).next_column(
        column, rows
    )
    assert torch.equal(fused.text, plain.text)
    assert torch.equal(fused.agent, plain.agent)
    assert len({tuple(codes) for codes in plain.agent.tolist()}) == 2


@pytest.mark.parametrize(("kind", "most"), [("fp8", 0.1), ("int8", 0.03)])
def test_weights_in_8_bits_free_the_plain_ones(
    lm: LanguageModel, kind: Format, most: float
) -> None:
    """The temporal layers' plain weights are gone; what is computed stays near."""
    x = torch.randn(3, lm.config.dim)
    expected = lm.hidden(x, values_alone)
    fused = FusedModel(lm, 16, H100, kind)
    assert lm.transformer.layers[0].self_attn.in_proj_weight.numel() == 0
    difference = fused.hidden(x, values_alone) - expected
    assert difference.norm() < most * expected.norm()
