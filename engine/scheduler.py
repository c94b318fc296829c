"""Who sits in which slot, which prompt work is next, and which pages each call holds.

    admit(prompt)  -> slot              waits for its prompt
    next_chunk()   -> a piece of prompt work, first come first served
    start_ready()  -> slots whose prompt is computed; they are live from now on
    plan(slots)    -> pages for one more position in each, before a tick
    release(slot)

The phase group with the fewest sessions gets the next, in its lowest free slot, so that a tick runs
the group's first rows up to the highest live one. No tensor, no clock: the shell copies `tables` to
the device where `plan` says so.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from engine.config import EngineLimits
from engine.interface import NoFreeSlot
from engine.pages import LivePages, PagePool, PromptCache, PromptPages
from engine.phases import Span, group_rows, phase_of, span


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of prompt work: positions [start, stop) of the prompt `key`."""

    key: Hashable
    start: int
    stop: int
    pages: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a tick needs.

    Attributes:
        spans: rows that take part, one span a phase group; idle ones among them are masked.
        changed: slots whose `live` table or floor differs from what the device last got.
        shortened: pages that calls lost to the elastic window: slot -> pages.
    """

    spans: tuple[Span, ...]
    changed: frozenset[int]
    shortened: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Seat:
    """One occupied slot."""

    key: Hashable
    prompt: PromptPages
    live: LivePages
    started: bool = False


class Scheduler:
    """Slots and pages of one engine.

    Args:
        limits: the engine's limits, with `pages` settled.
        window: positions that a query may see, sink and live together.
    """

    def __init__(self, limits: EngineLimits, window: int) -> None:
        self._limits = limits
        self._window = window
        self.ring_pages = ring_pages(limits, window)
        self._floor_pages = floor_pages(limits, window)
        self.pool = PagePool(limits.pages)
        self.prompts = PromptCache(self.pool, limits.cached_prompts)
        self.seats: dict[int, Seat] = {}
        self._free_slots = [list(group_rows(limits, phase)) for phase in range(limits.phases)]
        self._queue: deque[Hashable] = deque()
        self._forgotten: list[Hashable] = []
        self._shortened: dict[int, int] = {}
        self._serial = 0

    # ------------------------------------------------------------ admission

    def admit(self, key: Hashable, positions: int) -> int:
        """Takes a free slot and queues the prompt, unless it is known.

        Raises:
            NoFreeSlot: no slot is free, or too few pages for one more call.
        """
        if not any(self._free_slots):
            raise NoFreeSlot(f"all {self._limits.slots} slots are taken")
        if self._limits.reference_compat:
            # The prompt lies in the call's own pages there, so nobody can share it.
            self._serial += 1
            key = (key, self._serial)
        prompt = self._acquire(key, positions)
        slot = heapq.heappop(self._emptiest_group())
        sink = 0 if self._limits.reference_compat else positions
        window = self._window - sink - int(self._limits.reference_compat)
        live = LivePages(self._limits.page_size, window, [0] * self.ring_pages)
        self.seats[slot] = Seat(key, prompt, live)
        return slot

    def _emptiest_group(self) -> list[int]:
        """The free slots of the group with the fewest sessions that has any."""
        sizes = [len(group_rows(self._limits, p)) for p in range(self._limits.phases)]
        groups = zip(self._free_slots, sizes, strict=True)
        return min(
            (size - len(free), phase, free) for phase, (free, size) in enumerate(groups) if free
        )[2]

    def _acquire(self, key: Hashable, positions: int) -> PromptPages:
        known = key in self.prompts
        needed = 0 if known else -(-positions // self._limits.page_size)
        in_use = self.prompts.held(also=key)
        promised = (len(self.seats) + 1) * self._floor_pages
        if in_use + needed + promised > self.pool.capacity:
            raise NoFreeSlot(
                f"{self.pool.capacity} KV pages cannot hold one more call: prompts hold {in_use}, "
                f"this prompt needs {needed}, {promised} are promised to calls"
            )
        if known:
            return self.prompts.acquire(key)
        pages = tuple(self._take_page() for _ in range(needed))
        self._queue.append(key)
        return self.prompts.add(key, pages, positions)

    def adopt(
        self, key: Hashable, positions: int, first_page: int, pages: int, stop: int
    ) -> tuple[int, bool]:
        """Takes a slot for a session that began elsewhere; it is live at once.

        Under pressure it may get fewer pages than it held: the newest.

        Args:
            key: its prompt.
            positions: the prompt's.
            first_page: its oldest live page, counted from offset 0.
            pages: how many live pages it holds.
            stop: its next live offset.

        Returns:
            The slot, and whether the prompt's pages are still to be filled.

        Raises:
            NoFreeSlot: no slot is free, or too few pages for one more call.
        """
        slot = self.admit(key, positions)
        seat = self.seats[slot]
        empty = not seat.prompt.ready
        seat.prompt.done = seat.prompt.positions
        seat.started = True
        seat.live.begin_at(first_page)
        for _ in range(pages):
            seat.live.grow(self._take_page(seat.live))
        seat.live.stop = stop
        return slot, empty

    def release(self, slot: int) -> None:
        """Frees a slot and its pages.

        Raises:
            KeyError: the slot is free already.
        """
        if slot not in self.seats:
            raise KeyError(f"slot {slot} is free; it cannot be released")
        seat = self.seats.pop(slot)
        self.pool.give(seat.live.drop_all())
        if not (seat.started and self._limits.reference_compat):
            self._forgotten += self.prompts.release(seat.key)
        self._shortened.pop(slot, None)
        heapq.heappush(self._free_slots[phase_of(self._limits, slot)], slot)

    def forgotten(self) -> list[Hashable]:
        """Prompts that were evicted since the last call; what hangs on them may go."""
        gone, self._forgotten = self._forgotten, []
        return gone

    # ------------------------------------------------------------ what is where

    def key(self, slot: int) -> Hashable:
        """Names the prompt of a slot."""
        return self.seats[slot].key

    def started(self, slot: int) -> bool:
        """Whether the slot's prompt is in and its session live."""
        return self.seats[slot].started

    def live(self, slot: int) -> LivePages:
        """The slot's ring of private pages."""
        return self.seats[slot].live

    def sink_pages(self, slot: int) -> tuple[int, ...]:
        """The shared prompt pages that a slot sees for ever."""
        return () if self._limits.reference_compat else self.seats[slot].prompt.pages

    # ------------------------------------------------------------ prompt work

    def next_chunk(self) -> Chunk | None:
        """The next piece of prompt work, or None."""
        while self._queue:
            key = self._queue[0]
            if key in self.prompts and not self.prompts[key].ready:
                prompt = self.prompts[key]
                stop = min(prompt.done + self._limits.prefill_chunk, prompt.positions)
                return Chunk(key, prompt.done, stop, prompt.pages)
            self._queue.popleft()
        return None

    def finish_chunk(self, chunk: Chunk) -> None:
        """Notes that the chunk's keys are in their pages."""
        self.prompts[chunk.key].done = chunk.stop

    def start_ready(self, most: int | None = None) -> list[int]:
        """Makes the slots live whose prompt is computed, lowest first, at most `most`."""
        ready = [
            slot
            for slot, seat in sorted(self.seats.items())
            if not seat.started and seat.prompt.ready
        ][:most]
        for slot in ready:
            self.seats[slot].started = True
            if self._limits.reference_compat:
                self._adopt(self.seats[slot])
        return ready

    def _adopt(self, seat: Seat) -> None:
        """Turns a prompt's pages into the call's first live pages."""
        for page in self.prompts.hand_over(seat.key):
            seat.live.grow(page)
        seat.live.stop = seat.prompt.positions

    # ------------------------------------------------------------ ticks

    def plan(self, slots: Iterable[int]) -> Plan:
        """Gives every slot a place for one more position, and advances it.

        Raises:
            KeyError: a slot is free or its prompt is not done; nothing has changed.
        """
        seats = {slot: self._live_seat(slot) for slot in slots}  # all or none
        changed: set[int] = set()
        for slot, seat in seats.items():
            if self._make_room(seat.live):
                changed.add(slot)
            seat.live.stop += 1
        shortened, self._shortened = self._shortened, {}
        return Plan(
            spans=self._spans(seats),
            changed=frozenset(changed | shortened.keys()),
            shortened=shortened,
        )

    def _spans(self, slots: Iterable[int]) -> tuple[Span, ...]:
        highest: dict[int, int] = {}
        for slot in sorted(slots):
            highest[phase_of(self._limits, slot)] = slot
        return tuple(span(self._limits, slot) for slot in highest.values())

    def _live_seat(self, slot: int) -> Seat:
        seat = self.seats.get(slot)
        if seat is None or not seat.started:
            raise KeyError(f"slot {slot} is not live")
        return seat

    def _make_room(self, live: LivePages) -> bool:
        """Sees to it that the next offset has a page; tells whether the table changed."""
        freed = live.scrolled_out()
        self.pool.give(freed)
        if not live.needs_page:
            return bool(freed)
        if live.wraps:
            live.wrap()
            return bool(freed)
        live.grow(self._take_page(live))
        return True

    def _take_page(self, grower: LivePages | None = None) -> int:
        """A free page: else an unused prompt's, else the longest call's oldest.

        Of equals the one that grows pays, so that no call falls below the promised pages.
        """
        if not self.pool.free and (key := self.prompts.evict_one()) is not None:
            self._forgotten.append(key)
        if not self.pool.free:
            slot, seat = max(
                self.seats.items(), key=lambda item: (item[1].live.held, item[1].live is grower)
            )
            self.pool.give([seat.live.drop_oldest()])
            self._shortened[slot] = self._shortened.get(slot, 0) + 1
        return self.pool.take()


def ring_pages(limits: EngineLimits, window: int) -> int:
    """Places in a call's ring: the window in pages."""
    return -(-window // limits.page_size)


def floor_pages(limits: EngineLimits, window: int) -> int:
    """Pages that every call is promised: `min_window_positions`, wherever in a page they begin."""
    least = min(limits.min_window_positions, window)
    return min(ring_pages(limits, window), -(-least // limits.page_size) + 1)


def least_pages(limits: EngineLimits, window: int) -> int:
    """Pages without which not even one call is admitted, with the scratch page."""
    prompt = min(limits.prompt_positions, window // 2)
    return 1 + floor_pages(limits, window) + -(-prompt // limits.page_size)


def admitted_calls(limits: EngineLimits, window: int) -> int:
    """Calls that are let in for certain, with the longest prompts: at most `limits.slots`.

    As many different prompts count as are kept; in `reference_compat` every call has its own.
    """
    prompt = -(-min(limits.prompt_positions, window // 2) // limits.page_size)
    kept = limits.slots if limits.reference_compat else max(1, limits.cached_prompts)
    floor, room = floor_pages(limits, window), limits.pages - 1
    each_its_own = room // (floor + prompt)
    calls = each_its_own if each_its_own < kept else (room - kept * prompt) // floor
    return max(0, min(limits.slots, calls))


def settle_pages(limits: EngineLimits, window: int) -> int:
    """Pages for full windows in all slots and the prompts to keep, with the scratch page."""
    prompt_pages = -(-limits.prompt_positions // limits.page_size)
    prompts = limits.slots if limits.reference_compat else limits.slots + limits.cached_prompts
    return 1 + limits.slots * ring_pages(limits, window) + prompts * prompt_pages
