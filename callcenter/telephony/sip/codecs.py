"""The codecs of a trunk: payload <-> samples, one object a call and direction.

G.722 and Opus keep state, so a codec belongs to one stream. Knows nothing of RTP.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.error import FFmpegError
from G722 import G722

from callcenter.media import g711
from callcenter.media.units import PACKET_S, SAMPLE_RATE_HZ, Pcm16

OPUS_DECODED_HZ = 48_000  # libopus' own; RFC 7587 4.1
OPUS_BIT_RATE = 32_000


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
    """Encodes and decodes mono at the model's rate."""

    rate_hz = SAMPLE_RATE_HZ

    def __init__(self) -> None:
        self._encoder = _opus_context("w")
        self._decoder = _opus_context("r")
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)

    def decode(self, payload: bytes) -> Pcm16:
        try:
            decoded = self._decoder.decode(av.Packet(payload))
        except FFmpegError:  # a broken payload: concealed like one that never came
            return np.zeros(0, np.int16)
        pieces = []
        for av_frame in decoded:
            av_frame.pts = None
            pieces += [out.to_ndarray().ravel() for out in self._resampler.resample(av_frame)]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)

    def encode(self, samples: Pcm16) -> bytes:
        av_frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        av_frame.sample_rate = SAMPLE_RATE_HZ
        return b"".join(bytes(packet) for packet in self._encoder.encode(av_frame))


def _opus_context(mode: Literal["r", "w"]) -> AudioCodecContext:
    context = AudioCodecContext.create("libopus", mode)
    context.format, context.layout = "s16", "mono" if mode == "w" else "stereo"
    context.sample_rate = SAMPLE_RATE_HZ if mode == "w" else OPUS_DECODED_HZ
    if mode == "w":
        context.bit_rate = OPUS_BIT_RATE
        context.options = {
            "application": "voip",
            "frame_duration": str(round(PACKET_S * 1_000)),
            "fec": "1",
            "packet_loss": "3",
        }
    return context


def make(name: str) -> Codec:
    """A fresh codec by its SDP name: pcmu, pcma, g722 or opus."""
    if name == "pcmu":
        return _G711(g711.decode_ulaw, g711.encode_ulaw)
    if name == "pcma":
        return _G711(g711.decode_alaw, g711.encode_alaw)
    return _G722() if name == "g722" else _Opus()
