"""Draws calls against tick time from the benchmark's own lines.

    python tests/bench/plot_curve.py engine/benchmarks/h100.jsonl engine/benchmarks/h100.svg

Side by side: this engine's medians, the public reference's, and the floor: the bytes that a tick
must read (weights once, every call's full window) over the measured copy bandwidth.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 800, 440, 56, 44, 20, 190
MOST_CALLS, MOST_MS = 110, 85
COPY_TB_S = 3.0
WEIGHTS_GB = {"bf16": 14.75, "fp8": 8.17}
CALL_GB = {"bf16": 1.573, "fp8": 0.786}  # 3000 positions
BUDGET_MS = 80

COLOURS = {
    "reference": "#b03a2e", "bf16 KV": "#2471a3", "fp8 KV": "#1e8449",
    "fp8 KV, fp8 weights, elastic": "#7d3c98",
}  # fmt: skip

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


def floor(kv: str, weights: str) -> Curve:
    """The time that the bytes alone take."""
    ends = (1, MOST_CALLS)
    return [(n, (WEIGHTS_GB[weights] + n * CALL_GB[kv]) / COPY_TB_S) for n in ends]


def at(point: tuple[float, float]) -> str:
    """A point's place on the sheet."""
    calls, ms = point
    x = LEFT + calls / MOST_CALLS * (WIDTH - LEFT - RIGHT)
    y = HEIGHT - BOTTOM - ms / MOST_MS * (HEIGHT - BOTTOM - TOP)
    return f"{x:.1f},{y:.1f}"


def line(points: Curve, colour: str, dash: str = "") -> str:
    """A polyline."""
    path = " ".join(at(point) for point in points)
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" '
        f'stroke-dasharray="{dash}"/>'
    )


def text(
    point: tuple[float, float], words: str, colour: str = "#333", anchor: str = "start"
) -> str:
    """Words at a point."""
    x, y = at(point).split(",")
    return f'<text x="{x}" y="{y}" fill="{colour}" text-anchor="{anchor}">{words}</text>'


def drawing(found: dict[str, Curve]) -> str:
    """The whole sheet."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        line([(0, 0), (MOST_CALLS, 0)], "#333"),
        line([(0, 0), (0, MOST_MS)], "#333"),
        line([(0, BUDGET_MS), (MOST_CALLS, BUDGET_MS)], "#999", "6 4"),
        text((1, BUDGET_MS + 1), "80 ms: the next frame is due", "#777"),
        text(
            (MOST_CALLS / 2, -8),
            "calls, each with a full window of 3000 positions",
            "#333",
            "middle",
        ),
        text((1, MOST_MS - 1.5), "median tick, ms"),
    ]
    parts += [text((n, -4), str(n), "#333", "middle") for n in range(0, MOST_CALLS + 1, 10)]
    parts += [text((-1, ms), str(ms), "#333", "end") for ms in range(0, MOST_MS, 10)]
    for name, points in found.items():
        colour = COLOURS[name]
        parts.append(line(points, colour))
        parts += [
            f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>'
            for x, y in (at(point).split(",") for point in points)
        ]
        calls, ms = points[-1]
        parts.append(text((calls + 1.5, ms), name, colour))
    for kv, weights in (("bf16", "bf16"), ("fp8", "bf16")):
        points, colour = floor(kv, weights), COLOURS[f"{kv} KV"]
        parts.append(line(points, colour, "2 4"))
        calls, ms = points[-1]
        parts.append(text((calls + 1, ms), f"floor, {kv} KV", colour))
    return "\n".join([*parts, "</svg>"])


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    Path(sys.argv[2]).write_text(drawing(curves(lines)), encoding="utf-8")
