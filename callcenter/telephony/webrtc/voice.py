"""The codecs of browser calls: the model's 24 kHz <-> the payload of 20 ms.

Every browser has Opus; gateways between WebRTC and the telephone may offer G.711 alone (RFC 7874 3
asks everybody for both). One object a call and direction. Knows nothing of RTP.
"""

from __future__ import annotations

from typing import Protocol

from callcenter.media import g711
from callcenter.media.opus import OpusDecoder, OpusEncoder
from callcenter.media.resample import resampler
from callcenter.media.units import SAMPLE_RATE_HZ, Pcm16

_TELEPHONE_HZ = 8_000
_DECODE = {"pcmu": g711.decode_ulaw, "pcma": g711.decode_alaw}
_ENCODE = {"pcmu": g711.encode_ulaw, "pcma": g711.encode_alaw}


class Encoder(Protocol):
    """Samples -> payload."""

    def encode(self, samples: Pcm16) -> bytes:
        """int16 [480], 24 kHz -> payload."""
        ...


class Decoder(Protocol):
    """Payload -> samples."""

    def decode(self, payload: bytes) -> Pcm16:
        """Payload -> int16 [n], 24 kHz.

        Raises:
            ProtocolError: it is broken.
        """
        ...


class _G711Encoder:
    def __init__(self, voice: str) -> None:
        self._encode = _ENCODE[voice]
        self._down = resampler(SAMPLE_RATE_HZ, _TELEPHONE_HZ)

    def encode(self, samples: Pcm16) -> bytes:
        return self._encode(self._down.process(samples))


class _G711Decoder:
    def __init__(self, voice: str) -> None:
        self._decode = _DECODE[voice]
        self._up = resampler(_TELEPHONE_HZ, SAMPLE_RATE_HZ)

    def decode(self, payload: bytes) -> Pcm16:
        return self._up.process(self._decode(payload))


def encoder(voice: str) -> Encoder:
    """A fresh encoder: opus, pcmu or pcma."""
    return OpusEncoder() if voice == "opus" else _G711Encoder(voice)


def decoder(voice: str) -> Decoder:
    """A fresh decoder: opus, pcmu or pcma."""
    return OpusDecoder() if voice == "opus" else _G711Decoder(voice)
