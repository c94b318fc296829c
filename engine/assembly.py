"""Puts the step together on its device: kernels or plain, recorded or not, and the KV pages.

A fast way that fails at start is given up for the plain one, and the reason is reported: no call
ever meets it. Knows no session.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.agreement import columns, compare, forced_logits
from engine.calibration import HiddenStates, kv_scales
from engine.config import EngineLimits, Execution
from engine.graphs import CapturedStep, Report, StepFunction
from engine.memory import GIB, MemoryPlan, check_pages, plan
from engine.model.kv import new_pool
from engine.model.lm import LanguageModel
from engine.model.sampling import CounterNoise, Noise
from engine.phases import all_spans
from engine.scheduler import settle_pages
from engine.step import Rows, Step
from engine.weights import Models

if TYPE_CHECKING:
    from engine.kernels.model import FusedModel


PROMPT_PIECES = (16, 32, 64, 128)  # the kernels' blocks of rows: pieces in between share their code

CHECKED_POSITIONS = 512
MOST_TEXT_KL = 0.1  # nats: as much as a tenth of the words' probability going elsewhere


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
    models: Models, limits: EngineLimits, execution: Execution, rows: Rows, report: Report
) -> Machine:
    """The step in kernels and graphs, or as much of that as works.

    Args:
        models: the loaded checkpoint, on the device.
        limits: what the engine may hold.
        execution: how it is to run.
        rows: the rows' memory.
        report: hears what was given up and why.

    Raises:
        NoMemory: the device cannot hold the engine.
    """
    config, page_size = models.lm.config, limits.page_size
    limits = replace(limits, buckets=settle_batches(limits, rows.frame.live.device))
    fused = _fuse(models, limits, execution, report) if execution.kernels else None
    hidden = fused.hidden if fused else models.lm.hidden
    scales = _checked_scales(models.lm, hidden, page_size, report) if execution.fp8_kv else None

    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    value_bytes = models.lm.text_linear.weight.element_size() if scales is None else 1
    limits, memory = plan(
        limits, config, value_bytes, total - free, free, round(execution.reserve_gib * GIB),
        rows.nbytes,
    )  # fmt: skip
    like = models.lm.text_linear.weight
    pool = new_pool(config, limits.pages, page_size, like, fp8=scales is not None)
    step = plain_step(models, limits, pool, scales, CounterNoise())
    if fused:
        step = _rehearsed(step, fused, rows, limits, execution, report)
    run: StepFunction = step
    if execution.graphs:
        step(rows)  # idle rows: whatever PyTorch sets up on first use is set up before recording
        run = CapturedStep(step, rows, all_spans(limits), report)
    return Machine(step, run, limits, memory)


def _fuse(
    models: Models, limits: EngineLimits, execution: Execution, report: Report
) -> FusedModel | None:
    """The language model in kernels; None if there are none to be had."""
    try:
        from engine.kernels.model import FusedModel
    except ImportError as error:  # a PyTorch without Triton
        if execution.fp8_weights:
            raise
        report(f"no kernels: {error}")
        return None
    from triton.errors import TritonError

    try:
        # The rows that it will ever be given: all slots, a piece of a prompt, the checks at start.
        rows = max(limits.slots, *PROMPT_PIECES)
        fused = FusedModel(models.lm, rows, execution.fp8_weights)
        fused.hidden(models.lm.text_emb.weight[: limits.prefill_chunk], _values_alone)
        torch.cuda.synchronize()
    except (RuntimeError, TritonError) as error:  # the compiler, or the device's limits
        if execution.fp8_weights:  # the plain weights are gone
            raise
        report(f"no kernels: {error}")
        return None
    return fused


def _values_alone(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Stands for an attention while kernels are tried."""
    return v


def _checked_scales(
    lm: LanguageModel, hidden: HiddenStates, page_size: int, report: Report
) -> Tensor | None:
    """The scales of fp8 pages, or None if this model's words suffer too much from them."""
    scales = kv_scales(lm, hidden, page_size)
    grid = columns(lm.config, CHECKED_POSITIONS + 1)
    plain = forced_logits(lm, hidden, grid, CHECKED_POSITIONS // 4)
    kept = forced_logits(lm, hidden, grid, CHECKED_POSITIONS // 4, scales)
    found = compare(plain, kept).text_kl
    if found <= MOST_TEXT_KL:  # NaN is no agreement either
        return scales
    report(f"no fp8 keys and values: they move the words by {found:.3f} nats, over {MOST_TEXT_KL}")
    return None


def _rehearsed(
    step: Step,
    fused: FusedModel,
    rows: Rows,
    limits: EngineLimits,
    execution: Execution,
    report: Report,
) -> Step:
    """The fused step, compiled for every batch and piece of prompt; else the plain one."""
    from triton.errors import TritonError

    from engine.kernels.step import FusedStep

    parts = {field.name: getattr(step, field.name) for field in fields(step)}
    candidate = FusedStep(**parts, model=fused)
    try:
        for span in all_spans(limits):
            candidate(rows.narrow(span))
        pages = -(-max(PROMPT_PIECES) // limits.page_size)
        scratch = torch.zeros(pages, dtype=torch.int32, device=step.pool.device)
        for piece in PROMPT_PIECES:
            candidate.prompt(step.lm.text_emb.weight[:piece], scratch, 0)
        torch.cuda.synchronize()
    except (RuntimeError, TritonError) as error:  # the compiler, or the device's limits
        if execution.fp8_weights:  # the plain weights are gone
            raise
        report(f"no kernels: {error}")
        return step
    return candidate
