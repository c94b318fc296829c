"""What a datagram on a media socket is, and whether it is well formed (RFC 7983, 3550, 5761, 8489).

    first byte   0..3 STUN   20..63 DTLS   64..79 TURN channel   128..191 RTP or RTCP

It looks at lengths and versions only, so it is cheap enough for whatever a stranger sends, and what
passes cannot make a parser behind it read past an end. It knows no address, no key and no call:
that a packet is well formed does not say who sent it.
"""

from __future__ import annotations

import enum

MAX_BYTES = 1_500  # an Ethernet frame's payload; libsrtp's wrapper takes no more
RTP_HEADER_BYTES = 12
SRTP_TAG_BYTES = 4  # the shortest that is used: AES_CM_128_HMAC_SHA1_32
SRTCP_TRAILER_BYTES = 4 + 4  # the index, and a tag
RTCP_AUDIO = range(200, 204)  # SR, RR, SDES, BYE: all that an audio call needs
_RTCP_TYPES = range(192, 224)  # RFC 5761 4

STUN_HEADER_BYTES = 20
STUN_COOKIE = b"\x21\x12\xa4\x42"
_STUN_SIZES = {  # attributes whose values have one size only, in bytes (RFC 8489 14, RFC 8445 16.1)
    0x0008: (20,),  # MESSAGE-INTEGRITY
    0x0020: (8, 20),  # XOR-MAPPED-ADDRESS: IPv4, IPv6
    0x0024: (4,),  # PRIORITY
    0x0025: (0,),  # USE-CANDIDATE
    0x8028: (4,),  # FINGERPRINT
    0x8029: (8,),  # ICE-CONTROLLED
    0x802A: (8,),  # ICE-CONTROLLING
}
_DTLS_RECORD_BYTES = 13
_DTLS_PLAIN_TYPES = range(20, 27)  # RFC 6347 4.1, RFC 9147 4.1; above 31 DTLS 1.3's short header


class Kind(enum.Enum):
    """What the first byte says (RFC 7983 7)."""

    STUN = "stun"
    DTLS = "dtls"
    RTP = "rtp"
    RTCP = "rtcp"


class Refusal(enum.Enum):
    """Why a datagram was dropped: a metric label."""

    SIZE = "size"  # empty, or more than MAX_BYTES
    NOT_MEDIA = "not_media"  # none of the kinds that belong on the socket
    MALFORMED = "malformed"
    FORGED = "forged"  # SRTP: without the key, or a copy
    STRANGER = "stranger"  # not of the far end's address, or without its ICE password
    TYPE = "type"  # a payload type or a stream that was not agreed
    FLOOD = "flood"  # more than a call ever needs


def kind_of(data: bytes) -> Kind | Refusal:
    """Tells the kinds apart; a size that none of them has is refused."""
    if not 0 < len(data) <= MAX_BYTES:
        return Refusal.SIZE
    first = data[0]
    if 128 <= first <= 191:
        return Kind.RTCP if len(data) > 1 and data[1] in _RTCP_TYPES else Kind.RTP
    if first <= 3:
        return Kind.STUN
    return Kind.DTLS if 20 <= first <= 63 else Refusal.NOT_MEDIA


def is_rtp(data: bytes, *, sealed: bool) -> bool:
    """Whether header, sources and extension fit into the packet, and the padding too.

    Args:
        data: version 2 by its first byte.
        sealed: SRTP, whose padding is encrypted, and which ends with a tag.
    """
    end = len(data) - (SRTP_TAG_BYTES if sealed else 0)
    start = RTP_HEADER_BYTES + 4 * (data[0] & 0x0F)
    if end < start:
        return False
    if data[0] & 0x10:
        if end < start + 4:
            return False
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    if data[0] & 0x20 and not sealed:
        return 0 < data[-1] <= end - start
    return start <= end


def is_rtcp(data: bytes, *, sealed: bool) -> bool:
    """Whether the packets of a compound fill the datagram exactly.

    Of SRTCP only the first header can be read: it must leave room for the index and a tag.
    """
    if sealed:
        return len(data) >= 8 + SRTCP_TRAILER_BYTES
    return rtcp_packets(data) is not None


def rtcp_packets(data: bytes) -> list[tuple[int, bytes]] | None:
    """The packets of a plain compound, each with its type; None when their lengths do not fit."""
    packets, at = list[tuple[int, bytes]](), 0
    while at < len(data):
        if at + 4 > len(data) or data[at] >> 6 != 2:
            return None
        end = at + 4 + 4 * int.from_bytes(data[at + 2 : at + 4], "big")
        if end > len(data):
            return None
        packets.append((data[at + 1], data[at:end]))
        at = end
    return packets


def audio_reports(data: bytes) -> bytes:
    """A compound without what only video needs: requests to send again, and for whole pictures.

    One small request can name thousands of packets (RFC 4585 6.2.1).
    """
    return b"".join(one for kind, one in rtcp_packets(data) or () if kind in RTCP_AUDIO)


def is_stun(data: bytes) -> bool:
    """Whether cookie, length and attributes fit (RFC 8489 5, 14)."""
    size = len(data)
    if size < STUN_HEADER_BYTES or data[4:8] != STUN_COOKIE or size % 4:
        return False
    if int.from_bytes(data[2:4], "big") != size - STUN_HEADER_BYTES:
        return False
    at = STUN_HEADER_BYTES
    while at < size:
        kind = int.from_bytes(data[at : at + 2], "big")
        value = int.from_bytes(data[at + 2 : at + 4], "big")
        sizes = _STUN_SIZES.get(kind)
        if sizes is not None and value not in sizes:
            return False
        at += 4 + value + (-value & 3)
    return at == size


def is_dtls(data: bytes) -> bool:
    """Whether the records fill the datagram; of DTLS 1.3's encrypted ones the rest is OpenSSL's."""
    at = 0
    while at < len(data) and data[at] in _DTLS_PLAIN_TYPES:
        if at + _DTLS_RECORD_BYTES > len(data) or data[at + 1] != 0xFE:
            return False
        at += _DTLS_RECORD_BYTES + int.from_bytes(data[at + 11 : at + 13], "big")
    return at == len(data) or (at < len(data) and 32 <= data[at] <= 63)
