"""The codecs of a trunk: payload <-> samples, one object a call and direction.

G.722 and Opus keep state, so a codec belongs to one stream. Knows nothing of RTP.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from G722 import G722

from callcenter.errors import ProtocolError
from callcenter.media import g711
from callcenter.media.opus import OpusDecoder, OpusEncoder
from callcenter.media.units import SAMPLE_RATE_HZ, Pcm16


class Codec(Protocol):
    """One stream's codec."""

    rate_hz: int

    def decode(self, payload: bytes) -> Pcm16:
        """Payload -> int16 [n]; nothing for a payload that is broken."""
        ...

    def encode(self, samples: Pcm16) -> bytes:
        """int16 [rate * 0.02] -> payload."""
        ...


class _G711:
    rate_hz = 8_000

    def __init__(self, decode: Callable[[bytes], Pcm16], encode: Callable[[Pcm16], bytes]) -> None:
        self.decode, self.encode = decode, encode


class _G722:
    """64 kbit/s; 16,000 samples a second, though its RTP clock says 8,000 (RFC 3551 4.5.2)."""

    rate_hz = 16_000

    def __init__(self) -> None:
        self._decoder, self._encoder = G722(16_000, 64_000), G722(16_000, 64_000)

    def decode(self, payload: bytes) -> Pcm16:
        return np.array(self._decoder.decode(payload), np.int16)

    def encode(self, samples: Pcm16) -> bytes:
        return bytes(self._encoder.encode(samples))


class _Opus:
    """Mono at the model's rate, whatever the far end's."""

    rate_hz = SAMPLE_RATE_HZ

    def __init__(self) -> None:
        self.encode = OpusEncoder().encode
        self._decoder = OpusDecoder()

    def decode(self, payload: bytes) -> Pcm16:
        try:
            return self._decoder.decode(payload)
        except ProtocolError:  # a broken payload: concealed like one that never came
            return np.zeros(0, np.int16)


def make(name: str) -> Codec:
    """A fresh codec by its SDP name: pcmu, pcma, g722 or opus."""
    if name == "pcmu":
        return _G711(g711.decode_ulaw, g711.encode_ulaw)
    if name == "pcma":
        return _G711(g711.decode_alaw, g711.encode_alaw)
    return _G722() if name == "g722" else _Opus()
