"""Codes of a voice as a file that nobody has to trust."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from safetensors.numpy import load, save

from engine.codes import MAX_BYTES, CodesRejected, pack, unpack

CLIP, CODEC, CARD = "ab" * 32, "cd" * 32, 2_048


def some(frames: int = 9, low: int = 0, high: int = CARD) -> np.ndarray:
    """Codes, [T, 8]."""
    return np.random.default_rng(1).integers(low, high, (frames, 8))


def test_there_and_back() -> None:
    """Every code, and in a form that others read too."""
    content = pack(some(), CLIP, CODEC)
    found = unpack(content, CLIP, CODEC, CARD)
    assert found.dtype == np.int64
    assert np.array_equal(found, some())
    assert np.array_equal(load(content)["codes"], some().T)
    assert len(pack(some(750), CLIP, CODEC)) < MAX_BYTES


def changed(**tensors: np.ndarray | None) -> bytes:
    """A good file with some tensors in place of its own."""
    content = {**load(pack(some(), CLIP, CODEC)), **tensors}
    return save({name: tensor for name, tensor in content.items() if tensor is not None})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no safetensors file"),
        (pickle.dumps({"codes": [1]}), "no safetensors file"),
        (pack(some(), CLIP, CODEC)[:-1], "no safetensors file"),
        (b"x" * (MAX_BYTES + 1), "too many"),
        (pack(some(), "00" * 32, CODEC), "another clip"),
        (pack(some(), CLIP, "00" * 32), "another codec"),
        (changed(codec=None), r"holds \['clip', 'codes'\]"),
        (changed(more=np.zeros(1)), "holds"),
        (changed(clip=np.zeros(31, np.uint8)), r"clip is U8 \[31\], not U8 \[32\]"),
        (changed(codes=np.zeros((8, 9), np.float16)), r"codes is F16 \[8, 9\]"),
        (changed(codes=np.zeros((9, 8), np.int16)), r"codes is I16 \[9, 8\], not I16 \[8, 8\]"),
        (changed(codes=np.zeros((8, 4), np.int16)), "has the shape"),
        (changed(codes=np.zeros((8, 751), np.int16)), "has the shape"),
        (changed(codes=np.zeros((), np.int16)), "has the shape"),
        (pack(some(low=-1, high=0), CLIP, CODEC), "codes lie in -1 "),
        (pack(some(low=CARD, high=CARD + 1), CLIP, CODEC), "not below 2048"),
    ],
)
def test_anything_else_is_refused(content: bytes, words: str) -> None:
    """With what is wrong; nothing of it is used."""
    with pytest.raises(CodesRejected, match=words):
        unpack(content, CLIP, CODEC, CARD)
