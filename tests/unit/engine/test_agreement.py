"""Comparing two ways to compute the model."""

from __future__ import annotations

import math

import pytest
import torch

from engine.agreement import Logits, columns, compare, forced_logits
from engine.calibration import kv_scales
from tests.unit.engine.engine_cases import config, models

POSITIONS = 150


def test_model_agrees_with_itself() -> None:
    """In other chunks, with the last position looked at alone."""
    lm = models().lm
    grid = columns(config(), POSITIONS + 1)
    whole, one = (forced_logits(lm, lm.hidden, grid, last) for last in (100, 1))
    assert whole.text.shape == (100, config().text_card)
    assert whole.audio.shape == (100, 8, config().audio_card)
    result = compare(Logits(whole.text[-1:], whole.audio[-1:]), one)
    assert result.text_top1 == 1.0
    assert result.audio_top1 == (1.0,) * 8
    assert abs(result.text_kl) < 1e-6
    assert abs(result.audio_kl) < 1e-6


def test_fp8_pages_agree_nearly() -> None:
    """Eight-bit keys and values move the logits, and not far."""
    lm = models().lm
    grid = columns(config(), POSITIONS + 1)
    plain = forced_logits(lm, lm.hidden, grid, 50)
    result = compare(plain, forced_logits(lm, lm.hidden, grid, 50, kv_scales(lm, lm.hidden, 8)))
    assert result.text_top1 > 0.8
    assert 0 < result.text_kl < 0.05
    assert 0 < result.audio_kl < 0.5


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
