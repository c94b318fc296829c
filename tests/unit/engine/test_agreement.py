"""Comparing two ways to compute the model."""

from __future__ import annotations

import math

import pytest
import torch

from engine.agreement import (
    Agreement,
    Logits,
    columns,
    compare,
    forced_logits,
    lead_of_columns,
    lead_of_prompt,
    talk,
)
from engine.calibration import kv_scales
from engine.config import PAD_TEXT, Format
from engine.gate import sample_prompts
from tests.unit.engine.engine_cases import config, engine, models

POSITIONS = 150


def test_model_agrees_with_itself() -> None:
    """In other chunks, with the last position looked at alone."""
    lm = models().lm
    grid = columns(config(), POSITIONS + 1)
    whole, one = (
        forced_logits(lm, lm.hidden, lead_of_columns(lm, grid, last)) for last in (100, 1)
    )
    assert whole.text.shape == (100, config().text_card)
    assert whole.audio.shape == (100, 8, config().audio_card)
    result = compare(Logits(whole.text[-1:], whole.audio[-1:]), one)
    assert result.text_top1 == 1.0
    assert result.audio_top1 == (1.0,) * 8
    assert abs(result.text_kl) < 1e-6
    assert abs(result.audio_kl) < 1e-6


@pytest.mark.parametrize("kind", ["fp8", "int8"])
def test_8_bit_pages_agree_nearly(kind: Format) -> None:
    """Eight-bit keys and values move the logits, and not far."""
    lm = models().lm
    lead = lead_of_columns(lm, columns(config(), POSITIONS + 1), 50)
    scales = kv_scales(lm, lm.hidden, 8, [lead.inputs]) if kind == "fp8" else None
    plain = forced_logits(lm, lm.hidden, lead)
    result = compare(plain, forced_logits(lm, lm.hidden, lead, scales, kind))
    assert result.text_top1 > 0.8
    assert 0 < result.text_kl < 0.05
    assert 0 < result.audio_kl < 0.5
    assert result.within(0.05, 0.5)
    assert not result.within(1e-9, 0.5)
    assert not result.within(0.05, 1e-9)


def test_what_is_no_number_is_not_within() -> None:
    """A broken way of computing passes no gate."""
    assert not Agreement(1.0, (1.0,) * 8, math.nan, 0.0).within(1.0, 1.0)
    assert not Agreement(1.0, (1.0,) * 8, 0.0, math.nan).within(1.0, 1.0)


def test_lead_of_a_prompt_is_what_a_call_reads() -> None:
    """The prompt's own inputs come first; what is compared lies behind it, in talk."""
    lm, subject = models().lm, engine()
    prompt = sample_prompts(subject.voices, subject.text, lm)[0]
    lead = lead_of_prompt(lm, prompt, POSITIONS, 20, seed=2)
    assert len(lead.inputs) == POSITIONS
    columns_there = torch.from_numpy(prompt.prompt.columns)
    given = len(prompt.embeddings)
    assert torch.equal(lead.inputs[given : prompt.positions], lm.embed(columns_there))
    assert lead.following.shape == (20, 17)
    padded = talk(config(), 4000, seed=2)[:, 0] == PAD_TEXT
    assert 0.7 < float(padded.float().mean()) < 0.8
    other = lead_of_prompt(lm, prompt, POSITIONS, 20, seed=3)
    assert not torch.equal(lead.inputs, other.inputs)
    short = lead_of_prompt(lm, prompt, 1, 20, seed=3)
    assert len(short.inputs) == prompt.positions + 20


def test_compare_counts_and_measures() -> None:
    """One of two positions differs; the divergence is the definition's."""
    reference = Logits(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.zeros(2, 8, 2))
    other = Logits(torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.zeros(2, 8, 2))
    result = compare(reference, other)
    assert result.text_top1 == 0.5
    assert result.audio_kl == 0.0
    high = math.exp(2) / (1 + math.exp(2))
    assert result.text_kl == pytest.approx((high * 2 - (1 - high) * 2) / 2)


def test_columns_are_fixed() -> None:
    """The same seed, the same inputs: figures can be compared over time."""
    assert torch.equal(columns(config(), 9), columns(config(), 9))
    assert not torch.equal(columns(config(), 9), columns(config(), 9, seed=1))
