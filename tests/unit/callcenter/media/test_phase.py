"""Frame boundaries against a worker's ticks, alone and through the uplink."""

from __future__ import annotations

import numpy as np
import pytest

from callcenter.media.g711 import encode_ulaw
from callcenter.media.phase import MARGIN_S, WAITS_IN_FLIGHT, WAITS_JUDGED, TickPhase
from callcenter.media.units import FRAME_S, PACKET_S
from callcenter.media.uplink import Uplink

LOUD = encode_ulaw((8_000 * np.sin(np.arange(160) * 0.7)).astype(np.int16))
SILENT = b"\xff" * 160


def told(waits_s: list[float]) -> TickPhase:
    """A phase that has heard these waits."""
    phase = TickPhase()
    for waited_s in waits_s:
        phase.told(waited_s)
    return phase


@pytest.mark.parametrize(
    ("waited_s", "packets"), [(0.0, 0), (0.03, 0), (0.035, 1), (0.055, 2), (0.079, 3), (5.0, 3)]
)
def test_whole_packets_that_leave_the_margin(waited_s: float, packets: int) -> None:
    """Never so many that a frame would miss its tick."""
    assert told([waited_s] * WAITS_JUDGED).packets_to_insert() == packets


def test_the_shortest_wait_decides() -> None:
    """Jitter makes some frames early; the latest must still reach its tick."""
    assert told([0.07] * (WAITS_JUDGED - 1) + [0.02]).packets_to_insert() == 0


def test_a_few_waits_decide_nothing() -> None:
    """A second of them is needed, and another after each shift."""
    assert told([0.07] * (WAITS_JUDGED - 1)).packets_to_insert() == 0
    phase = told([0.07] * WAITS_JUDGED)
    phase.inserted()
    assert phase.packets_to_insert() == 0
    for _ in range(WAITS_IN_FLIGHT):  # cut before the shift
        phase.told(0.07)
    for _ in range(WAITS_JUDGED):
        phase.told(0.015)
    assert phase.packets_to_insert() == 0


def waits_s(tick_offset_s: float, payloads: list[bytes]) -> tuple[Uplink, list[float]]:
    """Sends packets in real time to a worker that ticks at an offset; returns its waits."""
    uplink, waits = Uplink("audio/x-mulaw", 8_000), []
    for index, payload in enumerate(payloads):
        now = index * PACKET_S
        uplink.push(payload, now)
        while uplink.pop(now) is not None:
            waits.append((tick_offset_s - now) % FRAME_S)
            uplink.waited(waits[-1])
    return uplink, waits


@pytest.mark.parametrize("tick_offset_s", [0.001, 0.015, 0.033, 0.055, 0.07])
def test_the_wait_falls_under_two_packets(tick_offset_s: float) -> None:
    """Wherever the ticks lie, with nothing lost."""
    uplink, waits = waits_s(tick_offset_s, [SILENT] * 200)
    assert waits[-1] >= MARGIN_S - 0.001 or waits[0] == pytest.approx(waits[-1])
    assert waits[-1] < MARGIN_S + PACKET_S
    assert uplink.counters.packets_inserted <= 3
    assert uplink.counters.frames_dropped_silent == 0


def test_speech_is_not_torn_apart() -> None:
    """The shift waits for a pause."""
    uplink, waits = waits_s(0.055, [LOUD] * 200 + [SILENT])
    assert len({round(wait, 4) for wait in waits}) == 1
    assert uplink.counters.packets_inserted > 0
