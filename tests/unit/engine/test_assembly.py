"""What is built, and what is given up, when an engine starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from engine import assembly, gate
from engine.assembly import assemble_plain, settle_batches
from engine.config import EngineLimits, Execution, Format
from engine.device import Unsuited, typical
from engine.gate import Gate, sample_prompts
from engine.memory import NoMemory
from engine.model.sampling import CounterNoise
from engine.prefill import Prefix
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


def test_weights_in_8_bits_need_kernels() -> None:
    """Plain PyTorch has no product for them."""
    for weights in ("fp8", "int8"):
        with pytest.raises(ValueError, match="need kernels"):
            Execution(kernels=False, weights=weights)


def test_a_card_is_asked_for_no_more_than_it_can() -> None:
    """Each refusal says what to set instead; what the card can do passes."""
    ampere, ada, turing = typical((8, 6)), typical((8, 9)), typical((7, 5))
    assembly.check_card(ada, Execution(kv="fp8", weights="fp8"))
    assembly.check_card(ampere, Execution(kv="int8", weights="int8"))
    assembly.check_card(ampere, Execution())
    assembly.check_card(turing, Execution(kernels=False))
    with pytest.raises(Unsuited, match=r"KV_FORMAT=fp8 needs .* 8\.9 .* 8\.6: use KV_FORMAT=int8"):
        assembly.check_card(ampere, Execution(kv="fp8"))
    with pytest.raises(Unsuited, match="WEIGHTS_FORMAT=fp8 needs"):
        assembly.check_card(ampere, Execution(weights="fp8"))
    with pytest.raises(Unsuited, match=r"7\.5; the kernels need 8\.0 .* ENGINE_KERNELS=false"):
        assembly.check_card(turing, Execution())


class BrokenModel:
    """Kernels that no compiler takes."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def next_column(self, *arguments: Any) -> None:
        raise self.error


def rehearse(model: object, page_size: int = 8) -> Step:
    """The step after a rehearsal with such kernels, and the codec without any."""
    reason = "Triton comes with PyTorch's CUDA builds alone"
    mimi = pytest.importorskip("engine.kernels.mimi", reason=reason)
    subject = engine(replace(LIMITS, page_size=page_size))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mimi, "FusedCodec", lambda codec: codec)
        return assembly.rehearsed(subject._step, model, subject.rows, subject.limits)


def test_broken_kernels_end_the_start() -> None:
    """Without them a GPU would serve a call or two: nobody should find that out by listening."""
    with pytest.raises(Unsuited, match=r"out of registers\. ENGINE_KERNELS=false starts"):
        rehearse(BrokenModel(RuntimeError("out of registers")))


def test_memory_that_runs_out_is_not_taken_for_broken_kernels() -> None:
    """The plain way would take more of it; the message says what to change."""
    error = torch.OutOfMemoryError("CUDA out of memory")
    with (
        pytest.raises(NoMemory, match=r"while it rehearsed: ask for fewer WORKER_SLOTS.*CUDA out"),
        assembly.memory_said("while it rehearsed"),
    ):
        rehearse(BrokenModel(error))


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
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    model = CarefulModel(page_size)
    rehearse(model, page_size)
    assert model.pieces == list(assembly.PROMPT_PIECES)


def prompts() -> list[Prefix]:
    """What the tiny engine's calls begin with."""
    subject = engine()
    return sample_prompts(subject.voices, subject.text, models().lm)


@pytest.mark.timeout(60)  # leads a model through some hundred positions several times
@pytest.mark.parametrize("kv", ["fp8", "int8"])
def test_8_bit_pages_are_kept_where_they_do_little_harm(
    kv: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loaded weights themselves are asked; beyond the threshold the pages stay plain."""
    monkeypatch.setattr(gate, "POSITIONS", 150)
    monkeypatch.setattr(assembly, "MOST_CODES_KL", 0.5)  # random weights are sharp
    lm, heard = models().lm, []
    samples = prompts()
    judge = Gate(lm, samples)
    found, scales = assembly.checked_pages(lm, judge, lm.hidden, kv, 8, samples, heard.append)
    assert (found, scales is None) == (kv, kv == "int8")
    assert heard == []
    monkeypatch.setattr(assembly, "MOST_CODES_KL", 1e-9)
    found, scales = assembly.checked_pages(lm, judge, lm.hidden, kv, 8, samples, heard.append)
    assert (found, scales) == ("bf16", None)
    assert f"no keys and values in {kv}: they move what the model says by text" in heard[0]


@pytest.mark.timeout(60)
def test_kernels_that_say_something_else_end_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card on which a kernel computes amiss is found before a call is; NaN is amiss, too."""
    monkeypatch.setattr(gate, "POSITIONS", 150)
    lm = models().lm
    judge = Gate(lm, prompts())
    assembly.check_model(judge, lm.hidden, "bf16")
    for wrong in (lambda x, attend: lm.hidden(x, attend) * torch.nan, lambda x, attend: x):
        with pytest.raises(Unsuited, match="the kernels move what the model says by text"):
            assembly.check_model(judge, wrong, "bf16")
        with pytest.raises(Unsuited, match=r"weights in int8 move .*: WEIGHTS_FORMAT=bf16"):
            assembly.check_model(judge, wrong, "int8")
