"""Coverage-guided fuzzing of everything that reads bytes of others.

    python -m tests.fuzz                      every target, one minute each
    python -m tests.fuzz sdp --seconds 3600   one target, as long as you like
    python -m tests.fuzz sdp --runs 20000     a fixed number of inputs, always the same ones

Each target is a module in `targets/` with `one_input(data)`, which raises only where there is a
fault. An input that raises, runs for longer than `--timeout` seconds or takes more memory than
`--memory` stops the run and is kept under `.cache/fuzz/NAME/faults`; name that file as the second
argument to repeat it. Interesting inputs are kept under `.cache/fuzz/NAME/found`, so that the next
run goes on from there; `corpus/NAME` holds the seeds.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
KEPT = Path(".cache/fuzz")
MAX_LENGTH = 4_096


def names() -> list[str]:
    """All targets."""
    return sorted(path.stem for path in (HERE / "targets").glob("*.py"))


def command(
    name: str,
    *,
    kept: Path = KEPT,
    runs: int = -1,
    seconds: int = 0,
    timeout_s: int = 5,
    memory_mib: int = 2_048,
    inputs: tuple[Path, ...] = (),
) -> list[str]:
    """What runs one target in a process of its own.

    Args:
        name: of the target.
        kept: folder for findings.
        runs: how many inputs; -1 for no bound. With a bound the seed is fixed.
        seconds: how long; 0 for no bound.
        timeout_s: how long one input may take.
        memory_mib: how much memory the process may take.
        inputs: files to repeat, in place of a search.
    """
    found, faults = kept / name / "found", kept / name / "faults"
    for folder in (found, faults):
        folder.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_len={MAX_LENGTH}",
        f"-timeout={timeout_s}",
        f"-rss_limit_mb={memory_mib}",
        f"-artifact_prefix={faults}/",
        "-print_final_stats=1",
    ]
    if not inputs:
        options += [f"-runs={runs}", f"-max_total_time={seconds}"]
        options += ["-seed=1"] if runs >= 0 else []
        inputs = (found, HERE / "corpus" / name)
    return [sys.executable, "-m", "tests.fuzz.run", name, *options, *map(str, inputs)]


def main() -> int:
    """Runs the named targets one after the other; 1 if one of them has a fault."""
    parser = argparse.ArgumentParser(
        "python -m tests.fuzz", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("target", nargs="?", choices=[*names(), "all"], default="all")
    parser.add_argument("input", nargs="*", type=Path, help="files to repeat")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--runs", type=int, default=-1, help="inputs for each target (no bound)")
    parser.add_argument("--timeout", type=int, default=5, help="seconds an input may take (5)")
    parser.add_argument("--memory", type=int, default=2_048, help="MiB that it may take (2048)")
    asked = parser.parse_args()
    faults = 0
    for name in names() if asked.target == "all" else [asked.target]:
        print(f"--- {name}", flush=True)
        arguments = command(
            name,
            runs=asked.runs,
            seconds=0 if asked.runs >= 0 else asked.seconds,
            timeout_s=asked.timeout,
            memory_mib=asked.memory,
            inputs=tuple(asked.input),
        )
        faults += subprocess.run(arguments, check=False).returncode != 0
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
