"""Recorded callers and what was heard, for tests of the whole system."""

import wave
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from callcenter.media.g711 import decode_ulaw
from personas.library import SHIPPED

VOICE = SHIPPED / "voices" / "joe.wav"
CALLERS = Path(__file__).parent / "data" / "cascade_callers"
RATE_HZ = 8_000
BLOCK = 160  # 20 ms
RELATIVE_LEVEL = 1 / 400  # 26 dB below the loudest block: line noise, not speech


def read_mulaw(path: Path) -> NDArray[np.int16]:
    """Reads an 8 kHz mu-law WAV as int16 at 24 kHz."""
    wide = soxr.resample(_decoded(path).astype(np.float32), RATE_HZ, 24_000)
    return wide.clip(-32_768, 32_767).astype(np.int16)


def caller(name: str) -> NDArray[np.int16]:
    """A recording of `tests/data/cascade_callers`, from its first to its last sound, at 8 kHz."""
    samples = _decoded(CALLERS / name)
    blocks = samples[: samples.size // BLOCK * BLOCK].reshape(-1, BLOCK)
    power = (blocks.astype(np.float64) ** 2).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * RELATIVE_LEVEL)
    return blocks[loud[0] : loud[-1] + 1].ravel()


def write_turn(path: Path, before_s: float, turn_s: float, after_s: float) -> None:
    """Writes what a visitor's microphone hears: silence, some seconds of a clip, silence."""
    with wave.open(str(VOICE)) as voice, wave.open(str(path), "w") as file:
        file.setparams(voice.getparams())
        rate_hz, width = voice.getframerate(), voice.getsampwidth() * voice.getnchannels()
        file.writeframes(bytes(width * round(before_s * rate_hz)))
        file.writeframes(voice.readframes(round(turn_s * rate_hz)))
        file.writeframes(bytes(width * round(after_s * rate_hz)))


def _decoded(path: Path) -> NDArray[np.int16]:
    data = path.read_bytes()
    return decode_ulaw(data[data.index(b"data") + 8 :])
