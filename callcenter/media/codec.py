"""The wire's encodings by the names that carriers use in `start.mediaFormat` and SDP.

Knows nothing of rates: an encoding is only how samples are written as bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from callcenter.errors import ProtocolError
from callcenter.media import g711
from callcenter.media.units import Pcm16

SUPPORTED_RATES_HZ = (8_000, 16_000, 24_000)


@dataclass(frozen=True, slots=True)
class Codec:
    """Samples <-> bytes.

    Attributes:
        decode: bytes -> int16 [n]; a half sample at the end is left out.
        encode: int16 [n] -> bytes.
        bytes_per_sample: 1 or 2.
    """

    decode: Callable[[bytes], Pcm16]
    encode: Callable[[Pcm16], bytes]
    bytes_per_sample: int


def _linear(dtype: str) -> Codec:
    def decode(payload: bytes) -> Pcm16:
        return np.frombuffer(payload, dtype, count=len(payload) // 2).astype(np.int16)

    def encode(samples: Pcm16) -> bytes:
        return samples.astype(dtype).tobytes()

    return Codec(decode, encode, 2)


_ULAW = Codec(g711.decode_ulaw, g711.encode_ulaw, 1)
_ALAW = Codec(g711.decode_alaw, g711.encode_alaw, 1)
_CODECS = {
    "audio/x-mulaw": _ULAW,
    "audio/pcmu": _ULAW,  # RFC 3551 4.5.14
    "audio/x-alaw": _ALAW,
    "audio/pcma": _ALAW,
    "audio/l16": _linear(">i2"),  # RFC 3551 4.5.11: network byte order
    "audio/x-l16": _linear("<i2"),  # the socket carriers' form
}


def codec(encoding: str) -> Codec:
    """Finds an encoding by its media type, in upper or lower case.

    Raises:
        ProtocolError: the encoding is not supported; the message names those that are.
    """
    found = _CODECS.get(encoding.lower())
    if found is None:
        known = ", ".join(sorted(_CODECS))
        raise ProtocolError(f"media encoding {encoding!r} is not supported; use one of {known}")
    return found


def check_rate(rate_hz: int) -> int:
    """Returns the rate.

    Raises:
        ProtocolError: the wire's rate is not one of 8, 16 or 24 kHz.
    """
    if rate_hz not in SUPPORTED_RATES_HZ:
        known = ", ".join(str(rate) for rate in SUPPORTED_RATES_HZ)
        raise ProtocolError(f"media rate {rate_hz} Hz is not supported; use one of {known}")
    return rate_hz
