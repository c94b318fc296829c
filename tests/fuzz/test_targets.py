"""Every fuzz target over a fixed number of inputs; longer searches: `python -m tests.fuzz`."""

import subprocess
from pathlib import Path

import pytest

from tests.fuzz.__main__ import HERE, command, names

pytest.importorskip("atheris", reason="atheris has no build for this Python")

RUNS = 5_000


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", names())
def test_no_input_has_a_fault(name: str, tmp_path: Path) -> None:
    """None raises, takes longer than 5 s or more than 2 GiB."""
    assert list((HERE / "corpus" / name).iterdir()), "a target needs seeds"
    done = subprocess.run(
        command(name, kept=tmp_path, runs=RUNS), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4_000:]
    assert f"Done {RUNS} runs" in done.stderr
