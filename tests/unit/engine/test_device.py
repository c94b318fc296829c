"""What is known of a card, and what follows from it for the kernels' tiles."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from engine.device import KIB, SHARED_BYTES, Device, typical
from engine.kernels.tiles import Tile, depth_tiles, temporal_tiles


def test_a_card_is_read_from_its_properties() -> None:
    """An L4 as PyTorch describes it."""
    found = Device.of(SimpleNamespace(name="NVIDIA L4", major=8, minor=9, multi_processor_count=58))
    assert found == Device("NVIDIA L4", (8, 9), 99 * KIB, 58)
    assert found.runs_kernels
    assert found.eight_bits == "fp8"


@pytest.mark.parametrize(
    ("capability", "runs", "eight_bits", "shared"),
    [
        ((7, 5), False, "int8", 99),
        ((8, 0), True, "int8", 163),
        ((8, 6), True, "int8", 99),
        ((9, 0), True, "fp8", 227),
        ((12, 0), True, "fp8", 99),
        ((13, 7), True, "fp8", 99),  # not known yet: the least of all
    ],
)
def test_what_follows_from_the_capability(
    capability: tuple[int, int], runs: bool, eight_bits: str, shared: int
) -> None:
    """Arithmetic, the cheaper 8-bit format, and shared memory."""
    card = typical(capability)
    assert (card.runs_kernels, card.eight_bits) == (runs, eight_bits)
    assert card.shared_bytes == shared * KIB


@pytest.mark.parametrize("capability", sorted(SHARED_BYTES))
@pytest.mark.parametrize("rows", [1, 17, 64, 128, 200])
@pytest.mark.parametrize("quantised", [False, True])
def test_tiles_keep_as_many_stages_as_fit(
    capability: tuple[int, int], rows: int, quantised: bool
) -> None:
    """At least two; on the largest cards as measured."""
    card = typical(capability)
    found = [temporal_tiles(rows, quantised, card), depth_tiles(rows, card)]
    for tiles in found:
        names = ("packed", "attended", "gate", "down")
        assert all(getattr(tiles, name).stages >= 2 for name in names)
        assert all(getattr(tiles, name).depth >= 32 for name in names)
    if card.shared_bytes == 227 * KIB and rows == 1:
        assert found[0].gate == Tile(64, 128, stages=3)


def test_a_tile_gives_up_stages_before_depth() -> None:
    """Fewer steps on their way, then shorter ones."""
    small = Device("small", (8, 6), 40 * KIB, 10)
    assert Tile(64, 128, stages=5).on(small, 16, 2).stages == 2
    tiny = Device("tiny", (8, 6), 12 * KIB, 10)
    assert Tile(64, 128, stages=5).on(tiny, 16, 2) == Tile(64, 64, stages=2)
