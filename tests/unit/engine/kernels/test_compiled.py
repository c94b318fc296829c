"""Every kernel in every tile fits every card, as the compiler says; no card is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PAIRS = (("8.0", "9.0", "12.0"), ("8.6", "8.9", "10.0"))


@pytest.mark.timeout(900)  # a minute of compiling on each of two cores, if they have time for it
def test_every_kernel_compiles_and_fits_every_card() -> None:
    """Shared memory is what the compiler counts, for all batches, pieces and 8-bit formats.

    In programs of their own: in this one kernels are interpreted.
    """
    programs = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.kernel_compiles", *cards],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for cards in PAIRS
    ]  # fmt: skip
    for cards, program in zip(PAIRS, programs, strict=True):
        said, _ = program.communicate()
        assert program.returncode == 0, said
        found = [json.loads(line) for line in said.splitlines()]
        assert [line["capability"] for line in found] == list(cards)
        assert all(line["kernels"] > 100 and line["most_shared"] > 64 * 1024 for line in found)
