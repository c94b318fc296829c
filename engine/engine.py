"""The duplex engine: PersonaPlex in a batch of slots on one device.

It joins the scheduler (who sits where), the prompts, and the step (one tick on the device). It
knows no call, no network and no clock. Not thread-safe: one thread owns it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.assembly import assemble_on_gpu, assemble_plain, settle_codec
from engine.config import EngineLimits, Execution
from engine.handoff import (
    HandoffRefused,
    SessionState,
    Standing,
    export_rows,
    import_rows,
    page_kind,
    read_pages,
    under,
    write_pages,
)
from engine.interface import (
    FRAME_SAMPLES,
    Frame,
    FrameOutput,
    PromptRejected,
    Sampling,
    SessionSpec,
    TickResult,
)
from engine.model.delays import GridRows
from engine.model.kv import CacheRows
from engine.model.lm import Hidden
from engine.model.mimi import MimiState
from engine.model.sampling import CounterNoise, Noise, SamplingRows
from engine.prefill import Prefiller, Prefix
from engine.prompts import AGENT_SILENCE, count_positions
from engine.scheduler import Scheduler, ring_pages
from engine.shelf import VoiceShelf
from engine.step import FrameRows, Rows
from engine.text import TextStream
from engine.transfer import HostFrames, HostTables, Received
from engine.weights import Checkpoint, Models, load_models

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


class PersonaPlexEngine:
    """Implements `engine.interface.Engine` with the duplex model.

    Args:
        models: the loaded checkpoint.
        limits: what the engine may hold.
        voices: name -> clip or published voice. A file that cannot be used is refused when a
            session asks for it; `rejected_voices` tells at once.
        noise: where draws come from; the default is keyed by each session's seed.
        execution: how the engine runs on a GPU.

    Attributes:
        limits: with pages and batch sizes settled.
        memory: how the device's memory is divided; None on a CPU.
        voices: takes more of them at any time, from any thread.
        fallbacks: what was asked for and could not be had at start, each with its reason.
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
        execution = execution or Execution()
        on_gpu = models.lm.text_linear.weight.is_cuda
        if on_gpu:
            settle_codec(execution)
        window = models.lm.config.window_positions
        self.slots = limits.slots
        self.prompt_budget = min(limits.prompt_positions, window // 2)
        self._models = models
        self.text = TextStream(models.tokenizer)
        self.voices = VoiceShelf(voices, models.mimi, models.lm.config)
        self.rejected_voices = self.voices.rejected
        self._specs: dict[int, SessionSpec] = {}
        self._views: dict[int, Rows] = {}
        self._shortened = 0

        self._device = models.lm.text_linear.weight.device
        self.rows = self._allocate_rows(limits)
        self._fresh_codec = self._listen_to_silence()
        self.fallbacks: list[str] = []
        if on_gpu and noise is None:
            machine = assemble_on_gpu(models, limits, execution, self.rows, self.fallbacks.append)
        else:
            machine = assemble_plain(models, limits, noise or CounterNoise())
        self.limits, self.memory = machine.limits, machine.memory
        self._step, self._run = machine.step, machine.run
        self.scheduler = Scheduler(self.limits, window)
        self._prefiller = Prefiller(models.lm, self._step.prompt)
        self._frames = HostFrames(self.slots, self._device)
        self._tables = HostTables(self.rows.cache)

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
        """
        models = load_models(checkpoint, torch.device(device), limits.reference_compat)
        voices = {**checkpoint.voices(), **voices}
        return PersonaPlexEngine(models, limits, voices, execution=execution)

    def _allocate_rows(self, limits: EngineLimits) -> Rows:
        config = self._models.lm.config
        sink_pages = 0 if limits.reference_compat else -(-self.prompt_budget // limits.page_size)
        ring = ring_pages(limits, config.window_positions)
        return Rows(
            frame=FrameRows.allocate(self.slots, self._device),
            cache=CacheRows.allocate(self.slots, sink_pages, ring, self._device),
            grid=GridRows.allocate(self.slots, self._device),
            sampling=SamplingRows.allocate(self.slots, self._device),
            codec=MimiState.allocate(self._models.mimi.config, self.slots, self._device),
        )

    def _listen_to_silence(self) -> dict[str, Tensor]:
        """A codec row at the start of a call: it has heard nothing and said one silent frame.

        That frame is the prompt's last, which the reference decodes and plays.
        """
        mimi = self._models.mimi
        state = MimiState.allocate(mimi.config, 1, self._device)
        codes = torch.tensor([AGENT_SILENCE], device=self._device)
        mimi.decode_frame(codes, state, torch.ones(1, dtype=torch.bool, device=self._device))
        return state.export_row(0)

    # ------------------------------------------------------------ admission

    def admit(self, spec: SessionSpec) -> int:
        """Takes a slot and queues its prompt; see `Engine.admit`."""
        self._check_sampling(spec.sampling)
        key, prefix = self._prompt(spec)
        slot = self.scheduler.admit(key, prefix.positions)
        self._forget_evicted()
        self._prefiller.add(self.scheduler.key(slot), prefix)
        self._specs[slot] = spec
        return slot

    def _prompt(self, spec: SessionSpec) -> tuple[Hashable, Prefix]:
        """A session's prompt and the name under which it is shared."""
        voice = self.voices[spec.voice]
        role_ids = tuple(self.text.role_ids(spec.role_text))
        count_positions(len(role_ids), voice.positions, self.prompt_budget)
        prompt = voice.prompt(role_ids, self._models.lm.config)
        return (self._models.weights_id, spec.voice, role_ids), Prefix(voice.embeddings, prompt)

    def _check_sampling(self, sampling: Sampling) -> None:
        limits = {"text_top_k": self._step.text_k, "audio_top_k": self._step.audio_k}
        for name, most in limits.items():
            if not 1 <= getattr(sampling, name) <= most:
                raise PromptRejected(
                    f"{name} is {getattr(sampling, name)}; this engine takes 1 to {most}"
                )
        for name in ("text_temperature", "audio_temperature"):
            value = getattr(sampling, name)
            if not 0 <= value < math.inf:
                raise PromptRejected(f"{name} is {value}; it must be 0 or more, and finite")

    # ------------------------------------------------------------ prompts

    def prime(self) -> list[int]:
        """Starts the slots whose prompt is known; else computes one piece of prompt."""
        started = self._start_ready()
        chunk = None if started else self.scheduler.next_chunk()
        if chunk is None:
            return started
        self._prefiller.run(chunk)
        self.scheduler.finish_chunk(chunk)
        return self._start_ready()

    def _start_ready(self) -> list[int]:
        ready = self.scheduler.start_ready(STARTS_A_PIECE)
        for slot in ready:
            self._start(slot)
        return ready

    def _start(self, slot: int) -> None:
        prefix = self._prefiller[self.scheduler.key(slot)]
        assert prefix.last is not None  # noqa: S101 - the scheduler says that it is computed
        self._set_cache(slot, prefix.positions)
        self._set_sampling(slot, self._specs[slot])
        self.rows.codec.import_row(slot, self._fresh_codec)
        pending = torch.from_numpy(prefix.prompt.pending).to(self._device)
        self._step.start(self.rows, slot, prefix.last, pending)
        if self.limits.reference_compat:
            self._prefiller.forget(self.scheduler.key(slot))

    def _set_cache(self, slot: int, positions: int) -> None:
        cache, live = self.rows.cache, self.scheduler.live(slot)
        sink = self.scheduler.sink_pages(slot)
        cache.sink_table[slot] = 0
        cache.sink_table[slot, : len(sink)] = torch.tensor(sink, dtype=torch.int32)
        cache.sink_length[slot] = positions if sink else 0
        cache.position[slot] = positions
        cache.live_window[slot] = live.window
        self._publish([slot])

    def _publish(self, slots: Iterable[int]) -> None:
        """Copies the calls' rings to the device."""
        for slot in slots:
            live = self.scheduler.live(slot)
            self._tables.set(slot, live.table, live.floor)
        self._tables.send()

    def _set_sampling(self, slot: int, spec: SessionSpec) -> None:
        rows, sampling = self.rows.sampling, spec.sampling
        rows.seed[slot] = signed_64(spec.seed)
        rows.text_temperature[slot] = sampling.text_temperature
        rows.text_top_k[slot] = sampling.text_top_k
        rows.audio_temperature[slot] = sampling.audio_temperature
        rows.audio_top_k[slot] = sampling.audio_top_k

    def _forget_evicted(self) -> None:
        for key in self.scheduler.forgotten():
            self._prefiller.forget(key)

    # ------------------------------------------------------------ ticks

    def tick(self, inputs: Mapping[int, Frame]) -> TickResult:
        """Advances exactly the slots in `inputs` by one frame; see `Engine.tick`.

        Raises:
            KeyError: a slot is free or not ready; nothing has happened.
            ValueError: a frame is not int16 [1920]; nothing has happened.
        """
        for slot, frame in inputs.items():
            if frame.shape != (FRAME_SAMPLES,) or frame.dtype != np.int16:
                raise ValueError(
                    f"slot {slot} got {frame.dtype} {list(frame.shape)}, "
                    f"not int16 [{FRAME_SAMPLES}]"
                )
        if not inputs:
            return TickResult(outputs={})
        plan = self.scheduler.plan(inputs)
        self._publish(plan.changed)
        self._shortened += sum(plan.shortened.values())
        self._forget_evicted()
        rows = self._narrowed(plan.batch)
        self._frames.send(inputs, rows.frame)
        self._run(rows)
        return self._result(inputs, self._frames.receive(rows.frame))

    def _narrowed(self, batch: int) -> Rows:
        """Views of the first rows; the same objects for the same batch."""
        if batch not in self._views:
            self._views[batch] = self.rows.narrow(batch)
        return self._views[batch]

    def _result(self, inputs: Iterable[int], received: Received) -> TickResult:
        """Sorts what came back by slot."""
        failed = {slot: BROKEN for slot in inputs if received.broken[slot]}
        outputs = {
            slot: FrameOutput(
                pcm=received.pcm[slot].copy(), text=self.text.piece(int(received.text[slot]))
            )
            for slot in inputs
            if slot not in failed
        }
        return TickResult(outputs=outputs, failed=failed)

    # ------------------------------------------------------------ sessions that move

    def export_session(self, slot: int) -> SessionState:
        """Copies a live session's whole state to the host; the session goes on here.

        Raises:
            KeyError: the slot is free.
            HandoffRefused: the session's prompt is not computed yet.
        """
        if not self.scheduler.started(slot):
            raise HandoffRefused(f"slot {slot} still waits for its prompt")
        live, prefix = self.scheduler.live(slot), self._prefiller[self.scheduler.key(slot)]
        assert prefix.last is not None  # noqa: S101 - the session is live
        pool, scales = self._step.pool, self._step.scales
        tensors = {
            "sink": read_pages(pool, list(self.scheduler.sink_pages(slot))),
            "live": read_pages(pool, live.pages()),
            **export_rows("grid", self.rows.grid, slot),
            **{f"codec.{name}": t.cpu() for name, t in self.rows.codec.export_row(slot).items()},
            "last.state": prefix.last.state.cpu(),
            "last.text_logits": prefix.last.text_logits.cpu(),
            **({} if scales is None else {"scales": scales.cpu()}),
        }
        standing = Standing(
            weights_id=self._models.weights_id,
            pages=page_kind(pool),
            prompt=prefix.positions,
            first_page=live.first_page,
            stop=live.stop,
            floor=live.floor,
        )
        return SessionState(self._specs[slot], standing, tensors)

    def import_session(self, state: SessionState) -> int:
        """Takes a session over at the point where it was exported; its slot is live at once.

        Raises:
            HandoffRefused: the state does not belong into this engine.
            PromptRejected: this engine has not the session's voice.
            NoFreeSlot: every slot is taken, or too few pages are free.
        """
        standing, tensors = state.standing, state.tensors
        self._check_handoff(state)
        key, prefix = self._prompt(state.spec)
        slot, empty = self.scheduler.adopt(
            key, standing.prompt, standing.first_page, tensors["live"].shape[1], standing.stop
        )
        self._forget_evicted()
        live = self.scheduler.live(slot)
        live.floor = standing.floor
        if empty:
            write_pages(self._step.pool, list(self.scheduler.sink_pages(slot)), tensors["sink"])
            last = under("last", tensors)
            prefix.last = Hidden(**{name: t.to(self._device) for name, t in last.items()})
            self._prefiller.replace(key, prefix)
        write_pages(self._step.pool, live.pages(), tensors["live"])
        self._specs[slot] = state.spec
        self._set_cache(slot, standing.prompt)
        self.rows.cache.position[slot] = standing.prompt + standing.stop
        self._set_sampling(slot, state.spec)
        import_rows("grid", self.rows.grid, slot, tensors)
        codec = {name: t.to(self._device) for name, t in under("codec", tensors).items()}
        self.rows.codec.import_row(slot, codec)
        return slot

    def _check_handoff(self, state: SessionState) -> None:
        standing, scales = state.standing, self._step.scales
        here = page_kind(self._step.pool)
        if self.limits.reference_compat:
            raise HandoffRefused("an engine in reference_compat takes no session over")
        if standing.weights_id != self._models.weights_id:
            raise HandoffRefused("the session ran on other weights")
        if standing.pages != here:
            raise HandoffRefused(f"the session's pages are {standing.pages}, this engine's {here}")
        if scales is not None and not torch.equal(state.tensors["scales"], scales.cpu()):
            raise HandoffRefused("the session's fp8 pages were written with other scales")

    # ------------------------------------------------------------ the end of a session

    def release(self, slot: int) -> None:
        """Frees the slot at once; KeyError if it is free."""
        self.scheduler.release(slot)
        self._specs.pop(slot)
        self._forget_evicted()

    def stats(self) -> EngineStats:
        """Where the engine stands."""
        return EngineStats(
            pages=self.scheduler.pool.capacity,
            pages_free=self.scheduler.pool.free,
            prompts_known=self.scheduler.prompts.known,
            pages_shortened=self._shortened,
        )


def signed_64(seed: int) -> int:
    """Any integer's low 64 bits, as torch's signed type holds them."""
    return (seed + 2**63) % 2**64 - 2**63
