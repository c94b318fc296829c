"""The rows of the batch on the device: allocated once, set when a session begins or moves in.

Who gets which slot is the scheduler's business; here a slot's row is made to say what the session
is and where it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from engine.config import EngineLimits
from engine.handoff import Standing, import_rows, under
from engine.interface import SessionSpec
from engine.model.delays import GridRows
from engine.model.kv import CacheRows
from engine.model.mimi import MimiState
from engine.model.sampling import SamplingRows
from engine.phases import Span
from engine.prefill import Prefix
from engine.prompts import AGENT_SILENCE
from engine.scheduler import Scheduler, ring_pages
from engine.step import FrameRows, Rows, Step
from engine.transfer import HostTables
from engine.weights import Models


def allocate_rows(
    models: Models, limits: EngineLimits, prompt_budget: int, device: torch.device
) -> Rows:
    """Idle rows for every slot."""
    slots = limits.slots
    sink_pages = 0 if limits.reference_compat else -(-prompt_budget // limits.page_size)
    ring = ring_pages(limits, models.lm.config.window_positions)
    return Rows(
        frame=FrameRows.allocate(slots, device),
        cache=CacheRows.allocate(slots, sink_pages, ring, device),
        grid=GridRows.allocate(slots, device),
        sampling=SamplingRows.allocate(slots, device),
        codec=MimiState.allocate(models.mimi.config, slots, device),
    )


def row_bytes(models: Models, limits: EngineLimits, prompt_budget: int) -> int:
    """Bytes of one slot's row; nothing is allocated."""
    one = replace(limits, slots=1, phases=1, buckets=())
    return allocate_rows(models, one, prompt_budget, torch.device("meta")).nbytes


def fresh_codec(models: Models, device: torch.device) -> dict[str, Tensor]:
    """A codec row at the start of a call: it has heard nothing and said one silent frame.

    That frame is the prompt's last, which the reference decodes and plays.
    """
    state = MimiState.allocate(models.mimi.config, 1, device)
    codes = torch.tensor([AGENT_SILENCE], device=device)
    models.mimi.decode_frame(codes, state, torch.ones(1, dtype=torch.bool, device=device))
    return state.export_row(0)


class Seating:
    """Sets rows.

    Args:
        rows: all rows.
        step: draws a session's first tokens.
        scheduler: says which pages a slot holds.
        fresh: the codec row of a call that begins.
    """

    def __init__(
        self, rows: Rows, step: Step, scheduler: Scheduler, fresh: Mapping[str, Tensor]
    ) -> None:
        self._rows = rows
        self._step = step
        self._scheduler = scheduler
        self._fresh = fresh
        self._tables = HostTables(rows.cache)
        self._views: dict[Span, Rows] = {}

    def view(self, span: Span) -> Rows:
        """Some of the rows; the same objects for the same span."""
        if span not in self._views:
            self._views[span] = self._rows.narrow(span)
        return self._views[span]

    def publish(self, slots: Iterable[int]) -> None:
        """Copies the sessions' rings to the device."""
        for slot in slots:
            live = self._scheduler.live(slot)
            self._tables.set(slot, live.table, live.floor)
        self._tables.send()

    def begin(self, slot: int, spec: SessionSpec, prefix: Prefix) -> None:
        """A session whose prompt is computed takes its row."""
        assert prefix.last is not None  # noqa: S101 - the scheduler says that it is computed
        self._set_cache(slot, prefix.positions)
        self._set_sampling(slot, spec)
        self._rows.codec.import_row(slot, self._fresh)
        pending = torch.from_numpy(prefix.prompt.pending).to(prefix.last.state.device)
        self._step.start(self._rows, slot, prefix.last, pending)

    def resume(
        self, slot: int, spec: SessionSpec, standing: Standing, tensors: Mapping[str, Tensor]
    ) -> None:
        """A session that began elsewhere takes its row; its pages are filled."""
        self._set_cache(slot, standing.prompt)
        self._rows.cache.position[slot] = standing.prompt + standing.stop
        self._set_sampling(slot, spec)
        import_rows("grid", self._rows.grid, slot, tensors)
        self._rows.codec.import_row(slot, under("codec", tensors))

    def _set_cache(self, slot: int, positions: int) -> None:
        cache, live = self._rows.cache, self._scheduler.live(slot)
        sink = self._scheduler.sink_pages(slot)
        cache.sink_table[slot] = 0
        cache.sink_table[slot, : len(sink)] = torch.tensor(sink, dtype=torch.int32)
        cache.sink_length[slot] = positions if sink else 0
        cache.position[slot] = positions
        cache.live_window[slot] = live.window
        self.publish([slot])

    def _set_sampling(self, slot: int, spec: SessionSpec) -> None:
        rows, sampling = self._rows.sampling, spec.sampling
        rows.seed[slot] = signed_64(spec.seed)
        rows.text_temperature[slot] = sampling.text_temperature
        rows.text_top_k[slot] = sampling.text_top_k
        rows.audio_temperature[slot] = sampling.audio_temperature
        rows.audio_top_k[slot] = sampling.audio_top_k


def signed_64(seed: int) -> int:
    """Any integer's low 64 bits, as torch's signed type holds them."""
    return (seed + 2**63) % 2**64 - 2**63
