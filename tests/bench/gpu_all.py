"""Everything that is measured on a GPU, in few calls of bounded length.

    python tests/bench/gpu_all.py PLAN OUT [--most-s 570] [--calls 78] [--cache OUT/kernels.tar.xz]

PLAN is one of

    measure   the GPU tests, points of the curve, joins, a call that moves, the reference
    soak      8 minutes of real time through the worker's ticker
    phases    shorter soaks: one phase group and two, and more calls than there is memory for
    curve     tick times up to the largest number of calls, for a larger device

Each step is a program of its own with a time of its own; what fails or takes too long is killed and
named, and the next one begins. The most important comes first; once the time is up the rest is
named and left out. Written to OUT, each step at its end:

    lines.jsonl        what the benchmarks print, and one line a step
    log.txt            everything else that they print
    kernels.tar.xz     the compiled kernels: with --cache the next call begins with them

With BENCH_TRIAL=1 all of it runs tiny and on the CPU, to try it before a GPU is paid for.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
# Triton's index names its files by their whole paths: the folder must be the same in every call.
KERNELS = Path(tempfile.gettempdir()) / "personaplex-kernels"
KERNELS_FILE = "kernels.tar.xz"
LEAST_S = 20.0  # no step is begun with less
PACKING_S = 15.0
STOPPING_S = 10.0

BENCH = "tests/bench"
SMALL = os.environ.get("BENCH_TRIAL") == "1"


@dataclass(frozen=True, slots=True)
class Step:
    """One program.

    Attributes:
        name: for its line.
        most_s: it is killed after that.
        command: its arguments, after `python`.
    """

    name: str
    most_s: float
    command: tuple[str, ...]


def measure(calls: int) -> list[Step]:
    """What tells whether the engine is right and how fast it is."""
    engine, full = f"{BENCH}/gpu_engine.py", (4, 3, 2) if SMALL else (calls, 64, 63)
    most, dense, others = map(str, full)
    few = ("3", "1") if SMALL else ("36", "1")
    # Without the project's settings: they name plugins that these tests do without.
    alone = (
        "-c",
        os.devnull,
        "--rootdir",
        ".",
        "--import-mode=importlib",
        "-p",
        "no:cacheprovider",
    )
    codec = Step("codec", 60, (f"{BENCH}/mimi_frame.py", "--rows", "1", dense, most))
    gpu_tests = ("-m", "pytest", "-q", *alone, "-W", "ignore::Warning", "tests/gpu")
    return [
        Step("first engine, compiles", 240, (engine, "curve", "bf16", "bf16", *few)),
        Step("gpu tests", 300, gpu_tests),
        Step("fp8", 200, (engine, "curve", "fp8", "bf16", most, dense, f"join={others}")),
        Step("move", 100, (engine, "move")),
        Step("reference", 100, (f"{BENCH}/gpu_reference.py", "1")),
        Step("reference, compiled", 120, (f"{BENCH}/gpu_reference.py", "1", "--compiled")),
        *([] if SMALL else [Step("kernels", 60, (f"{BENCH}/gpu_kernels.py",)), codec]),
    ]


def soak(calls: int) -> list[Step]:
    """As long as the time allows, 8 minutes at most."""
    return [_soak_step("soak", calls, 12 if SMALL else 480, 700)]


def phases(calls: int) -> list[Step]:
    """The same with one group and with two; then fp8 weights and the elastic window."""
    seconds = 6 if SMALL else 100
    return [
        _soak_step("one phase group", calls, seconds, 180),
        _soak_step("two phase groups", calls, seconds, 180, "--phases", "2"),
        _soak_step("elastic window", calls + calls // 4, seconds, 180, weights="fp8"),
    ]


def curve(calls: int) -> list[Step]:
    """Points up to `calls` with fp8 pages, for a device with more memory."""
    points = [4, 2] if SMALL else sorted({calls, *range(32, calls, 32), 1}, reverse=True)
    slots_and_calls = map(str, [points[0], *points])
    command = (f"{BENCH}/gpu_engine.py", "curve", "fp8", "bf16", *slots_and_calls)
    return [Step("curve", 500, command)]


def _soak_step(
    name: str, calls: int, seconds: int, most_s: float, *more: str, weights: str = "bf16"
) -> Step:
    slots = 4 if SMALL else calls
    command = (f"{BENCH}/gpu_soak.py", str(seconds), str(slots), "fp8", weights, *more)
    return Step(name, most_s, command)


PLANS = {"measure": measure, "soak": soak, "phases": phases, "curve": curve}


class Run:
    """One plan, carried out.

    Args:
        out: where everything is written.
        ends_s: when the last step must be over, monotonic.
    """

    def __init__(self, out: Path, ends_s: float) -> None:
        self._out = out
        self._ends_s = ends_s
        self._environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]),
            "PYTHONUNBUFFERED": "1",
            "TRITON_CACHE_DIR": str(KERNELS),
            "TRITON_STORE_BINARY_ONLY": "1",  # not what the compiler passed through
        }

    def step(self, step: Step) -> None:
        """Runs a step within its time and what is left of the whole."""
        begin = time.monotonic()
        most_s = min(step.most_s, self._ends_s - begin)
        outcome = "left out" if most_s < LEAST_S else self._follow(step, most_s)
        seconds = round(time.monotonic() - begin, 1)
        self._write(json.dumps({"bench": "step", "step": step.name, "outcome": outcome,
                                "seconds": seconds}))  # fmt: skip

    def _follow(self, step: Step, most_s: float) -> str:
        """Reads the program's lines as they come; its outcome."""
        command = [sys.executable, *step.command]
        if step.command[0].endswith("gpu_soak.py"):
            command += ["--ends-s", str(round(most_s - STOPPING_S))]
        with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
            program = subprocess.Popen(
                command, cwd=REPOSITORY, env=self._environment, stdout=said,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                outcome = f"exit code {program.wait(most_s)}"
            except subprocess.TimeoutExpired:
                os.killpg(program.pid, signal.SIGKILL)
                program.wait()
                outcome = "killed: took too long"
            said.seek(0)
            self._sort(step, said.read())
        return "done" if outcome == "exit code 0" else outcome

    def _sort(self, step: Step, said: str) -> None:
        """Benchmark lines to the one file, all others to the other."""
        with (self._out / "log.txt").open("a", encoding="utf-8") as log:
            log.write(f"=== {step.name}\n")
            for line in said.splitlines():
                if line.startswith('{"bench"'):
                    self._write(line)
                else:
                    log.write(f"{line}\n")

    def _write(self, line: str) -> None:
        print(line, flush=True)
        with (self._out / "lines.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(f"{line}\n")


def unpack_kernels(archive: Path) -> None:
    """Puts the compiled kernels of an earlier call to where Triton looks."""
    with tarfile.open(archive) as kernels:
        kernels.extractall(KERNELS, filter="data")


def pack_kernels(archive: Path) -> None:
    """Keeps the compiled kernels for the next call."""
    with tarfile.open(archive, "w:xz", preset=1) as kernels:
        kernels.add(KERNELS, ".")


def main() -> None:
    """Carries a plan out."""
    begin = time.monotonic()
    parser = argparse.ArgumentParser()
    parser.add_argument("plan", choices=PLANS)
    parser.add_argument("out", type=Path)
    parser.add_argument("--most-s", type=float, default=570.0)
    parser.add_argument("--calls", type=int, default=78)
    parser.add_argument("--cache", type=Path)
    wanted = parser.parse_args()
    wanted.out.mkdir(parents=True, exist_ok=True)
    KERNELS.mkdir(exist_ok=True)
    if wanted.cache is not None:
        unpack_kernels(wanted.cache)
    archive = wanted.out / KERNELS_FILE
    run = Run(wanted.out, begin + wanted.most_s - PACKING_S)
    for number, step in enumerate(PLANS[wanted.plan](wanted.calls)):
        run.step(step)
        if number == 0:
            pack_kernels(archive)  # should the rest be cut off
    pack_kernels(archive)


if __name__ == "__main__":
    main()
