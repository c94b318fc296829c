"""The tap in aiortc."""

import pytest
from aioice import ice, turn
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.rtp import RtpPacket

from callcenter import metrics
from callcenter.errors import ConfigurationError
from callcenter.telephony.webrtc import guard, tap
from tests import datagrams


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
    """In place of a call without sound, or without bounds."""
    with pytest.raises(ConfigurationError, match="aiortc"):
        tap.install(object(), lambda *_: None)
    with pytest.raises(ConfigurationError, match="aiortc"):
        tap.bound(object(), None, lambda: None)


async def test_sockets_of_the_installed_aioice_are_guarded() -> None:
    """This is the check that a new release of aioice must pass; what is refused is counted."""
    guard.install()
    guard.install()
    assert ice.StunProtocol is guard.GuardedProtocol
    assert turn.TurnClientUdpProtocol is guard.GuardedTurnProtocol
    socket = ice.StunProtocol(ice.Connection(ice_controlling=False))
    series = {
        reason: metrics.MEDIA_DATAGRAMS_REFUSED.labels("webrtc", reason)
        for reason in ("size", "not_media", "stranger", "malformed")
    }
    before = {reason: one._value.get() for reason, one in series.items()}
    for data in (b"", bytes(1_501), b"\x40abc", datagrams.rtp(), datagrams.dtls(), b"\x00\x01"):
        socket.datagram_received(data, ("192.0.2.1", 4_000, 0, 0))
    counted = {reason: one._value.get() - before[reason] for reason, one in series.items()}
    assert counted == {"size": 2, "not_media": 1, "stranger": 2, "malformed": 1}
