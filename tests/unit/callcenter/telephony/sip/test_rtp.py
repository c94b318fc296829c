"""RTP packets and a receiver's statistics."""

import pytest

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.rtp import ReceiverStats, RtpPacket, is_rtcp, parse


def test_a_round_trip() -> None:
    """All fields come back."""
    packet = RtpPacket(8, 65_535, 2**32 - 1, 2**32 - 2, b"payload", marker=True)
    assert parse(packet.encode()) == packet


def test_padding_extension_and_sources_are_left_out() -> None:
    """RFC 3550 5.1, 5.3.1."""
    head = RtpPacket(0, 1, 2, 3, b"").encode()
    sources, extension = b"\x00" * 8, b"\xbe\xde\x00\x01" + b"\x00" * 4
    data = bytes([0x80 | 0x20 | 0x10 | 2]) + head[1:] + sources + extension + b"voice" + b"\0\0\3"
    assert parse(data).payload == b"voice"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80" * 11,
        b"\x00" * 12,  # version 0
        b"\x8f" + b"\x00" * 11,  # 15 sources that are not there
        b"\x90" + b"\x00" * 11,  # an extension that is not there
        b"\x90" + b"\x00" * 13 + b"\xff\xff",  # ... or too long
        b"\xa0" + b"\x00" * 11 + b"\xff",  # more padding than packet
        b"\xa0" + b"\x00" * 12,  # padding of nothing
        b"\x80" * 3_000,
    ],
)
def test_what_is_no_rtp(data) -> None:
    """A clear error, never another one."""
    with pytest.raises(ProtocolError):
        parse(data)


def test_rtcp_on_the_same_port() -> None:
    """RFC 5761 4."""
    assert is_rtcp(b"\x80\xc8\x00\x06")
    assert not is_rtcp(RtpPacket(0, 1, 2, 3, b"", marker=True).encode())
    assert not is_rtcp(b"")


def test_loss_and_wrap() -> None:
    """Expected less received, over the wrap; the fraction is since the last question."""
    stats = ReceiverStats(8_000)
    for index in range(200):
        if index % 10 != 5:
            number = (65_500 + index) & 0xFFFF
            stats.note(RtpPacket(0, number, index * 160, 1, b""), index * 0.02)
    assert stats.expected == 200
    assert stats.lost == 20
    assert stats.fraction_lost() == pytest.approx(0.1)
    assert stats.fraction_lost() == 0.0
    assert stats.jitter_s < 1e-9


def test_jitter() -> None:
    """Alternating 4 ms early and late converges to 8 ms between neighbours (RFC 3550 A.8)."""
    stats = ReceiverStats(8_000)
    for index in range(400):
        shift_s = 0.004 if index % 2 else -0.004
        stats.note(RtpPacket(0, index, index * 160, 1, b""), index * 0.02 + shift_s)
    assert stats.jitter_s == pytest.approx(0.008, rel=0.01)
