"""A voice's codes as a file: made once by one worker, read by all the others.

    codes   int16 [8, T]   the agent's codes, one column a frame of 80 ms
    clip    uint8 [32]     SHA-256 of the clip that they were made from
    codec   uint8 [32]     SHA-256 of the codebooks that they belong to

The form is safetensors: plain numbers, nothing that could run. Whoever wrote it is not trusted:
names, types, shapes and ranges are checked before anything is used. It knows no torch and no codec.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from engine.interface import EngineError

CODEBOOKS = 8
SHORTEST_FRAMES, LONGEST_FRAMES = 5, 750  # 0.4 s and 60 s
MAX_BYTES = 32_768

Codes = NDArray[np.int64]


class CodesRejected(EngineError):
    """A file of codes cannot be used; the message says why."""


def pack(codes: Codes, clip_sha256: str, codec_sha256: str) -> bytes:
    """Writes a file.

    Args:
        codes: [T, 8].
        clip_sha256: in hex.
        codec_sha256: in hex.
    """
    content = {
        "codes": np.ascontiguousarray(codes.T, dtype=np.int16),
        "clip": _digest(clip_sha256),
        "codec": _digest(codec_sha256),
    }
    return save(content)


def unpack(content: bytes, clip_sha256: str, codec_sha256: str, card: int) -> Codes:
    """Reads a file.

    Args:
        content: of the file.
        clip_sha256: the clip that is wanted, in hex.
        codec_sha256: the codec at hand, in hex.
        card: how many codes there are.

    Returns:
        int64 [T, 8], each in range(card).

    Raises:
        CodesRejected: another clip's, another codec's, or no such file.
    """
    if len(content) > MAX_BYTES:
        raise CodesRejected(f"{len(content)} bytes are too many for the codes of a voice")
    try:
        tensors = dict(deserialize(content))
    except SafetensorError as error:
        raise CodesRejected(f"no safetensors file: {error}") from None
    if tensors.keys() != {"codes", "clip", "codec"}:
        raise CodesRejected(f"holds {sorted(tensors)}, not codes, clip and codec")
    for name, wanted in (("clip", clip_sha256), ("codec", codec_sha256)):
        if _checked(name, tensors[name], "U8", [32]).hex() != wanted:
            raise CodesRejected(f"was made with another {name}")
    return _codes(tensors["codes"], card)


def _codes(tensor: dict[str, object], card: int) -> Codes:
    shape = tensor["shape"]
    frames = shape[-1] if isinstance(shape, list) and shape else 0
    if not SHORTEST_FRAMES <= frames <= LONGEST_FRAMES:
        raise CodesRejected(f"codes has the shape {shape}")
    data = _checked("codes", tensor, "I16", [CODEBOOKS, frames])
    codes = np.frombuffer(data, "<i2").reshape(CODEBOOKS, frames).T.astype(np.int64)
    if codes.min() < 0 or codes.max() >= card:
        raise CodesRejected(f"codes lie in {codes.min()} .. {codes.max()}, not below {card}")
    return codes


def _checked(name: str, tensor: dict[str, object], dtype: str, shape: list[int]) -> bytes:
    if tensor["dtype"] != dtype or tensor["shape"] != shape:
        raise CodesRejected(f"{name} is {tensor['dtype']} {tensor['shape']}, not {dtype} {shape}")
    return bytes(tensor["data"])  # type: ignore[arg-type]  # bytes, says the library


def _digest(sha256: str) -> NDArray[np.uint8]:
    return np.frombuffer(bytes.fromhex(sha256), np.uint8)
