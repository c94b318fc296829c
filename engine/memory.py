"""How a device's memory is divided: what stays once weights and rows stand goes to KV pages.

Plain numbers; the caller says how much is free. Knows no tensor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.config import EngineLimits, LMConfig
from engine.scheduler import ring_pages, settle_pages

GIB = 1 << 30


class NoMemory(Exception):
    """The device cannot hold the engine; the message says what is needed and what is there."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What the device's memory is for, in bytes.

    Attributes:
        resident: weights, codec state and everything else that was there before the pages.
        pages: all KV pages together.
        page: one page over all layers.
        reserve: kept for graphs, workspaces and prompt work.
        calls: how many calls with a full window the pages hold, prompts shared.
    """

    resident: int
    pages: int
    page: int
    reserve: int
    calls: int

    def __str__(self) -> str:
        """One line for the log."""
        return (
            f"{self.resident / GIB:.1f} GiB resident, {self.pages / GIB:.1f} GiB in KV pages of "
            f"{self.page / 2**20:.1f} MiB, {self.reserve / GIB:.1f} GiB reserve: "
            f"{self.calls} calls with a full window"
        )


def page_bytes(config: LMConfig, page_size: int, value_bytes: int) -> int:
    """Bytes of one page over all layers."""
    return config.layers * 2 * config.dim * page_size * value_bytes


def plan(
    limits: EngineLimits, config: LMConfig, value_bytes: int, resident: int, free: int, reserve: int
) -> tuple[EngineLimits, MemoryPlan]:
    """Settles the number of pages: as many as wanted, or as many as fit.

    Args:
        limits: the engine's limits; `pages` = 0 asks for enough for everybody's full window.
        config: the language model's sizes.
        value_bytes: of one key or value entry.
        resident: bytes in use already.
        free: bytes that are free.
        reserve: bytes that must stay free.

    Raises:
        NoMemory: not even one call fits, or the pages that were asked for do not.
    """
    page = page_bytes(config, limits.page_size, value_bytes)
    fitting = (free - reserve) // page
    wanted = limits.pages or settle_pages(limits, config.window_positions)
    ring = ring_pages(limits, config.window_positions)
    least = 1 + ring + -(-limits.prompt_positions // limits.page_size)
    if (limits.pages and wanted > fitting) or fitting < least:
        raise NoMemory(
            f"{max(wanted if limits.pages else least, least)} KV pages of {page >> 20} MiB are "
            f"needed and {max(fitting, 0)} fit: {free / GIB:.1f} GiB are free, of which "
            f"{reserve / GIB:.1f} GiB are kept for work; lower the slots or pages, or use fp8"
        )
    pages = min(wanted, fitting)
    calls = (pages - 1) // ring
    settled = replace(limits, pages=pages)
    return settled, MemoryPlan(resident, pages * page, page, reserve, calls)
