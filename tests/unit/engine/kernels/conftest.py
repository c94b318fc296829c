"""Runs the kernels through Triton's interpreter, on the CPU."""

from __future__ import annotations

import os

os.environ.setdefault("TRITON_INTERPRET", "1")  # before the first kernel is defined

import pytest

pytest.importorskip("triton", reason="Triton comes with PyTorch's CUDA builds alone")

from triton.runtime import interpreter


@pytest.fixture(autouse=True)
def _numpy_scalars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a one-element array be a loop's bound: NumPy 2.4 no longer does so by itself."""
    original = interpreter._patch_lang_tensor

    def patched(tensor: type, scope: object) -> None:
        original(tensor, scope)
        tensor.__index__ = lambda self: self.handle.data.item()

    monkeypatch.setattr(interpreter, "_patch_lang_tensor", patched)
