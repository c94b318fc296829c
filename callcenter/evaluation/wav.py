"""WAV files in and out of the test caller's 8 kHz line.

Reads uncompressed PCM of 8 to 32 bits, any rate, any channels; knows no other format.
"""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from callcenter.errors import ConfigurationError
from callcenter.media.resample import resampler
from callcenter.media.units import NARROWBAND_HZ, Pcm16

_TAIL_S = 0.05  # flushes the resampler's delay


def read_wav(path: Path) -> Pcm16:
    """Reads a WAV as telephone audio.

    Returns:
        int16 [n], mono, 8 kHz.

    Raises:
        ConfigurationError: no such file, or not an uncompressed PCM WAV; names the file.
    """
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate_hz = file.getnchannels(), file.getsampwidth(), file.getframerate()
            raw = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise ConfigurationError(f"{path}: not a readable PCM WAV file ({error})") from error
    samples = _to_int16(raw, width)
    mono = samples[: samples.size // channels * channels].reshape(-1, channels).mean(axis=1)
    tail = np.zeros(round(rate_hz * _TAIL_S), np.int16)
    padded = np.concatenate((np.rint(mono).astype(np.int16), tail))
    return resampler(rate_hz, NARROWBAND_HZ).process(padded)


def write_wav(path: Path, channels: list[Pcm16]) -> None:
    """Writes equally long int16 [n] channels at 8 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(NARROWBAND_HZ)
        file.writeframes(np.stack(channels, axis=1).astype("<i2").tobytes())


def _to_int16(raw: bytes, width: int) -> Pcm16:
    if width == 1:  # the format's only unsigned one
        return ((np.frombuffer(raw, np.uint8).astype(np.int16) - 128) << 8).astype(np.int16)
    samples = np.frombuffer(raw, np.uint8)
    samples = samples[: samples.size // width * width].reshape(-1, width)
    return np.ascontiguousarray(samples[:, -2:]).view("<i2").ravel()  # the two highest bytes
