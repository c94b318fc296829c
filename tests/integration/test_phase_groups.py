"""The tick thread over an engine with two phase groups."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

import pytest
from prometheus_client import REGISTRY

from callcenter.worker.sessions import Post, Session
from callcenter.worker.ticker import Ticker
from engine.interface import Frame, SessionSpec, TickResult
from engine.rehearsal import RehearsalEngine

FRAMES = 4
PERIOD_S = 0.08


class Halves(RehearsalEngine):
    """Even slots and odd slots."""

    phases = 2

    def __init__(self) -> None:
        super().__init__(4)
        self.ticks: list[tuple[float, set[int]]] = []

    def phase_of(self, slot: int) -> int:
        return slot % 2

    def tick(self, inputs: Mapping[int, Frame]) -> TickResult:
        self.ticks.append((time.monotonic(), set(inputs)))
        return super().tick(inputs)


def ticks_counted() -> float:
    """In-time ticks of both groups, as the metrics page has them."""
    labels = ({"engine": "rehearsal", "phase": p, "outcome": "in_time"} for p in "01")
    return sum(REGISTRY.get_sample_value("engine_phase_ticks_total", each) or 0 for each in labels)


@pytest.mark.alone
def test_groups_tick_by_turns_and_every_call_is_served() -> None:
    """Frames go to the group that was gathered; the two never share a tick."""
    enough, engine = threading.Event(), Halves()
    sessions = [
        Session(SessionSpec(f"CA{n}", "bank", "Be kind.", "nora"), lambda delivery: None)
        for n in range(4)
    ]

    def watch(post: Post) -> None:
        if all(session.frames_out >= FRAMES for session in sessions):
            enough.set()

    before, ticker = ticks_counted(), Ticker(engine, watch)
    ticker.start()
    try:
        for ready in [ticker.admit(session) for session in sessions]:
            ready.result(timeout=3)
        assert enough.wait(timeout=3)
    finally:
        ticker.stop()
    slots = [each for _, each in engine.ticks if len(each) == 2]
    assert all(each in ({0, 2}, {1, 3}) for each in slots)
    counts = [slots.count({0, 2}), slots.count({1, 3})]
    assert abs(counts[0] - counts[1]) <= 1
    assert ticks_counted() >= before + 2 * FRAMES
    even, odd = ([began for began, each in engine.ticks if slot in each] for slot in (0, 1))
    apart = sorted((later - earlier) % PERIOD_S for later, earlier in zip(odd, even, strict=False))
    assert apart[len(apart) // 2] == pytest.approx(PERIOD_S / 2, abs=0.02)
