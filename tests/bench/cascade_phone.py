"""The cascade over the telephone path: turn gap, barge-in stop, and four calls at once. One line.

    python -m tests.bench.cascade_phone [--calls 8] [--seconds 60] [--no-wait]

The demo runs as it is, in processes of its own; the callers speak Twilio's protocol from this one
and judge what they hear. First one call after the other: each asks, and says something into the
answer. Then four at once, which ask one question after the other, while the worker counts its late
ticks.

`caller_late_ms_max` tells whether this program kept its own clock: over 20, the figures are about
an overloaded machine. Without `--no-wait` the personas' lines are rendered first, as they are on
every start but the first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import httpx
import numpy as np

from callcenter.evaluation.call import place_call
from callcenter.evaluation.plan import CallPlan, CallReport
from callcenter.evaluation.script import Step
from callcenter.media.units import NARROWBAND_HZ
from tests.bench.cascade_manners import QUIET_FLOOR_DB, trimmed
from tests.e2e.programs import HOST, Program, running, sample
from tests.recordings import CALLERS, caller
from tests.servers import free_port

CACHE = Path(__file__).parents[2] / ".cache" / "lines"
QUESTION = "manners/question.wav"  # its answer is long enough to speak into
BARGE_AFTER_S = 1.0
CONCURRENT = 4
START_S = 180.0
RENDER_S = 900.0
MISSES = 'engine_frame_deadline_misses_total{engine="cascade"}'
SKIPPED = 'engine_ticks_skipped_total{engine="cascade"}'


def until_said(demo: Program, pattern: str, limit_s: float) -> re.Match[str]:
    """Waits for the demo to say something."""
    give_up_at = time.monotonic() + limit_s
    while time.monotonic() < give_up_at:
        if found := re.search(pattern, demo.said()):
            return found
        if demo.process.poll() is not None:
            break
        time.sleep(0.2)
    sys.exit(f"the demo did not say {pattern}:\n{demo.said()[-2_000:]}")


def shouted(name: str, seconds: float) -> Step:
    """One recording into the agent's speech, from its first voice on, not from its line's noise."""
    speech = trimmed(caller(name), QUIET_FLOOR_DB, NARROWBAND_HZ)
    return Step(speech, "", "agent_speaking", seconds, patience_s=20.0)


def say(name: str) -> Step:
    """One recording as a step of the caller's script."""
    return Step(caller(name), "", "agent_done", 0.7, patience_s=20.0)


def names(pattern: str) -> list[str]:
    """Recordings by a pattern, as `say` takes them."""
    return [str(path.relative_to(CALLERS)) for path in sorted(CALLERS.glob(pattern))]


def plan(server: str, auth_token: str, number: str, steps: list[Step], limit_s: float) -> CallPlan:
    """A call that stays long enough for the last answer."""
    return CallPlan(
        *(server, server, number, auth_token, steps), hang_up_after_s=3.0, max_s=limit_s
    )


def percentile(values: list[float], share: float) -> float | None:
    """Rounded to milliseconds; None without values."""
    return round(float(np.percentile(values, share)), 3) if values else None


def figures(values: list[float]) -> dict[str, float | None]:
    """How many, median, 95th percentile and largest."""
    return {
        "n": len(values),
        "p50": percentile(values, 50),
        "p95": percentile(values, 95),
        "max": percentile(values, 100),
    }


def scores(reports: list[CallReport]) -> dict[str, object]:
    """What all these callers heard."""
    heard = [report.score for report in reports if report.score is not None]
    return {
        "calls": len(reports),
        "not_completed": sum(report.status != "completed" for report in reports),
        "turn_gap_s": figures([gap for score in heard for gap in score.turn_gaps_s]),
        "barge_in_stop_s": figures([stop for score in heard for stop in score.bargein_stops_s]),
        "missed_barge_ins": sum(score.missed_bargeins for score in heard),
        "packets_missing": sum(report.packets_missing for report in reports),
        "caller_late_ms_max": round(1e3 * max(report.max_late_s for report in reports), 1),
    }


class Bench:
    """A running demo and how to call it."""

    def __init__(self, demo: Program, port: int, wait: bool) -> None:
        welcome = r"(\+\d+)  bank[\s\S]*TWILIO_AUTH_TOKEN=(\w+)"
        self._number, self._auth_token = until_said(demo, welcome, START_S).groups()
        self._server = f"http://{HOST}:{port}"
        worker = until_said(demo, r'"http_port": (\d+), "event": "worker_started"', 5.0)
        self._metrics_url = f"http://{HOST}:{worker[1]}/metrics"
        if wait:
            until_said(demo, r'"done": (\d+), "of": \1\b', RENDER_S)

    async def one_after_the_other(self, calls: int) -> list[CallReport]:
        """Each caller asks, and says something into the answer."""
        questions = cycle([QUESTION])
        interruptions = cycle(names("manners/interruption-*.wav"))
        reports = []
        for question, interruption in islice(zip(questions, interruptions, strict=False), calls):
            steps = [say(question), shouted(interruption, BARGE_AFTER_S)]
            reports.append(await self._call(steps, 60.0))
        return reports

    async def at_once(self, seconds: float) -> list[CallReport]:
        """Four callers with one question after the other."""
        recordings = names("heldout/bank-*.wav")
        callers = []
        for index in range(CONCURRENT):
            steps = [say(name) for name in recordings[index:] + recordings[:index]]
            callers.append(self._call(steps, seconds))
        return await asyncio.gather(*callers)

    def ticks(self) -> tuple[float, float]:
        """Ticks of the worker so far that were late, and those left out."""
        page = httpx.get(self._metrics_url, trust_env=False).text
        return sample(page, MISSES), sample(page, SKIPPED)

    async def _call(self, steps: list[Step], limit_s: float) -> CallReport:
        return await place_call(plan(self._server, self._auth_token, self._number, steps, limit_s))


async def measure(bench: Bench, calls: int, seconds: float) -> dict[str, object]:
    """Both parts."""
    at_start = bench.ticks()
    single = await bench.one_after_the_other(calls)
    between = bench.ticks()
    several = await bench.at_once(seconds)
    at_end = bench.ticks()
    return {
        "one_call": scores(single) | late(at_start, between),
        "four_calls": scores(several) | late(between, at_end),
    }


def late(before: tuple[float, float], after: tuple[float, float]) -> dict[str, int]:
    """What the worker counted in between."""
    return {
        "late_ticks": int(after[0] - before[0]),
        "skipped_ticks": int(after[1] - before[1]),
    }


def main() -> None:
    """Runs the demo and both parts; prints one JSON line."""
    options = argparse.ArgumentParser()
    options.add_argument("--calls", type=int, default=17)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--cache", type=Path, default=CACHE)
    options.add_argument("--no-wait", action="store_true")
    chosen = options.parse_args()
    port, load = free_port(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "demo.log"
        ports = ("--port", str(port), "--admin-port", "0")
        arguments = ("demo", *ports, "--engine", "cascade")
        with running(log, *arguments, CASCADE_CACHE_DIR=chosen.cache.resolve()) as demo:
            bench = Bench(demo, port, wait=not chosen.no_wait)
            found = asyncio.run(measure(bench, chosen.calls, chosen.seconds))
    start = {"bench": "cascade_phone", "cores": os.cpu_count(), "load_before": round(load, 1)}
    print(json.dumps(start | found))


if __name__ == "__main__":
    main()
