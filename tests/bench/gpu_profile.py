"""Where a tick's time goes on the device.

    python tests/bench/gpu_profile.py KV WEIGHTS SLOTS [CALLS ...]

Plays recorded ticks under PyTorch's profiler, every window full, and cuts the kernels of each tick
by their order: the codec's encoder, the temporal layers, the depth steps with the samplers, the
codec's decoder. Prints the curve's line and one more for each number of calls: milliseconds from
the first kernel of a part to its last, the kernels in it, the names that take longest, and the
longest pauses.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from engine.engine import PersonaPlexEngine
from engine.phases import span
from tests.bench.gpu_engine import build, fill_windows, join, report, report_point
from tests.bench.true_size import machine

TICKS = 4
NAMES = 8
PARTS = ("encode", "temporal", "depth", "decode")


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel's run: its name, and when it began and ended, in microseconds."""

    name: str
    begin_us: float
    end_us: float


def kernels_of(engine: PersonaPlexEngine, count: int) -> list[list[Kernel]]:
    """The kernels of a few ticks, in order, a list a tick."""
    rows = engine.seating.view(span(engine.limits, count - 1))
    engine._run(rows)
    ticks = []
    for _ in range(TICKS):
        torch.cuda.synchronize()
        with profile(activities=[ProfilerActivity.CUDA]) as watched:
            engine._run(rows)
            torch.cuda.synchronize()
        seen = [event for event in watched.events() if event.device_type == DeviceType.CUDA]
        runs = [Kernel(e.name, e.time_range.start, e.time_range.end) for e in seen]
        ticks.append(sorted(runs, key=lambda run: run.begin_us))
    engine.rows.cache.position[:count] -= 1 + TICKS
    return ticks


def cut(runs: list[Kernel]) -> dict[str, list[Kernel]]:
    """A tick's kernels by part."""
    first = next(index for index, run in enumerate(runs) if run.name.startswith("_embed"))
    samplers = [index for index, run in enumerate(runs) if run.name.startswith("_sample")]
    bounds = (0, first, samplers[0], samplers[-1] + 1, len(runs))
    return {name: runs[bounds[i] : bounds[i + 1]] for i, name in enumerate(PARTS)}


def pauses(runs: list[Kernel]) -> list[tuple[float, str, str]]:
    """The longest times in which no kernel ran: microseconds, the kernels before and behind."""
    found, busy_until = [], runs[0]
    for run in runs[1:]:
        if run.begin_us > busy_until.end_us:
            spent = round(run.begin_us - busy_until.end_us, 1)
            found.append((spent, busy_until.name[:40], run.name[:40]))
        busy_until = max(busy_until, run, key=lambda each: each.end_us)
    return sorted(found, reverse=True)[:3]


def report_ticks(engine: PersonaPlexEngine, count: int, kv: str, weights: str) -> None:
    """One line: the medians would differ by little, so the shortest tick speaks."""
    ticks = kernels_of(engine, count)
    parts = cut(min(ticks, key=lambda runs: runs[-1].end_us - runs[0].begin_us))
    found: dict[str, object] = {}
    for name, runs in parts.items():
        spent: Counter[str] = Counter()
        for run in runs:
            spent[run.name[:60]] += run.end_us - run.begin_us
        found[name] = {
            "ms": round((runs[-1].end_us - runs[0].begin_us) / 1e3, 3),
            "busy_ms": round(sum(spent.values()) / 1e3, 3),
            "kernels": len(runs),
            "longest_pauses": pauses(runs),
            "longest_us": {key: round(us, 1) for key, us in spent.most_common(NAMES)},
        }
    report(bench="profile", **machine(), calls=count, kv=kv, weights=weights, **found)


def main(kv: str, weights: str, slots: str, *calls: str) -> None:
    """One engine, several numbers of calls."""
    engine = build(kv, weights, int(slots))
    live = int(slots)
    join(engine, live)
    fill_windows(engine, range(live))
    for count in sorted({live, *map(int, calls)}, reverse=True):
        while live > count:
            live -= 1
            engine.release(live)
        report_point(engine, count, kv, weights)
        report_ticks(engine, count, kv, weights)


if __name__ == "__main__":
    main(*sys.argv[1:])
