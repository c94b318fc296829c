"""Draws calls against tick time from the benchmark's own lines.

    python tests/bench/plot_curve.py engine/benchmarks/h100.jsonl engine/benchmarks/h100.svg

Side by side: this engine's medians, the public reference's, and the floor: the bytes that a tick
must read (weights once, every call's full window) over the measured copy bandwidth. Needs the
`bench` extra.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

from matplotlib import pyplot as plt

MOST_CALLS = 110
COPY_TB_S = 3.0
WEIGHTS_GB = 14.75  # bf16
CALL_GB = {"bf16": 1.573, "fp8": 0.786}  # 3000 positions
BUDGET_MS = 80

COLOURS = {
    "reference": "#b03a2e", "bf16 KV": "#2471a3", "fp8 KV": "#1e8449",
    "fp8 KV, fp8 weights, elastic": "#7d3c98",
}  # fmt: skip
LABEL = {"textcoords": "offset points", "xytext": (6, 5), "annotation_clip": False}

Curve = list[tuple[float, float]]


def curves(lines: list[str]) -> dict[str, Curve]:
    """Name -> points (calls, median milliseconds); a later line about a point counts."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for entry in map(json.loads, lines):
        if entry["bench"] == "reference":
            found["reference"][entry["calls"]] = entry["p50_ms"]
        elif entry["bench"] == "curve":
            weights = ", fp8 weights, elastic" if entry["weights"] == "fp8" else ""
            found[f"{entry['kv']} KV{weights}"][entry["calls"]] = entry["p50_ms"]
    return {name: sorted(points.items()) for name, points in found.items()}


def floor(kv: str) -> Curve:
    """The time that the bytes alone take."""
    ends = (1, MOST_CALLS)
    return [(calls, (WEIGHTS_GB + calls * CALL_GB[kv]) / COPY_TB_S) for calls in ends]


def draw(found: dict[str, Curve], to: Path) -> None:
    """The whole sheet."""
    # Text stays text, and the same lines give the same file.
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "", "font.size": 10})
    figure, axes = plt.subplots(figsize=(9, 4.8), layout="constrained")
    for name, points in found.items():
        axes.plot(*zip(*points, strict=True), "o-", color=COLOURS[name], markersize=4)
        axes.annotate(name, points[-1], color=COLOURS[name], **LABEL)
    for kv in CALL_GB:
        points, colour = floor(kv), COLOURS[f"{kv} KV"]
        axes.plot(*zip(*points, strict=True), ":", color=colour)
        axes.annotate(f"floor, {kv} KV", points[-1], color=colour, **LABEL)
    axes.axhline(BUDGET_MS, color="#999", linestyle="--")
    axes.annotate("80 ms: the next frame is due", (2, BUDGET_MS + 1.5), color="#777")
    axes.set(xlim=(0, MOST_CALLS), ylim=(0, BUDGET_MS + 8))
    axes.set(xlabel="calls, each with a full window of 3000 positions", ylabel="median tick, ms")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(to, metadata={"Date": None})


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    draw(curves(lines), Path(sys.argv[2]))
