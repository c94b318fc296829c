"""Puts the step together on its device: kernels or plain, recorded or not, and the KV pages.

What was asked for and cannot be had is an error that says what to change, or is reported where
calls do not suffer: keys and values that stay plain, a batch size without a recording. Knows no
session.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.calibration import HiddenStates, kv_scales
from engine.config import EngineLimits, Execution, Format
from engine.device import Device, Unsuited
from engine.gate import CALIBRATION_SEEDS, MOST_CODES_KL, MOST_TEXT_KL, Gate, leads
from engine.graphs import CapturedStep, Report, StepFunction
from engine.memory import (
    GIB,
    REMEDY,
    MemoryPlan,
    NoMemory,
    Room,
    check_pages,
    choose_formats,
    fitting_slots,
    plan,
    temporal_weights,
)
from engine.model.kv import new_pool, position_scales
from engine.model.lm import LanguageModel
from engine.model.sampling import CounterNoise, Noise
from engine.phases import all_spans
from engine.prefill import Prefix
from engine.scheduler import settle_pages
from engine.step import Rows, Step
from engine.weights import Models

if TYPE_CHECKING:
    from engine.kernels.model import FusedModel


PROMPT_PIECES = (16, 32, 64, 128)  # the kernels' blocks of rows: pieces in between share their code


@dataclass(frozen=True, slots=True)
class Machine:
    """The step and what belongs to it.

    Attributes:
        step: for what happens between ticks.
        run: one tick.
        limits: with the number of pages and the batch sizes settled.
        memory: how the device's memory is divided; None on a CPU.
    """

    step: Step
    run: StepFunction
    limits: EngineLimits
    memory: MemoryPlan | None


@dataclass(frozen=True, slots=True)
class Layout:
    """What is settled before the rows are allocated.

    Attributes:
        device: the card.
        limits: with as many slots as there will be pages for.
        kv: how keys and values are kept.
        weights: how the temporal layers' weights are kept.
    """

    device: Device
    limits: EngineLimits
    kv: Format
    weights: Format


@contextmanager
def memory_said(doing: str) -> Iterator[None]:
    """Turns the device's running out of memory into `NoMemory` with what to change.

    Raises:
        NoMemory: names what was being done.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise NoMemory(f"the device ran out of memory {doing}: {REMEDY} ({error})") from error


def settle_batches(limits: EngineLimits, device: torch.device) -> tuple[int, ...]:
    """The batch sizes: on a GPU few enough to record, dense enough to waste little."""
    if limits.buckets or device.type != "cuda":
        return limits.buckets
    most = limits.group_slots
    sizes = {1, 2, 4, *range(8, most, 8), most}
    return tuple(sorted(size for size in sizes if size <= most))


def settle_codec(execution: Execution) -> None:
    """How PyTorch computes the codec on a GPU, for the whole process; before any sound is coded."""
    torch.backends.cuda.matmul.allow_tf32 = execution.tf32
    torch.backends.cudnn.allow_tf32 = execution.tf32
    # The same sound for the same input: no algorithm that adds in the order of arrival.
    torch.backends.cudnn.deterministic = True
    # cuDNN plans its attention anew for every shape, up to a second each; prompts come in all.
    torch.backends.cuda.enable_cudnn_sdp(False)


def settle_layout(
    models: Models, limits: EngineLimits, execution: Execution, row: int, device: torch.device
) -> Layout:
    """Settles formats and slots, from the card and from what the loaded weights left free.

    Args:
        models: the loaded checkpoint, on the device.
        limits: what the engine may hold.
        execution: how it is to run.
        row: bytes of one slot's rows.
        device: where.

    Raises:
        Unsuited: the card has not the arithmetic that was asked for.
    """
    card = Device.of(torch.cuda.get_device_properties(device))
    check_card(card, execution)
    free, _ = torch.cuda.mem_get_info(device)
    config = models.lm.config
    saved = temporal_weights(config) * (models.lm.text_linear.weight.element_size() - 1)
    room = Room(free, round(execution.reserve_gib * GIB), row, saved, card.eight_bits)
    kv, weights = choose_formats(execution, limits, config, room)
    return Layout(card, fitting_slots(limits, config, room, kv, weights), kv, weights)


def check_card(card: Device, execution: Execution) -> None:
    """Refuses what the card cannot do.

    Raises:
        Unsuited: says what to ask for instead.
    """
    if execution.kernels and not card.runs_kernels:
        raise Unsuited(
            f"{card.name} has compute capability {'.'.join(map(str, card.capability))}; the "
            "kernels need 8.0 or later. ENGINE_KERNELS=false starts without them, for few calls"
        )
    for name, wish in (("KV_FORMAT", execution.kv), ("WEIGHTS_FORMAT", execution.weights)):
        if wish == "fp8" and card.eight_bits != "fp8":
            raise Unsuited(
                f"{name}=fp8 needs compute capability 8.9 and {card.name} has "
                f"{'.'.join(map(str, card.capability))}: use {name}=int8 or auto"
            )


def assemble_plain(models: Models, limits: EngineLimits, noise: Noise) -> Machine:
    """The step in plain PyTorch, as on a CPU.

    Raises:
        NoMemory: so few pages were asked for that no call could be admitted.
    """
    config = models.lm.config
    check_pages(limits, config)
    pages = limits.pages or settle_pages(limits, config.window_positions)
    limits = replace(limits, pages=pages)
    pool = new_pool(config, pages, limits.page_size, models.lm.text_linear.weight)
    step = plain_step(models, limits, pool, None, noise)
    return Machine(step, step, limits, None)


def plain_step(
    models: Models, limits: EngineLimits, pool: Tensor, scales: Tensor | None, noise: Noise
) -> Step:
    """The step as `engine.step` has it."""
    config = models.lm.config
    return Step(
        lm=models.lm,
        mimi=models.mimi,
        pool=pool,
        scales=scales,
        noise=noise,
        text_k=min(limits.max_text_top_k, config.text_card),
        audio_k=min(limits.max_audio_top_k, config.audio_card),
    )


def assemble_on_gpu(
    models: Models,
    layout: Layout,
    execution: Execution,
    rows: Rows,
    prompts: Sequence[Prefix],
    report: Report,
) -> Machine:
    """The step in kernels and graphs, as asked for.

    Args:
        models: the loaded checkpoint, on the device.
        layout: formats and slots.
        execution: how it is to run.
        rows: the rows' memory.
        prompts: what calls begin with, for the checks.
        report: hears what was given up and why.

    Raises:
        NoMemory: the device cannot hold the engine.
        Unsuited: the kernels do not run here, or do not say what the model says.
    """
    lm, page_size, device = models.lm, layout.limits.page_size, rows.frame.live.device
    limits = replace(layout.limits, buckets=settle_batches(layout.limits, device))
    gate = Gate(lm, prompts)
    fused = fuse(lm, limits, layout) if execution.kernels else None
    hidden = fused.hidden if fused else lm.hidden
    with kernels_said() if fused else nullcontext():
        if fused:
            check_model(gate, hidden, layout.weights)
        kv, scales = checked_pages(lm, gate, hidden, layout.kv, page_size, prompts, report)
    del gate

    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info(device)
    limits, memory = plan(
        limits, lm.config, kv, total - free, free, round(execution.reserve_gib * GIB), rows.nbytes
    )
    pool = new_pool(lm.config, limits.pages, page_size, lm.text_linear.weight, kv)
    if kv == "int8":
        scales = position_scales(pool)
    step = plain_step(models, limits, pool, scales, CounterNoise())
    if fused:
        step = rehearsed(step, fused, rows, limits)
    run: StepFunction = step
    if execution.graphs:
        step(rows)  # idle rows: whatever PyTorch sets up on first use is set up before recording
        run = CapturedStep(step, rows, all_spans(limits), report)
    return Machine(step, run, limits, memory)


@contextmanager
def kernels_said() -> Iterator[None]:
    """Turns a kernel that does not compile or run into an error that says what to change.

    Raises:
        Unsuited: with the compiler's or the driver's words.
    """
    from triton.errors import TritonError

    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TritonError) as error:
        raise Unsuited(
            f"the kernels do not run on this card: {error}. ENGINE_KERNELS=false starts without "
            "them, for few calls"
        ) from error


def fuse(lm: LanguageModel, limits: EngineLimits, layout: Layout) -> FusedModel:
    """The language model in kernels.

    Raises:
        Unsuited: there are none to be had.
    """
    try:
        from engine.kernels.model import FusedModel
    except ImportError as error:  # a PyTorch without Triton
        raise Unsuited(
            f"the kernels need Triton: {error}. ENGINE_KERNELS=false starts without them, for "
            "few calls"
        ) from error
    # The rows that it will ever be given: all slots, a piece of a prompt, the checks at start.
    rows = max(limits.slots, *PROMPT_PIECES)
    with kernels_said():
        fused = FusedModel(lm, rows, layout.device, layout.weights)
        fused.hidden(lm.text_emb.weight[: limits.prefill_chunk], _values_alone)
        torch.cuda.synchronize()
    return fused


def _values_alone(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Stands for an attention while kernels are tried."""
    return v


def check_model(gate: Gate, hidden: HiddenStates, weights: Format) -> None:
    """Sees to it that the kernels say what the model says, weights in 8 bits included.

    Raises:
        Unsuited: with the divergence.
    """
    found = gate.judge(hidden)
    if found.within(MOST_TEXT_KL, MOST_CODES_KL):
        return
    moved = f"move what the model says by {found}; {MOST_TEXT_KL} and {MOST_CODES_KL} are too far"
    if weights == "bf16":
        raise Unsuited(f"the kernels {moved}: ENGINE_KERNELS=false starts without them")
    raise Unsuited(f"weights in {weights} {moved}: WEIGHTS_FORMAT=bf16 keeps them as they are")


def checked_pages(
    lm: LanguageModel,
    gate: Gate,
    hidden: HiddenStates,
    kv: Format,
    page_size: int,
    prompts: Sequence[Prefix],
    report: Report,
) -> tuple[Format, Tensor | None]:
    """How to keep keys and values, with fp8's scales; plain if this model suffers too much."""
    scales = None
    if kv == "fp8":
        with torch.inference_mode():
            inputs = [lead.inputs for lead in leads(lm, prompts, CALIBRATION_SEEDS)]
        scales = kv_scales(lm, hidden, page_size, inputs)
    if kv == "bf16":
        return kv, None
    found = gate.judge(hidden, scales, kv)
    if found.within(MOST_TEXT_KL, MOST_CODES_KL):
        return kv, scales
    report(
        f"no keys and values in {kv}: they move what the model says by {found}; {MOST_TEXT_KL} and "
        f"{MOST_CODES_KL} are too far"
    )
    return "bf16", None


def rehearsed(step: Step, fused: FusedModel, rows: Rows, limits: EngineLimits) -> Step:
    """The fused step, compiled for every batch and piece of prompt.

    Raises:
        Unsuited: a kernel does not compile or run.
    """
    from engine.kernels.mimi import FusedCodec
    from engine.kernels.step import FusedStep

    parts = {field.name: getattr(step, field.name) for field in fields(step)}
    made = FusedStep(**parts, model=fused, fused_codec=FusedCodec(step.mimi))
    with kernels_said():
        for span in all_spans(limits):
            made(rows.narrow(span))
        pages = -(-max(PROMPT_PIECES) // limits.page_size)
        scratch = torch.zeros(pages, dtype=torch.int32, device=step.pool.device)
        for piece in PROMPT_PIECES:
            made.prompt(step.lm.text_emb.weight[:piece], scratch, 0)
        torch.cuda.synchronize()
    return made
