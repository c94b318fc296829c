"""How a device's memory is divided: what stays once weights and rows stand goes to KV pages.

Plain numbers; the caller says how much is free. Knows no tensor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.config import EngineLimits, Execution, Format, LMConfig
from engine.scheduler import admitted_calls, least_pages, ring_pages, settle_pages

GIB = 1 << 30
SCALE_BYTES = 2  # of a position in int8
WORTH_IT = 1.2  # times the calls: what weights in 8 bits must bring

REMEDY = (
    "ask for fewer WORKER_SLOTS or KV_PAGES, a smaller PROMPT_POSITIONS, or KV_FORMAT and "
    "WEIGHTS_FORMAT in 8 bits, or take a card with more memory"
)


class NoMemory(Exception):
    """The device cannot hold the engine; the message says what is needed and what is there."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What the device's memory is for, in bytes.

    Attributes:
        weights: the weights and everything else that was there before the pages.
        sessions: codec state and the rest of the slots' rows.
        pages: all KV pages together.
        page: one page over all layers.
        reserve: kept for graphs, workspaces and prompt work.
        calls: how many calls with a full window the pages hold, prompts shared.
        admitted: how many calls are let in: with the elastic window at its shortest.
        kv: how keys and values are kept.
    """

    weights: int
    sessions: int
    pages: int
    page: int
    reserve: int
    calls: int
    admitted: int
    kv: Format

    def __str__(self) -> str:
        """One line for the log."""
        return (
            f"{self.weights / GIB:.1f} GiB weights, {self.sessions / GIB:.1f} GiB codec state, "
            f"{self.pages / GIB:.1f} GiB in {self.kv} KV pages of "
            f"{self.page / 2**20:.1f} MiB, {self.reserve / GIB:.1f} GiB reserve: "
            f"{self.calls} calls with a full window, {self.admitted} let in"
        )


@dataclass(frozen=True, slots=True)
class Room:
    """A device before the engine stands on it.

    Attributes:
        free: bytes, with the plain weights loaded.
        reserve: of them, bytes that must stay free.
        row: bytes of one slot's rows.
        saved: bytes that the temporal layers' weights in 8 bits would free.
        eight_bits: the 8-bit format that suits the card.
    """

    free: int
    reserve: int
    row: int
    saved: int
    eight_bits: Format


def page_bytes(config: LMConfig, page_size: int, kind: Format, plain_bytes: int = 2) -> int:
    """Bytes of one page over all layers, scales included."""
    vector = config.head_dim * (plain_bytes if kind == "bf16" else 1)
    vector += SCALE_BYTES if kind == "int8" else 0
    return config.layers * 2 * config.heads * page_size * vector


def temporal_weights(config: LMConfig) -> int:
    """Numbers in the temporal layers' products: what 8-bit weights keep in one byte each."""
    return config.layers * config.dim * (4 * config.dim + 3 * config.ffn_dim)


def check_pages(limits: EngineLimits, config: LMConfig) -> None:
    """Refuses a number of pages that was asked for and would let no call in.

    Raises:
        NoMemory: names both numbers.
    """
    least = least_pages(limits, config.window_positions)
    if 0 < limits.pages < least:
        raise NoMemory(f"{limits.pages} KV pages were asked for and one call alone needs {least}")


def choose_formats(
    execution: Execution, limits: EngineLimits, config: LMConfig, room: Room
) -> tuple[Format, Format]:
    """Settles what `auto` leaves open: keys and values, weights.

    Keys and values are plain if every slot's full window fits so. Weights are plain if every slot's
    call is let in, or if 8 bits would let hardly more in: their products cost time with many calls.
    """

    def pages(kv: Format, weights: Format) -> int:
        free = room.free + (room.saved if weights != "bf16" else 0)
        free -= room.reserve + limits.slots * room.row
        fitting = max(0, free) // page_bytes(config, limits.page_size, kv)
        return min(fitting, limits.pages or settle_pages(limits, config.window_positions))

    def admitted(kv: Format, weights: Format) -> int:
        found = replace(limits, pages=pages(kv, weights))
        return admitted_calls(found, config.window_positions)

    narrow = room.eight_bits if execution.kv == "auto" else execution.kv
    slim = room.eight_bits if execution.weights == "auto" else execution.weights
    plain: Format = "bf16" if execution.weights == "auto" or not execution.kernels else slim
    wanted = limits.pages or settle_pages(limits, config.window_positions)
    if execution.kv == "auto" and pages("bf16", plain) >= wanted:
        return "bf16", plain
    let_in = admitted(narrow, plain)
    gains = admitted(narrow, slim) >= WORTH_IT * let_in
    return narrow, slim if execution.kernels and let_in < limits.slots and gains else plain


def fitting_slots(
    limits: EngineLimits, config: LMConfig, room: Room, kv: Format, weights: Format
) -> EngineLimits:
    """No more slots than there will be pages for: each has rows that would take memory for nothing.

    At least one; whether that fits is said by `plan`.
    """
    free = room.free + (room.saved if weights != "bf16" else 0) - room.reserve
    page = page_bytes(config, limits.page_size, kv)
    wanted = limits.pages or settle_pages(limits, config.window_positions)
    for slots in range(limits.slots, 1, -1):
        pages = min(wanted, max(0, free - slots * room.row) // page)
        if admitted_calls(replace(limits, pages=pages), config.window_positions) >= slots:
            return with_slots(limits, slots)
    return with_slots(limits, 1)


def with_slots(limits: EngineLimits, slots: int) -> EngineLimits:
    """The limits with other slots, and no more phase groups than there are of them."""
    return replace(limits, slots=slots, phases=min(limits.phases, slots))


def plan(
    limits: EngineLimits,
    config: LMConfig,
    kv: Format,
    resident: int,
    free: int,
    reserve: int,
    sessions: int = 0,
) -> tuple[EngineLimits, MemoryPlan]:
    """Settles the number of pages: as many as wanted, or as many as fit.

    Args:
        limits: the engine's limits; `pages` = 0 asks for enough for everybody's full window.
        config: the language model's sizes.
        kv: how keys and values are kept.
        resident: bytes in use already.
        free: bytes that are free.
        reserve: bytes that must stay free.
        sessions: what of `resident` belongs to the slots.

    Raises:
        NoMemory: not even one call fits, or the pages that were asked for do not.
    """
    window = config.window_positions
    page = page_bytes(config, limits.page_size, kv)
    fitting = (free - reserve) // page
    wanted = limits.pages or settle_pages(limits, window)
    check_pages(limits, config)
    needed = limits.pages or least_pages(limits, window)
    if needed > fitting:
        raise NoMemory(
            f"{needed} KV pages of {page / 2**20:.1f} MiB are needed and {max(fitting, 0)} fit: "
            f"{free / GIB:.1f} GiB are free, of which {reserve / GIB:.1f} GiB are kept for work "
            f"(GPU_RESERVE_GIB); {REMEDY}"
        )
    settled = replace(limits, pages=min(wanted, fitting))
    return settled, MemoryPlan(
        weights=resident - sessions,
        sessions=sessions,
        pages=settled.pages * page,
        page=page,
        reserve=reserve,
        calls=(settled.pages - 1) // ring_pages(limits, window),
        admitted=admitted_calls(settled, window),
        kv=kv,
    )
