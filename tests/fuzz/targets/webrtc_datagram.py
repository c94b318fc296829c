"""Datagrams and SCTP packets of a browser, judged before aioice and aiortc see them.

What passes as RTCP, SCTP or a message of a data channel is read without an error behind it.
"""

import struct
from contextlib import suppress

from aioice import stun
from aiortc.rtcsctptransport import parse_packet
from aiortc.rtp import RtcpPacket

from callcenter.media import datagram
from callcenter.media.datagram import Kind
from callcenter.telephony.webrtc.sctp import Association, is_message, may_pass
from tests.datagrams import sctp

# What a guarded socket takes for no STUN.
_TROUBLE = (ValueError, LookupError, TypeError, AttributeError, AssertionError, struct.error)
KNOWN = (Association(None, 100, 0), Association(100, 100, 0), Association(2**32 - 1, 0, 255))


def one_input(data: bytes) -> None:
    """As a datagram, as the chunks of an SCTP packet, and as a message."""
    kind = datagram.kind_of(data)
    if isinstance(kind, Kind):
        _judge(kind, data)
    packet = sctp(1, data)
    passed = [may_pass(packet, known) for known in KNOWN]
    if any(passed):
        parse_packet(packet)
    for ppid in (50, 51, 53):
        if is_message(1, ppid, data, {1, 3}) and ppid == 51:
            data.decode()


def _judge(kind: Kind, data: bytes) -> None:
    for sealed in (False, True):
        datagram.is_rtp(data, sealed=sealed)
    datagram.is_dtls(data)
    if kind is Kind.STUN and datagram.is_stun(data):
        with suppress(*_TROUBLE):
            stun.parse_message(data)
    if datagram.is_rtcp(data, sealed=False):
        reports = datagram.audio_reports(data)
        with suppress(ValueError):
            RtcpPacket.parse(reports)
