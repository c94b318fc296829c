"""What a datagram on a media socket is, and whether it is well formed."""

import pytest

from callcenter.media.datagram import (
    MAX_BYTES,
    Kind,
    Refusal,
    audio_reports,
    is_dtls,
    is_rtcp,
    is_rtp,
    is_stun,
    kind_of,
    rtcp_packets,
)
from tests import datagrams


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (0, Kind.STUN),
        (3, Kind.STUN),
        (4, Refusal.NOT_MEDIA),
        (16, Refusal.NOT_MEDIA),  # ZRTP
        (20, Kind.DTLS),
        (63, Kind.DTLS),
        (64, Refusal.NOT_MEDIA),  # a TURN channel
        (127, Refusal.NOT_MEDIA),
        (128, Kind.RTP),
        (191, Kind.RTP),
        (192, Refusal.NOT_MEDIA),
        (255, Refusal.NOT_MEDIA),
    ],
)
def test_the_first_byte_tells_the_kind(first, kind) -> None:
    """RFC 7983 7."""
    assert kind_of(bytes([first, 0]) + bytes(30)) is kind


def test_the_second_byte_tells_rtcp_from_rtp() -> None:
    """RFC 5761 4; alone the first byte is RTP, which is then too short."""
    assert [kind_of(bytes([0x80, second])) for second in (191, 192, 223, 224)] == [
        Kind.RTP,
        Kind.RTCP,
        Kind.RTCP,
        Kind.RTP,
    ]
    assert kind_of(b"\x80") is Kind.RTP


def test_sizes_have_bounds() -> None:
    """From one byte to an Ethernet frame's payload."""
    assert kind_of(b"") is Refusal.SIZE
    assert kind_of(b"\x80" * MAX_BYTES) is Kind.RTP
    assert kind_of(b"\x80" * (MAX_BYTES + 1)) is Refusal.SIZE


@pytest.mark.parametrize(
    ("head", "fits"),
    [
        ("80 00 0001 00000000 00000001", True),
        ("80 00 0001 00000000 000001", False),
        ("82 00 0001 00000000 00000001 00000002 00000003", True),
        ("82 00 0001 00000000 00000001 00000002", False),  # a source is cut off
        ("90 00 0001 00000000 00000001 bede 0001 00000000", True),
        ("90 00 0001 00000000 00000001 bede 0002 00000000", False),
        ("90 00 0001 00000000 00000001 bede", False),
        ("a0 00 0001 00000000 00000001 00000004", True),
        ("a0 00 0001 00000000 00000001 00000005", False),  # more padding than payload
        ("a0 00 0001 00000000 00000001 00000000", False),
        ("a0 00 0001 00000000 00000001", False),
    ],
)
def test_rtp(head, fits) -> None:
    """RFC 3550 5.1, 5.3.1."""
    assert is_rtp(bytes.fromhex(head.replace(" ", "")), sealed=False) is fits


def test_srtp_ends_with_a_tag() -> None:
    """And its padding cannot be judged."""
    plain = bytes.fromhex("a00000010000000000000001")
    assert not is_rtp(plain, sealed=True)
    assert is_rtp(plain + bytes(4), sealed=True)


def test_rtcp_fills_the_datagram() -> None:
    """A packet that is cut off, or what follows that is none, is refused."""
    compound = datagrams.rtcp()
    assert is_rtcp(compound, sealed=False)
    assert not any(is_rtcp(compound[:size], sealed=False) for size in (1, 3, 5, 27))
    assert not is_rtcp(compound + b"\x00\xc8\x00\x00", sealed=False)
    assert not is_rtcp(compound[:8], sealed=True)
    assert is_rtcp(compound, sealed=True)


def test_an_audio_call_needs_reports_only() -> None:
    """One request to send again can name thousands of packets."""
    greedy = bytes([0x81, 205, 0, 200]) + bytes(8) + b"\x00\x01\xff\xff" * 198
    assert audio_reports(datagrams.rtcp() + greedy) == datagrams.rtcp()
    assert [kind for kind, _ in rtcp_packets(datagrams.rtcp()) or ()] == [200, 202]
    assert audio_reports(b"\x81") == b""


def test_stun() -> None:
    """Cookie, length, and attributes that fill it; those of one size have it."""
    request = datagrams.stun("abcd:efgh", "password")
    assert is_stun(request)
    assert not any(is_stun(request[:size]) for size in range(len(request)))
    assert not is_stun(request[:4] + bytes(4) + request[8:])
    assert not is_stun(request + bytes(4))
    short = bytes.fromhex("0001 0008 2112a442".replace(" ", "")) + bytes(12)
    assert is_stun(short + bytes.fromhex("80220004") + b"name")
    assert not is_stun(short + bytes.fromhex("0024000300000000"))  # PRIORITY of three bytes
    assert not is_stun(short + bytes.fromhex("8022000900000000"))


def test_dtls() -> None:
    """One record or several; the rest of DTLS 1.3 is OpenSSL's to judge."""
    record = datagrams.dtls(22, b"hello")
    assert is_dtls(record)
    assert is_dtls(record + datagrams.dtls(20, b"\x01"))
    assert is_dtls(record + b"\x2c" + bytes(20))
    assert not is_dtls(record + b"\x80")
    assert not any(is_dtls(record[:size]) for size in range(1, len(record)))
    assert not is_dtls(b"\x16\x03\x01" + record[3:])


def test_no_mutation_raises() -> None:
    """20,000 of them, from the same seed always."""
    for data in datagrams.mutations(datagrams.samples(), 20_000, seed=1):
        for judge in (is_stun, is_dtls, rtcp_packets, audio_reports):
            judge(data)
        for sealed in (False, True):
            if kind_of(data) in (Kind.RTP, Kind.RTCP):
                is_rtp(data, sealed=sealed)
                is_rtcp(data, sealed=sealed)
