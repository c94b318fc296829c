"""Dividing a device's memory, in plain numbers."""

from __future__ import annotations

import pytest

from engine.config import EngineLimits, Execution, Format, LMConfig
from engine.memory import (
    GIB,
    NoMemory,
    Room,
    choose_formats,
    fitting_slots,
    page_bytes,
    plan,
    temporal_weights,
)

SIZES = LMConfig()
LIMITS = EngineLimits(slots=64, prompt_positions=640)


def test_page_of_the_published_model() -> None:
    """64 positions of 512 KiB in bf16, half of that in fp8; int8 keeps a scale a vector."""
    assert page_bytes(SIZES, 64, "bf16") == 64 * 512 * 1024
    assert page_bytes(SIZES, 64, "fp8") == 64 * 256 * 1024
    assert page_bytes(SIZES, 64, "int8") == 64 * 260 * 1024


def test_everything_wanted_fits() -> None:
    """With memory to spare there are pages for every slot's full window."""
    settled, memory = plan(LIMITS, SIZES, "fp8", 17 * GIB, 80 * GIB, 3 * GIB, 2 * GIB)
    assert memory.calls >= 64
    assert memory.pages == settled.pages * memory.page <= 77 * GIB
    assert (memory.weights, memory.sessions) == (15 * GIB, 2 * GIB)
    assert "15.0 GiB weights, 2.0 GiB codec state" in str(memory)


def test_less_than_wanted_takes_what_there_is() -> None:
    """The reserve stays free to the last page."""
    settled, memory = plan(LIMITS, SIZES, "bf16", 17 * GIB, 60 * GIB, 3 * GIB)
    assert settled.pages == 57 * GIB // memory.page
    assert memory.calls == (settled.pages - 1) // 47
    assert "calls with a full window" in str(memory)


@pytest.mark.parametrize("free", [2, 4])
def test_not_even_one_call_fits(free: int) -> None:
    """The message says what is needed and what is there."""
    with pytest.raises(NoMemory, match=f"needed and .* fit: {free}.0 GiB are free"):
        plan(LIMITS, SIZES, "bf16", 70 * GIB, free * GIB, 3 * GIB)


def test_pages_that_were_asked_for_are_not_cut_down() -> None:
    """Somebody who names a number gets it or an error."""
    asked = EngineLimits(slots=4, pages=1000)
    settled, _ = plan(asked, SIZES, "bf16", 0, 60 * GIB, 3 * GIB)
    assert settled.pages == 1000
    with pytest.raises(NoMemory, match="1000 KV pages"):
        plan(asked, SIZES, "bf16", 0, 30 * GIB, 3 * GIB)


def test_fewer_pages_than_one_call_needs_are_refused() -> None:
    """Such an engine would start and then turn every call away."""
    asked = EngineLimits(slots=4, pages=36)
    with pytest.raises(NoMemory, match="36 KV pages were asked for and one call alone needs 38"):
        plan(asked, SIZES, "bf16", 0, 60 * GIB, 3 * GIB)


def room(gib: float, eight_bits: Format = "fp8") -> Room:
    """A card of that size with the plain weights on it."""
    free = round((gib - 15.1) * GIB)
    return Room(free, 3 * GIB, round(15.8 * 2**20), temporal_weights(SIZES), eight_bits)


@pytest.mark.parametrize(
    ("gib", "eight_bits", "slots", "chosen", "taken"),
    [
        (139.8, "fp8", 32, ("bf16", "bf16"), 32),  # H200: everything in full
        (79.1, "fp8", 64, ("fp8", "bf16"), 64),  # H100
        (44.4, "fp8", 32, ("fp8", "bf16"), 32),  # L40S
        (39.4, "int8", 32, ("int8", "bf16"), 32),  # A100
        (22.0, "fp8", 32, ("fp8", "fp8"), 20),  # L4
        (22.0, "int8", 32, ("int8", "int8"), 20),  # A10
    ],
)
def test_formats_and_slots_follow_the_card(
    gib: float, eight_bits: Format, slots: int, chosen: tuple[Format, Format], taken: int
) -> None:
    """As little rounding as the memory allows; no more slots than calls are let in."""
    limits, card = EngineLimits(slots=slots), room(gib, eight_bits)
    kv, weights = choose_formats(Execution(), limits, SIZES, card)
    assert (kv, weights) == chosen
    fitted = fitting_slots(limits, SIZES, card, kv, weights)
    assert fitted.slots == taken
    free = card.free + (card.saved if weights != "bf16" else 0) - taken * card.row
    _, memory = plan(fitted, SIZES, kv, 0, free, card.reserve)
    assert memory.admitted == taken


def test_formats_that_were_asked_for_stay() -> None:
    """Whatever the card would choose; without kernels weights are plain."""
    limits, small = EngineLimits(slots=32), room(22.0)
    asked = Execution(kv="bf16", weights="bf16")
    assert choose_formats(asked, limits, SIZES, small) == ("bf16", "bf16")
    assert choose_formats(Execution(kv="int8"), limits, SIZES, small) == ("int8", "fp8")
    plain = Execution(kernels=False)
    assert choose_formats(plain, limits, SIZES, small) == ("fp8", "bf16")
    slim = Execution(weights="int8")
    assert choose_formats(slim, EngineLimits(slots=4), SIZES, room(139.8)) == ("bf16", "int8")


def test_a_card_too_small_for_one_call_keeps_one_slot() -> None:
    """What does not fit is then said in numbers by the plan."""
    fitted = fitting_slots(EngineLimits(slots=9, phases=2), SIZES, room(16.0), "bf16", "bf16")
    assert (fitted.slots, fitted.phases) == (1, 1)
