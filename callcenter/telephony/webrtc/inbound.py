"""Browser -> call: RTP packets in, 20 ms of PCM at 24 kHz at every tick of our clock out.

Order, jitter, loss and the drift of two clocks are `media.received`'s; this joins it with a codec.
Knows nothing of sockets.
"""

from __future__ import annotations

import numpy as np

from callcenter.errors import ProtocolError
from callcenter.media.jitter import JitterCounters
from callcenter.media.received import ReceivedAudio
from callcenter.media.units import SAMPLE_RATE_HZ, Pcm16
from callcenter.telephony.webrtc import voice


class Inbound:
    """One browser's audio.

    Args:
        codec: opus, pcmu or pcma.

    Attributes:
        undecodable: packets that the codec could not read; they are concealed.
    """

    def __init__(self, codec: str = "opus") -> None:
        self.undecodable = 0
        self._decoder = voice.decoder(codec)
        self._received = ReceivedAudio(SAMPLE_RATE_HZ, self._decode)

    @property
    def counters(self) -> JitterCounters:
        """What happened to the packets."""
        return self._received.jitter.counters

    def push(self, sequence: int, payload: bytes, now: float) -> None:
        """Takes one RTP packet, in any order."""
        self._received.push(sequence, payload, now)

    def read(self, now: float) -> Pcm16 | None:
        """The next 20 ms, int16 [480]; None while the browser is silent."""
        return self._received.read(now)

    def _decode(self, payload: bytes) -> Pcm16:
        try:
            return self._decoder.decode(payload)
        except ProtocolError:  # one broken packet; the stream goes on behind it
            self.undecodable += 1
            return np.zeros(0, np.int16)
