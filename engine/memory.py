"""How a device's memory is divided: what stays once weights and rows stand goes to KV pages.

Plain numbers; the caller says how much is free. Knows no tensor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.config import EngineLimits, LMConfig
from engine.scheduler import least_pages, ring_pages, settle_pages

GIB = 1 << 30


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
    """

    weights: int
    sessions: int
    pages: int
    page: int
    reserve: int
    calls: int

    def __str__(self) -> str:
        """One line for the log."""
        return (
            f"{self.weights / GIB:.1f} GiB weights, {self.sessions / GIB:.1f} GiB codec state, "
            f"{self.pages / GIB:.1f} GiB in KV pages of "
            f"{self.page / 2**20:.1f} MiB, {self.reserve / GIB:.1f} GiB reserve: "
            f"{self.calls} calls with a full window"
        )


def page_bytes(config: LMConfig, page_size: int, value_bytes: int) -> int:
    """Bytes of one page over all layers."""
    return config.layers * 2 * config.dim * page_size * value_bytes


def check_pages(limits: EngineLimits, config: LMConfig) -> None:
    """Refuses a number of pages that was asked for and would let no call in.

    Raises:
        NoMemory: names both numbers.
    """
    least = least_pages(limits, config.window_positions)
    if 0 < limits.pages < least:
        raise NoMemory(f"{limits.pages} KV pages were asked for and one call alone needs {least}")


def plan(
    limits: EngineLimits,
    config: LMConfig,
    value_bytes: int,
    resident: int,
    free: int,
    reserve: int,
    sessions: int = 0,
) -> tuple[EngineLimits, MemoryPlan]:
    """Settles the number of pages: as many as wanted, or as many as fit.

    Args:
        limits: the engine's limits; `pages` = 0 asks for enough for everybody's full window.
        config: the language model's sizes.
        value_bytes: of one key or value entry.
        resident: bytes in use already.
        free: bytes that are free.
        reserve: bytes that must stay free.
        sessions: what of `resident` belongs to the slots.

    Raises:
        NoMemory: not even one call fits, or the pages that were asked for do not.
    """
    page = page_bytes(config, limits.page_size, value_bytes)
    fitting = (free - reserve) // page
    wanted = limits.pages or settle_pages(limits, config.window_positions)
    check_pages(limits, config)
    needed = limits.pages or least_pages(limits, config.window_positions)
    if needed > fitting:
        raise NoMemory(
            f"{needed} KV pages of {page >> 20} MiB are needed and {max(fitting, 0)} fit: "
            f"{free / GIB:.1f} GiB are free, of which {reserve / GIB:.1f} GiB are kept for work; "
            "ask for fewer pages or slots, a shorter prompt, or keys and values in fp8"
        )
    pages = min(wanted, fitting)
    calls = (pages - 1) // ring_pages(limits, config.window_positions)
    settled = replace(limits, pages=pages)
    return settled, MemoryPlan(resident - sessions, sessions, pages * page, page, reserve, calls)
