"""The tap in aiortc."""

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.rtp import RtpPacket

from callcenter.errors import ConfigurationError
from callcenter.telephony.webrtc import tap


async def test_the_jitter_buffer_of_the_installed_aiortc_is_replaced() -> None:
    """This is the check that a new release of aiortc must pass."""
    heard: list[tuple[int, bytes]] = []
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    receiver = connection.addTransceiver("audio").receiver
    before = receiver._RTCRtpReceiver__jitter_buffer
    tap.install(receiver, lambda *packet: heard.append(packet))
    replaced = receiver._RTCRtpReceiver__jitter_buffer
    packet = RtpPacket(payload_type=96, sequence_number=7, timestamp=960, payload=b"opus")
    assert hasattr(before, "add")
    assert replaced.add(packet) == (False, None)
    assert heard == [(7, b"opus")]
    await connection.close()


def test_another_aiortc_is_refused() -> None:
    """In place of a call without sound."""
    with pytest.raises(ConfigurationError, match="aiortc"):
        tap.install(object(), lambda *_: None)
