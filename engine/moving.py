"""Sessions that leave an engine as data, and sessions that arrive so.

What such data looks like is said in `handoff.py`. Between two ticks; nobody else's row is touched.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import fields

import torch
from torch import Tensor

from engine.handoff import (
    HandoffRefused,
    SessionState,
    Standing,
    check_tensors,
    export_rows,
    page_kind,
    read_pages,
    under,
    write_pages,
)
from engine.intake import Intake
from engine.interface import SessionSpec
from engine.model.lm import Hidden
from engine.prefill import Prefiller, Prefix
from engine.scheduler import Scheduler
from engine.seating import Seating
from engine.step import Rows, Step


class Mover:
    """Takes sessions out of one engine and puts them into it.

    Args:
        weights_id: the loaded checkpoint's.
        rows: all rows.
        step: holds the pages.
        scheduler: says who sits where.
        prefiller: the prompts.
        intake: knows the voices.
        seating: sets the rows.
        reference_compat: the engine keeps prompts in the calls' own windows.
    """

    def __init__(
        self,
        weights_id: str,
        rows: Rows,
        step: Step,
        scheduler: Scheduler,
        prefiller: Prefiller,
        intake: Intake,
        seating: Seating,
        *,
        reference_compat: bool,
    ) -> None:
        self._weights_id = weights_id
        self._rows = rows
        self._step = step
        self._pool = step.pool
        by_position = step.pool.dtype == torch.int8
        self._by_position = step.scales if by_position else None
        self._by_head = None if by_position else step.scales
        self._scheduler = scheduler
        self._prefiller = prefiller
        self._intake = intake
        self._seating = seating
        self._compat = reference_compat

    def take_out(self, slot: int, spec: SessionSpec) -> SessionState:
        """Copies a live session to the host; see `PersonaPlexEngine.export_session`."""
        scheduler = self._scheduler
        if self._compat:
            raise HandoffRefused("a session of an engine in reference_compat stays where it is")
        if not scheduler.started(slot):
            raise HandoffRefused(f"slot {slot} still waits for its prompt")
        live, prefix = scheduler.live(slot), self._prefiller[scheduler.key(slot)]
        assert prefix.last is not None  # noqa: S101 - the session is live
        codec = self._rows.codec.export_row(slot)
        tensors = {
            **self._read("sink", list(scheduler.sink_pages(slot))),
            **self._read("live", live.pages()),
            **export_rows("grid", self._rows.grid, slot),
            **{f"codec.{name}": tensor.cpu() for name, tensor in codec.items()},
            "last.state": prefix.last.state.cpu(),
            "last.text_logits": prefix.last.text_logits.cpu(),
            **({} if self._by_head is None else {"scales": self._by_head.cpu()}),
        }
        standing = Standing(
            weights_id=self._weights_id,
            pages=page_kind(self._pool),
            prompt=prefix.positions,
            prompt_sha256=prefix.sha256,
            first_page=live.first_page,
            stop=live.stop,
            floor=live.floor,
        )
        return SessionState(spec, standing, tensors)

    def put_in(self, state: SessionState) -> int:
        """Seats a session that was taken out; see `PersonaPlexEngine.import_session`."""
        standing, tensors = state.standing, state.tensors
        self._check_kind(standing)
        self._intake.check_sampling(state.spec.sampling)
        key, prefix = self._intake.prompt(state.spec)
        self._check_content(state, prefix)
        slot, empty = self._scheduler.adopt(
            key, standing.prompt, standing.first_page, tensors["live"].shape[1], standing.stop
        )
        self._prefiller.forget(self._scheduler.forgotten())
        try:
            live = self._scheduler.live(slot)
            live.floor = max(live.floor, standing.floor)
            if empty:
                self._fill_prompt(slot, prefix, state)
                self._prefiller.replace(key, prefix)
            self._write("live", live.pages(), tensors, live.first_page - standing.first_page)
            self._seating.resume(slot, state.spec, standing, tensors)
        except BaseException:  # such as memory that ran out: the seat would be held for ever
            self._leave(slot, key, empty=empty)
            raise
        return slot

    def _leave(self, slot: int, key: Hashable, *, empty: bool) -> None:
        """Gives a seat back whose session did not come in whole, and a prompt that is not there."""
        if empty:
            self._scheduler.prompts[key].done = 0
        self._scheduler.release(slot)
        self._prefiller.forget(self._scheduler.forgotten())

    def _read(self, name: str, pages: list[int]) -> dict[str, Tensor]:
        """Pages, and with int8 their scales, on the host."""
        found = {name: read_pages(self._pool, pages)}
        if self._by_position is not None:
            found[f"{name}_scales"] = read_pages(self._by_position, pages)
        return found

    def _write(
        self, name: str, pages: list[int], tensors: Mapping[str, Tensor], first: int = 0
    ) -> None:
        """Puts pages back, from the `first` on that came along."""
        write_pages(self._pool, pages, tensors[name][:, first:])
        if self._by_position is not None:
            write_pages(self._by_position, pages, tensors[f"{name}_scales"][:, first:])

    def _fill_prompt(self, slot: int, prefix: Prefix, state: SessionState) -> None:
        """The prompt came along: nobody has to compute it here."""
        sink, last = list(self._scheduler.sink_pages(slot)), under("last", state.tensors)
        self._write("sink", sink, state.tensors)
        device = self._pool.device
        prefix.last = Hidden(**{name: tensor.to(device) for name, tensor in last.items()})

    def _check_kind(self, standing: Standing) -> None:
        """Refuses sessions of another engine's kind."""
        here = page_kind(self._pool)
        if self._compat:
            raise HandoffRefused("an engine in reference_compat takes no session over")
        if standing.weights_id != self._weights_id:
            raise HandoffRefused("the session ran on other weights")
        if standing.pages != here:
            raise HandoffRefused(f"the session's pages are {standing.pages}, this engine's {here}")

    def _check_content(self, state: SessionState, prefix: Prefix) -> None:
        """Refuses what would be read or written amiss; nothing was taken for it yet."""
        standing = state.standing
        if (standing.prompt, standing.prompt_sha256) != (prefix.positions, prefix.sha256):
            raise HandoffRefused(f"voice {state.spec.voice!r} is another one in this engine")
        check_tensors(state.tensors, self._tensors_of(standing))
        if self._by_head is not None and not torch.equal(
            state.tensors["scales"], self._by_head.cpu()
        ):
            raise HandoffRefused("the session's fp8 pages were written with other scales")
        config = self._step.config
        text, audio = config.initial_text, config.initial_audio
        for name, most in (("text", text), ("agent", audio), ("user_acoustic", audio)):
            tokens = state.tensors[f"grid.{name}"]
            if int(tokens.min()) < 0 or int(tokens.max()) > most:
                raise HandoffRefused(f"the session's grid.{name} lies outside 0 .. {most}")

    def _tensors_of(self, standing: Standing) -> dict[str, Tensor]:
        """What a session that stands there consists of: names, types and shapes.

        Raises:
            HandoffRefused: no session can stand there.
        """
        size, config, rows = self._pool.shape[4], self._step.config, self._rows
        live = -(-standing.stop // size) - standing.first_page
        ring = self._scheduler.ring_pages
        if not (0 <= live <= ring and standing.first_page >= 0 and standing.floor >= 0):
            raise HandoffRefused(
                f"the session stands at {standing.stop} with {live} pages from "
                f"{standing.first_page} on; this engine's calls hold up to {ring}"
            )
        like = self._step.lm.text_linear.weight

        def pages(name: str, count: int) -> dict[str, Tensor]:
            kinds = {name: self._pool, f"{name}_scales": self._by_position}
            wanted = {key: kind for key, kind in kinds.items() if kind is not None}
            return {
                key: page.new_empty(len(self._pool), count, *page.shape, device="meta")
                for key, kind in wanted.items()
                for page in [kind.view(torch.uint8)[0, 0]]
            }

        return {
            **pages("sink", -(-standing.prompt // size)),
            **pages("live", live),
            **{f"grid.{f.name}": getattr(rows.grid, f.name)[0] for f in fields(rows.grid)},
            **{f"codec.{name}": tensor[0] for name, tensor in rows.codec.tensors.items()},
            "last.state": like.new_empty(1, config.dim, device="meta"),
            "last.text_logits": like.new_empty(1, config.text_card, device="meta"),
            **({} if self._by_head is None else {"scales": self._by_head}),
        }
