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


def left_out(phase: TickPhase, silent_packets: int = 10) -> int:
    """How many of the next silent packets it leaves out."""
    return sum(phase.leave_out() for _ in range(silent_packets))


@pytest.mark.parametrize(
    ("waited_s", "packets"), [(0.0, 0), (0.03, 0), (0.035, 1), (0.055, 2), (0.079, 3), (5.0, 3)]
)
def test_whole_packets_that_leave_the_margin(waited_s: float, packets: int) -> None:
    """Never so many that a frame would miss its tick."""
    assert left_out(told([waited_s] * WAITS_JUDGED)) == packets


def test_the_shortest_wait_decides() -> None:
    """Jitter makes some frames early; the latest must still reach its tick."""
    assert left_out(told([0.07] * (WAITS_JUDGED - 1) + [0.02])) == 0


def test_a_few_waits_decide_nothing() -> None:
    """A second of them is needed."""
    assert left_out(told([0.07] * (WAITS_JUDGED - 1))) == 0


def test_a_shift_is_judged_by_what_comes_after_it() -> None:
    """Reports of frames that were cut before it say nothing about it."""
    phase = told([0.07] * WAITS_JUDGED)
    assert left_out(phase) == 2
    for _ in range(WAITS_IN_FLIGHT):
        phase.told(0.07)
    for _ in range(WAITS_JUDGED - 1):
        phase.told(0.079)
        assert left_out(phase, 1) == 0
    phase.told(0.079)
    assert left_out(phase) == 3


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


@pytest.mark.parametrize(
    ("tick_offset_s", "packets"), [(0.001, 0), (0.015, 1), (0.034, 2), (0.055, 3), (0.07, 0)]
)
def test_frames_are_ready_just_before_the_tick(tick_offset_s: float, packets: int) -> None:
    """Wherever the ticks lie, and the worker gets one frame a tick throughout."""
    uplink, waits = waits_s(tick_offset_s, [SILENT] * 200)
    assert uplink.counters.packets_left_out == packets
    assert waits[-1] == pytest.approx(waits[0] - packets * PACKET_S)
    assert waits[-1] < MARGIN_S + PACKET_S
    assert uplink.counters.frames_dropped_silent == 0


def test_speech_is_not_torn_apart() -> None:
    """The shift waits for a pause."""
    uplink, waits = waits_s(0.055, [LOUD] * 200)
    assert len({round(wait, 4) for wait in waits}) == 1
    assert uplink.counters.packets_left_out == 0
    for index in range(5):
        uplink.push(SILENT, 4.0 + index * PACKET_S)
    assert uplink.counters.packets_left_out == 3
