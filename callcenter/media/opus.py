"""Opus at the model's rate, mono: libopus through PyAV.

The encoder takes 24 kHz as it is. The decoder always gives 48 kHz, which a 1.0 ms filter halves.
Knows nothing of RTP.
"""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from callcenter.errors import ProtocolError
from callcenter.media.resample import resampler
from callcenter.media.units import PACKET_S, SAMPLE_RATE_HZ, Pcm16

RTP_RATE_HZ = 48_000  # RFC 7587 4.1: the RTP clock, whatever the audio's rate
PACKET_SAMPLES = round(SAMPLE_RATE_HZ * PACKET_S)
RTP_TICKS_PER_PACKET = round(RTP_RATE_HZ * PACKET_S)
BIT_RATE = 48_000  # speech up to 12 kHz, mono

_TIME_BASE = Fraction(1, SAMPLE_RATE_HZ)


class OpusEncoder:
    """Packets of 20 ms."""

    def __init__(self) -> None:
        self._codec = av.AudioCodecContext.create("libopus", "w")
        self._codec.sample_rate = SAMPLE_RATE_HZ
        self._codec.layout = "mono"
        self._codec.format = "s16"
        self._codec.time_base = _TIME_BASE
        self._codec.bit_rate = BIT_RATE
        # 2.5 ms of look-ahead in place of 6.5, and half the time of a core.
        self._codec.options = {"application": "lowdelay", "frame_duration": "20"}
        self._samples = 0

    def encode(self, samples: Pcm16) -> bytes:
        """Encodes one packet.

        Args:
            samples: int16 [480], 24 kHz.

        Raises:
            ValueError: another number of samples.
        """
        if samples.shape != (PACKET_SAMPLES,):
            raise ValueError(f"a packet is int16 [{PACKET_SAMPLES}], not {list(samples.shape)}")
        av_frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        av_frame.sample_rate = SAMPLE_RATE_HZ
        av_frame.time_base = _TIME_BASE
        av_frame.pts = self._samples
        self._samples += PACKET_SAMPLES
        return b"".join(bytes(packet) for packet in self._codec.encode(av_frame))


class OpusDecoder:
    """Packets of any allowed length."""

    def __init__(self) -> None:
        self._codec = av.AudioCodecContext.create("libopus", "r")
        self._codec.sample_rate = RTP_RATE_HZ
        self._codec.layout = "mono"
        self._codec.format = "s16"
        self._resampler = resampler(RTP_RATE_HZ, SAMPLE_RATE_HZ)

    def decode(self, payload: bytes) -> Pcm16:
        """Decodes one packet to int16 [n], 24 kHz; n is 480 for 20 ms.

        Raises:
            ProtocolError: the payload is no Opus packet.
        """
        if not payload:
            raise ProtocolError("an empty Opus packet")
        try:
            av_frames = self._codec.decode(av.Packet(payload))
        except av.FFmpegError as error:
            raise ProtocolError(f"not an Opus packet: {error.strerror}") from None
        if not av_frames:
            return np.zeros(0, np.int16)
        wide = np.concatenate([av_frame.to_ndarray()[0] for av_frame in av_frames])
        return self._resampler.process(wide.astype(np.int16, copy=False))
