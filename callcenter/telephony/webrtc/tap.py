"""Takes RTP packets out of aiortc before its jitter buffer.

aiortc keeps four packets back and gives out at most one for each that comes in, so a single lost
packet delays the rest of the call by 200 ms. There is no public way round: its jitter buffer is
replaced by an object that hands every packet on and gives the decoder thread nothing to do.

The one place that touches what aiortc keeps private; the version is pinned because of it.
"""

from __future__ import annotations

from collections.abc import Callable

from aiortc import RTCRtpReceiver
from aiortc.rtp import RtpPacket

from callcenter.errors import ConfigurationError

OnPacket = Callable[[int, bytes], None]  # sequence number, payload

_JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"


class RtpTap:
    """Stands where aiortc's jitter buffer stood."""

    def __init__(self, on_packet: OnPacket) -> None:
        self._on_packet = on_packet

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Hands the packet on; never a picture to ask for, never a frame to decode."""
        self._on_packet(packet.sequence_number, packet.payload)
        return False, None


def install(receiver: RTCRtpReceiver, on_packet: OnPacket) -> None:
    """Reroutes a receiver's packets; before its connection is set up.

    Raises:
        ConfigurationError: this aiortc is built differently.
    """
    if not hasattr(receiver, _JITTER_BUFFER):
        raise ConfigurationError(
            "this release of aiortc has no jitter buffer to replace; "
            "install the pinned one: pip install 'personaplex-callcenter[webrtc]'"
        )
    setattr(receiver, _JITTER_BUFFER, RtpTap(on_packet))
