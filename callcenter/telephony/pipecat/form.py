"""The caller's audio frames in the call's form: mono, 16 bit, one rate, whatever they come in.

Pipecat's transports pass on what a carrier or a browser sends: 48 kHz, two channels, a rate of its
own for each frame, or a sample cut in two between frames. Knows no pipecat.
"""

from __future__ import annotations

from math import gcd

import numpy as np

from callcenter.errors import ProtocolError
from callcenter.media.codec import SUPPORTED_RATES_HZ
from callcenter.media.resample import Resampler, resampler
from callcenter.media.units import SAMPLE_RATE_HZ

MAX_CHANNELS = 8
MAX_RATE_HZ = 192_000
MAX_RATIO = 640  # 11.025 to 16 kHz is 441 to 640; a filter of 26,000 taps


def call_rate(played_hz: int) -> int:
    """The rate of the call behind a pipeline that plays at a rate."""
    return played_hz if played_hz in SUPPORTED_RATES_HZ else SAMPLE_RATE_HZ


def converter(from_hz: int, to_hz: int) -> Resampler:
    """The resampler between a frame's rate and the call's.

    Raises:
        ProtocolError: no filter of a sensible size leads from one to the other.
    """
    if not 0 < from_hz <= MAX_RATE_HZ or max(from_hz, to_hz) // gcd(from_hz, to_hz) > MAX_RATIO:
        raise ProtocolError(f"audio of {from_hz} Hz cannot be turned into {to_hz} Hz")
    return resampler(from_hz, to_hz)


class AudioForm:
    """One direction of one call.

    Args:
        rate_hz: of what is wanted.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._from = (rate_hz, 1)
        self._resampler = converter(rate_hz, rate_hz)
        self._rest = b""  # of a sample whose other part is in the next frame

    def take(self, audio: bytes, rate_hz: int, channels: int) -> bytes:
        """Turns a frame into 16-bit little-endian mono at the wanted rate.

        Args:
            audio: 16 bit, little-endian, channels interleaved.
            rate_hz: of each channel.
            channels: 1 to MAX_CHANNELS; they are mixed to their mean.

        Raises:
            ProtocolError: a rate or a number of channels that cannot be converted.
        """
        if (rate_hz, channels) != self._from:
            if not 0 < channels <= MAX_CHANNELS:
                raise ProtocolError(f"audio of {channels} channels; 1 to {MAX_CHANNELS} are mixed")
            self._resampler = converter(rate_hz, self._rate_hz)
            self._from, self._rest = (rate_hz, channels), b""
        audio = self._rest + audio
        whole = len(audio) - len(audio) % (2 * channels)
        self._rest = audio[whole:]
        samples = np.frombuffer(audio[:whole], "<i2").reshape(-1, channels)
        mono = samples[:, 0] if channels == 1 else np.rint(samples.mean(axis=1))
        return self._resampler.process(mono.astype(np.int16)).astype("<i2").tobytes()
