"""Recorded callers and what was heard, for tests of the whole system."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from callcenter.media.g711 import decode_ulaw

CALLERS = Path(__file__).parent / "data" / "cascade_callers"
RATE_HZ = 8_000
BLOCK = 160  # 20 ms
RELATIVE_LEVEL = 1 / 400  # 26 dB below the loudest block: line noise, not speech


def caller(name: str) -> NDArray[np.int16]:
    """A recording of `tests/data/cascade_callers`, from its first to its last sound, at 8 kHz."""
    data = (CALLERS / name).read_bytes()
    samples = decode_ulaw(data[data.index(b"data") + 8 :])
    blocks = samples[: samples.size // BLOCK * BLOCK].reshape(-1, BLOCK)
    power = (blocks.astype(np.float64) ** 2).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * RELATIVE_LEVEL)
    return blocks[loud[0] : loud[-1] + 1].ravel()
