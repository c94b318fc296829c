"""Dividing a device's memory, in plain numbers."""

from __future__ import annotations

import pytest

from engine.config import EngineLimits, LMConfig
from engine.memory import GIB, NoMemory, page_bytes, plan

SIZES = LMConfig()
LIMITS = EngineLimits(slots=64, prompt_positions=640)


def test_page_of_the_published_model() -> None:
    """64 positions of 512 KiB in bf16, half of that in fp8."""
    assert page_bytes(SIZES, 64, 2) == 64 * 512 * 1024
    assert page_bytes(SIZES, 64, 1) == 64 * 256 * 1024


def test_everything_wanted_fits() -> None:
    """With memory to spare there are pages for every slot's full window."""
    settled, memory = plan(LIMITS, SIZES, 1, 17 * GIB, 80 * GIB, 3 * GIB, 2 * GIB)
    assert memory.calls >= 64
    assert memory.pages == settled.pages * memory.page <= 77 * GIB
    assert (memory.weights, memory.sessions) == (15 * GIB, 2 * GIB)
    assert "15.0 GiB weights, 2.0 GiB codec state" in str(memory)


def test_less_than_wanted_takes_what_there_is() -> None:
    """The reserve stays free to the last page."""
    settled, memory = plan(LIMITS, SIZES, 2, 17 * GIB, 60 * GIB, 3 * GIB)
    assert settled.pages == 57 * GIB // memory.page
    assert memory.calls == (settled.pages - 1) // 47
    assert "calls with a full window" in str(memory)


@pytest.mark.parametrize("free", [2, 4])
def test_not_even_one_call_fits(free: int) -> None:
    """The message says what is needed and what is there."""
    with pytest.raises(NoMemory, match=f"needed and .* fit: {free}.0 GiB are free"):
        plan(LIMITS, SIZES, 2, 70 * GIB, free * GIB, 3 * GIB)


def test_pages_that_were_asked_for_are_not_cut_down() -> None:
    """Somebody who names a number gets it or an error."""
    asked = EngineLimits(slots=4, pages=1000)
    settled, _ = plan(asked, SIZES, 2, 0, 60 * GIB, 3 * GIB)
    assert settled.pages == 1000
    with pytest.raises(NoMemory, match="1000 KV pages"):
        plan(asked, SIZES, 2, 0, 30 * GIB, 3 * GIB)


def test_fewer_pages_than_one_call_needs_are_refused() -> None:
    """Such an engine would start and then turn every call away."""
    asked = EngineLimits(slots=4, pages=36)
    with pytest.raises(NoMemory, match="36 KV pages were asked for and one call alone needs 38"):
        plan(asked, SIZES, 2, 0, 60 * GIB, 3 * GIB)
