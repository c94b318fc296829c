"""What is built, and what is given up, when an engine starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from engine import assembly
from engine.assembly import assemble_plain, settle_batches
from engine.config import EngineLimits, Execution
from engine.model.sampling import CounterNoise
from engine.step import NextColumn, Step
from tests.unit.engine.engine_cases import LIMITS, engine, models


def test_batches_on_a_gpu_are_few_and_end_with_all_slots() -> None:
    """Dense enough to waste little, few enough to record."""
    cuda = torch.device("cuda")
    assert settle_batches(EngineLimits(slots=3), cuda) == (1, 2, 3)
    assert settle_batches(EngineLimits(slots=30), cuda) == (1, 2, 4, 8, 16, 24, 30)
    assert settle_batches(EngineLimits(slots=5, buckets=(5,)), cuda) == (5,)
    assert settle_batches(EngineLimits(slots=39, phases=2), cuda) == (1, 2, 4, 8, 16, 20)


def test_a_cpu_always_runs_all_slots() -> None:
    """So that a row never depends on who else is there."""
    assert settle_batches(EngineLimits(slots=30), torch.device("cpu")) == ()


def test_plain_step_has_pages_for_every_full_window() -> None:
    """Where nothing is said, memory is not the limit."""
    machine = assemble_plain(models(), LIMITS, CounterNoise())
    assert machine.limits.pages == len(machine.step.pool[0])
    assert machine.memory is None
    assert machine.run is machine.step


def test_fp8_weights_need_kernels() -> None:
    """Plain PyTorch has no product for them."""
    with pytest.raises(ValueError, match="needs kernels"):
        Execution(kernels=False, fp8_weights=True)


class BrokenModel:
    """Kernels that no compiler takes."""

    def next_column(self, *arguments: Any) -> None:
        raise RuntimeError("out of registers")


def rehearsed(execution: Execution) -> tuple[Step, list[str]]:
    """The step after a rehearsal with broken kernels, and what was reported."""
    pytest.importorskip("triton", reason="Triton comes with PyTorch's CUDA builds alone")
    subject, heard = engine(), []
    limits = replace(subject.limits, buckets=(1, 3))
    made = assembly._rehearsed(
        subject._step, BrokenModel(), subject.rows, limits, execution, heard.append
    )
    assert made is subject._step
    return made, heard


def test_broken_kernels_are_given_up_with_the_reason() -> None:
    """The plain step goes on in their place."""
    _, heard = rehearsed(Execution())
    assert heard == ["no kernels: out of registers"]


def test_broken_kernels_cannot_be_given_up_for_weights_that_are_gone() -> None:
    """With fp8 weights there is no plain way back: the start fails."""
    with pytest.raises(RuntimeError, match="out of registers"):
        rehearsed(Execution(fp8_weights=True))


class CarefulModel:
    """Kernels that look where each position of a piece would be written."""

    def __init__(self, page_size: int) -> None:
        self.page_size = page_size
        self.pieces: list[int] = []

    def next_column(self, column: Tensor, *_: Any) -> NextColumn:
        text = torch.zeros(len(column), dtype=torch.int64)
        return NextColumn(text, torch.zeros(len(column), 8, dtype=torch.int64), text.bool())

    def prompt(self, x: Tensor, pool: Tensor, scales: None, pages: Tensor, start: int) -> Tensor:
        assert pages[torch.arange(start, start + len(x)) // self.page_size].shape == (len(x),)
        self.pieces.append(len(x))
        return x


@pytest.mark.parametrize("page_size", [7, 16, 64, 200])
def test_pieces_are_rehearsed_within_their_page_table(
    page_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the size of a page: kernels would read on behind the table."""
    pytest.importorskip("triton", reason="Triton comes with PyTorch's CUDA builds alone")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    subject, heard = engine(replace(LIMITS, page_size=page_size)), []
    model = CarefulModel(page_size)
    assembly._rehearsed(
        subject._step, model, subject.rows, subject.limits, Execution(), heard.append
    )
    assert heard == []
    assert model.pieces == list(assembly.PROMPT_PIECES)


@pytest.mark.timeout(60)  # leads a model through 512 positions twice
def test_fp8_pages_are_kept_where_they_do_little_harm() -> None:
    """The loaded weights themselves are asked."""
    lm, heard = models().lm, []
    scales = assembly._checked_scales(lm, lm.hidden, 8, heard.append)
    assert scales is not None
    assert heard == []


@pytest.mark.timeout(60)
def test_fp8_pages_are_given_up_where_they_move_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the threshold the pages stay plain, and the figures are told."""
    monkeypatch.setattr(assembly, "MOST_TEXT_KL", 1e-9)
    lm, heard = models().lm, []
    assert assembly._checked_scales(lm, lm.hidden, 8, heard.append) is None
    assert len(heard) == 1
    assert "no fp8 keys and values" in heard[0]
