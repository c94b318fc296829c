"""Runs the kernels through Triton's interpreter, on the CPU."""

from __future__ import annotations

import os

os.environ.setdefault("TRITON_INTERPRET", "1")  # before the first kernel is defined

import pytest

try:
    from triton.runtime import interpreter
except ImportError:  # it comes with PyTorch's CUDA builds and with our development packages
    collect_ignore_glob = ["test_*.py"]
    interpreter = None


@pytest.fixture(autouse=True)
def _numpy_scalars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a one-element array be a loop's bound: NumPy 2.4 no longer does so by itself."""
    original = interpreter._patch_lang_tensor

    def patched(tensor: type, scope: object) -> None:
        original(tensor, scope)
        tensor.__index__ = lambda self: self.handle.data.item()

    monkeypatch.setattr(interpreter, "_patch_lang_tensor", patched)
