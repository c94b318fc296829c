"""Several calls at once on this machine: does the 80 ms clock hold? One JSON line.

All calls share one engine and one tick thread, as in a worker. Each caller asks one question
after the other, out of step with the others, for the given time.

    python tests/bench/cascade_calls.py --calls 4 --seconds 45
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import deque
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.cascade.engine import CascadeEngine, CascadeSettings
from engine.interface import FRAME_S, FRAME_SAMPLES
from personas import library
from tests.bench.cascade_caller import (
    AUDIBLE,
    LINE_NOISE,
    frames,
    kept_lines,
    session_spec,
)
from tests.recordings import read_mulaw

Samples = NDArray[np.int16]

DATA = Path(__file__).parents[1] / "data" / "cascade_callers" / "heldout"
THINKING_S = 1.0  # between the agent's last sound and the caller's next question


class Questioner:
    """A caller who asks, listens, thinks and asks again."""

    def __init__(self, index: int, questions: list[Samples]) -> None:
        self._rng = np.random.default_rng(index)
        self._questions = deque(questions)
        self._questions.rotate(-3 * index)
        self._speech: deque[Samples] = deque()
        self._quiet_s = -index * 0.7  # out of step with the others
        self._asked_s: float | None = None
        self.gaps: list[float] = []

    def frame(self) -> Samples:
        """Returns the next frame of this caller."""
        if not self._speech and self._quiet_s >= THINKING_S and self._asked_s is None:
            self._speech.extend(frames(self._questions[0]))
            self._questions.rotate(-1)
        frame = self._rng.normal(0, LINE_NOISE, FRAME_SAMPLES)
        if self._speech:
            piece = self._speech.popleft()
            frame[: len(piece)] += piece
            if not self._speech:
                self._asked_s = 0.0
        return np.clip(frame, -32_768, 32_767).astype(np.int16)

    def hear(self, pcm: Samples) -> None:
        """Takes the agent's frame of the same tick."""
        sounded = bool(np.abs(pcm).max() > AUDIBLE)
        if self._asked_s is not None:
            if sounded or self._asked_s > 6.0:
                self.gaps.append(self._asked_s)
                self._asked_s = None
            else:
                self._asked_s += FRAME_S
        self._quiet_s = 0.0 if sounded else self._quiet_s + FRAME_S


def main() -> None:
    """Runs the calls in real time and prints one JSON line."""
    options = argparse.ArgumentParser()
    options.add_argument("--calls", type=int, default=4)
    options.add_argument("--seconds", type=float, default=45.0)
    options.add_argument("--cache", type=Path)
    chosen = options.parse_args()
    personas = library.load()
    engine = CascadeEngine(
        CascadeSettings(
            slots=chosen.calls,
            cache_folder=chosen.cache,
            fixed_lines=kept_lines(personas, "bank"),
        )
    )
    questions = [read_mulaw(path) for path in sorted(DATA.glob("bank-*.wav"))]
    callers = {}
    for index in range(chosen.calls):
        slot = engine.admit(session_spec(personas, "bank", f"call-{index}"))
        callers[slot] = Questioner(index, questions)
    ready: list[int] = []
    while len(ready) < chosen.calls:
        ready += engine.prime()
        time.sleep(0.01)
    ticks, late, times = int(chosen.seconds / FRAME_S), 0, []
    began_s = time.perf_counter()
    for tick in range(ticks):
        due_s = began_s + tick * FRAME_S
        time.sleep(max(0.0, due_s - time.perf_counter()))
        start_s = time.perf_counter()
        result = engine.tick({slot: caller.frame() for slot, caller in callers.items()})
        times.append(time.perf_counter() - start_s)
        late += time.perf_counter() > due_s + FRAME_S
        for slot, output in result.outputs.items():
            callers[slot].hear(output.pcm)
    gaps = [gap for caller in callers.values() for gap in caller.gaps]
    print(
        json.dumps(
            {
                "bench": "cascade_calls",
                "calls": chosen.calls,
                "cores": os.cpu_count(),
                "ticks": ticks,
                "late_ticks": late,
                "tick_ms": {
                    "p50": round(float(np.median(times)) * 1e3, 2),
                    "p99": round(float(np.percentile(times, 99)) * 1e3, 2),
                    "max": round(max(times) * 1e3, 2),
                },
                "answers": len(gaps),
                "gap_after_recording_s": {
                    "p50": round(float(np.median(gaps)), 2),
                    "p95": round(float(np.percentile(gaps, 95)), 2),
                },
                "load_before": round(os.getloadavg()[0], 1),
            }
        )
    )
    engine.close()


if __name__ == "__main__":
    main()
