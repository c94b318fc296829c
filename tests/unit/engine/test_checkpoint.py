"""The writer of tiny checkpoints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from engine.checkpoint import TINY, tiny_tokenizer, write_tiny
from engine.weights import LM_FILE, MIMI_FILE, open_checkpoint


def test_same_seed_same_tensors(tmp_path: Path) -> None:
    """The checkpoint is a function of its seed."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_tiny(tmp_path / name, seed)
    for file in (LM_FILE, MIMI_FILE):
        first, again, other = (load_file(tmp_path / name / file) for name in "abc")
        assert all((first[key] == again[key]).all() for key in first)
        assert any((first[key] != other[key]).any() for key in first)


@pytest.mark.timeout(60)
def test_command_line_writes_a_checkpoint(tmp_path: Path) -> None:
    """`python -m engine.checkpoint tiny OUT --seed 0`."""
    out = tmp_path / "deep" / "tiny"
    command = [sys.executable, "-m", "engine.checkpoint", "tiny", str(out), "--seed", "0"]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[3])
    assert open_checkpoint(out).config == TINY


def test_tokenizer_fits_the_text_card() -> None:
    """Never more pieces than the model has text tokens."""
    assert len(tiny_tokenizer(TINY.lm.text_card)) > 1000
