"""The duplex engine: PersonaPlex in a batch of slots on one device.

It joins the scheduler (who sits where), the prompts, and the step (one tick on the device). It
knows no call, no network and no clock. Not thread-safe: one thread owns it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engine.assembly import (
    assemble_on_gpu,
    assemble_plain,
    memory_said,
    settle_codec,
    settle_layout,
)
from engine.config import EngineLimits, Execution
from engine.gate import sample_prompts
from engine.handoff import SessionState
from engine.intake import Intake
from engine.interface import (
    FRAME_SAMPLES,
    Frame,
    FrameOutput,
    NoFreeSlot,
    SessionSpec,
    TickResult,
)
from engine.model.sampling import CounterNoise, Noise
from engine.moving import Mover
from engine.phases import Span, phase_of
from engine.prefill import Prefiller
from engine.scheduler import Scheduler, admitted_calls
from engine.seating import Seating, allocate_rows, fresh_codec, row_bytes
from engine.shelf import VoiceShelf
from engine.text import TextStream
from engine.transfer import HostFrames, Received
from engine.weights import Checkpoint, Models, check_room, load_models

BROKEN = "the model computed no numbers for this session"

STARTS_A_PIECE = 4  # sessions with a known prompt that one `prime` starts: 2 ms each on an H100


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Numbers for the worker's metrics.

    Attributes:
        pages: KV pages in all.
        pages_free: pages that nobody holds.
        prompts_known: prompts whose keys are kept.
        pages_shortened: pages that calls have lost to the elastic window so far.
    """

    pages: int
    pages_free: int
    prompts_known: int
    pages_shortened: int


@dataclass(frozen=True, slots=True)
class Shortened:
    """A session that lost memory to the elastic window.

    Attributes:
        session_id: the session's.
        pages: taken since the tick before.
        pages_in_all: taken since the session began here.
    """

    session_id: str
    pages: int
    pages_in_all: int


class PersonaPlexEngine:
    """Implements `engine.interface.PhasedEngine` with the duplex model.

    Args:
        models: the loaded checkpoint.
        limits: what the engine may hold.
        voices: name -> clip or published voice. A file that cannot be used is refused when a
            session asks for it; `rejected_voices` tells at once.
        noise: where draws come from; the default is keyed by each session's seed.
        execution: how the engine runs on a GPU.

    Attributes:
        slots: how many sessions it takes: as many as were asked for, or as there are pages for.
        limits: with slots, pages and batch sizes settled.
        memory: how the device's memory is divided; None on a CPU.
        voices: takes more of them at any time, from any thread.
        fallbacks: what was asked for and could not be had at start, each with its reason.
        on_shortened: hears of every session that lost pages; called within `tick`.
    """

    kind = "personaplex"

    def __init__(
        self,
        models: Models,
        limits: EngineLimits,
        voices: Mapping[str, Path],
        noise: Noise | None = None,
        execution: Execution | None = None,
    ) -> None:
        self._device = device = models.lm.text_linear.weight.device
        self._enter()
        with memory_said("while the engine was put together"):
            self._build(models, limits, voices, noise, execution or Execution(), device)

    def _build(
        self,
        models: Models,
        limits: EngineLimits,
        voices: Mapping[str, Path],
        noise: Noise | None,
        execution: Execution,
        device: torch.device,
    ) -> None:
        on_gpu = device.type == "cuda"
        if on_gpu:
            settle_codec(execution)
        window = models.lm.config.window_positions
        self.prompt_budget = min(limits.prompt_positions, window // 2)
        self.text = TextStream(models.tokenizer)
        self.voices = VoiceShelf(voices, models.mimi, models.lm.config)
        self.rejected_voices = self.voices.rejected
        self.on_shortened: Callable[[Shortened], None] = _nobody_hears
        self._models = models
        self._specs: dict[int, SessionSpec] = {}
        self._shortened = 0

        fresh = fresh_codec(models, device)
        self.fallbacks: list[str] = []
        if on_gpu and noise is None:
            row = row_bytes(models, limits, self.prompt_budget)
            layout = settle_layout(models, limits, execution, row, device)
            self.rows = allocate_rows(models, layout.limits, self.prompt_budget, device)
            prompts = sample_prompts(self.voices, self.text, models.lm)
            machine = assemble_on_gpu(
                models, layout, execution, self.rows, prompts, self.fallbacks.append
            )
        else:
            self.rows = allocate_rows(models, limits, self.prompt_budget, device)
            machine = assemble_plain(models, limits, noise or CounterNoise())
        self.limits, self.memory = machine.limits, machine.memory
        self.slots = admitted_calls(self.limits, window)
        self.phases = self.limits.phases
        self._step = step = machine.step
        self._run = machine.run
        self.scheduler = Scheduler(self.limits, window)
        self.seating = Seating(self.rows, step, self.scheduler, fresh)
        self._intake = Intake(
            models, self.voices, self.text, self.prompt_budget, step.text_k, step.audio_k
        )
        self._prefiller = Prefiller(models.lm, step.prompt)
        self._frames = HostFrames(self.limits.slots, device)
        self._mover = Mover(
            models.weights_id, self.rows, step, self.scheduler, self._prefiller, self._intake,
            self.seating, reference_compat=limits.reference_compat,
        )  # fmt: skip

    @staticmethod
    def load(
        checkpoint: Checkpoint,
        limits: EngineLimits,
        voices: Mapping[str, Path],
        device: torch.device | str = "cpu",
        execution: Execution | None = None,
    ) -> PersonaPlexEngine:
        """Loads a checkpoint and builds an engine; the checkpoint's own voices are added.

        Raises:
            CheckpointError: names what is wrong with the checkpoint.
            NoMemory: the device cannot hold the engine.
            Unsuited: the device cannot run it as was asked for.
        """
        device = torch.device(device)
        if device.type == "cuda":
            torch.cuda.set_device(device)
            check_room(checkpoint, torch.cuda.mem_get_info(device)[0])
        with memory_said("while the weights were loaded"):
            models = load_models(checkpoint, device, limits.reference_compat)
        voices = {**checkpoint.voices(), **voices}
        return PersonaPlexEngine(models, limits, voices, execution=execution)

    def _enter(self) -> None:
        """Makes the engine's device the thread's own: launches go to the current one."""
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)

    def phase_of(self, slot: int) -> int:
        """The phase group of a slot; see `PhasedEngine.phase_of`."""
        return phase_of(self.limits, slot)

    # ------------------------------------------------------------ admission

    def admit(self, spec: SessionSpec) -> int:
        """Takes a slot and queues its prompt; see `Engine.admit`."""
        self._intake.check_sampling(spec.sampling)
        key, prefix = self._intake.prompt(spec)
        slot = self.scheduler.admit(key, prefix.positions)
        self._prefiller.forget(self.scheduler.forgotten())
        self._prefiller.add(self.scheduler.key(slot), prefix)
        self._specs[slot] = spec
        return slot

    def prime(self) -> list[int]:
        """Starts the slots whose prompt is known; else computes one piece of prompt.

        Raises:
            NoFreeSlot: the device has no memory for the work; the slots that wait must be released.
        """
        self._enter()
        try:
            return self._start_ready() or self._compute_piece()
        except torch.OutOfMemoryError as error:
            raise NoFreeSlot(f"the device has no memory for one more prompt: {error}") from error

    def _compute_piece(self) -> list[int]:
        chunk = self.scheduler.next_chunk()
        if chunk is None:
            return []
        self._prefiller.run(chunk)
        self.scheduler.finish_chunk(chunk)
        return self._start_ready()

    def _start_ready(self) -> list[int]:
        ready = self.scheduler.start_ready(STARTS_A_PIECE)
        for slot in ready:
            key = self.scheduler.key(slot)
            self.seating.begin(slot, self._specs[slot], self._prefiller[key])
            if self.limits.reference_compat:
                self._prefiller.forget([key])
        return ready

    def release(self, slot: int) -> None:
        """Frees the slot at once; KeyError if it is free."""
        self.scheduler.release(slot)
        self._specs.pop(slot)
        self._prefiller.forget(self.scheduler.forgotten())

    # ------------------------------------------------------------ ticks

    def tick(self, inputs: Mapping[int, Frame]) -> TickResult:
        """Advances exactly the slots in `inputs` by one frame; see `Engine.tick`.

        Slots of one phase group take one step on the device, of several groups several.

        Raises:
            KeyError: a slot is free or not ready; nothing has happened.
            ValueError: a frame is not int16 [1920]; nothing has happened.
        """
        self._enter()
        _check_frames(inputs)
        plan = self.scheduler.plan(inputs)
        self.seating.publish(plan.changed)
        self._tell_shortened(plan.shortened)
        self._prefiller.forget(self.scheduler.forgotten())
        outputs: dict[int, FrameOutput] = {}
        failed: dict[int, str] = {}
        for span in plan.spans:
            heard = {slot: inputs[slot] for slot in inputs if slot in span.rows}
            received = self._step_span(span, heard)
            for slot in heard:
                if received.broken[slot - span.first]:
                    failed[slot] = BROKEN
                else:
                    outputs[slot] = self._output(received, slot - span.first)
        return TickResult(outputs=outputs, failed=failed)

    def _step_span(self, span: Span, heard: Mapping[int, Frame]) -> Received:
        rows, buffers = self.seating.view(span), self._frames.turn()
        buffers.send(heard, rows.frame, span.first)
        self._run(rows)
        return buffers.receive(rows.frame)

    def _output(self, received: Received, row: int) -> FrameOutput:
        # The buffers are used again in the step after the next; the worker may be slower.
        pcm, text = received.pcm[row].copy(), int(received.text[row])
        return FrameOutput(pcm=pcm, text=self.text.piece(text))

    def _tell_shortened(self, shortened: Mapping[int, int]) -> None:
        for slot, pages in shortened.items():
            self._shortened += pages
            lost = self.scheduler.live(slot).lost
            self.on_shortened(Shortened(self._specs[slot].session_id, pages, lost))

    def stats(self) -> EngineStats:
        """Where the engine stands."""
        return EngineStats(
            pages=self.scheduler.pool.capacity,
            pages_free=self.scheduler.pool.free,
            prompts_known=self.scheduler.prompts.known,
            pages_shortened=self._shortened,
        )

    # ------------------------------------------------------------ sessions that move

    def export_session(self, slot: int) -> SessionState:
        """Copies a live session's whole state to the host; the session goes on here.

        Raises:
            KeyError: the slot is free.
            HandoffRefused: the session's prompt is not computed yet.
        """
        self._enter()
        if slot not in self._specs:
            raise KeyError(f"slot {slot} is free; there is nothing to export")
        return self._mover.take_out(slot, self._specs[slot])

    def import_session(self, state: SessionState) -> int:
        """Takes a session over at the point where it was exported; its slot is live at once.

        Raises:
            HandoffRefused: the state does not belong into this engine.
            PromptRejected: this engine has not the session's voice, or cannot draw as it does.
            NoFreeSlot: every slot is taken, or too few pages are free.
        """
        self._enter()
        slot = self._mover.put_in(state)
        self._specs[slot] = state.spec
        return slot


def _check_frames(inputs: Mapping[int, Frame]) -> None:
    for slot, frame in inputs.items():
        if frame.shape != (FRAME_SAMPLES,) or frame.dtype != np.int16:
            raise ValueError(
                f"slot {slot} got {frame.dtype} {list(frame.shape)}, not int16 [{FRAME_SAMPLES}]"
            )


def _nobody_hears(_: Shortened) -> None:
    """Where nobody asked."""
