"""Datagrams for tests: well-formed ones of every kind that media sockets see, and mutations.

Everything follows from a seed, so that what a test found once it finds again.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from zlib import crc32

from aioice import stun as ice_stun
from aiortc.rtp import (
    RtcpReceiverInfo,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
)
from google_crc32c import value as crc32c

MAX_MADE_BYTES = 3_000


def rtp(
    sequence: int = 1, payload: bytes = b"\x80" * 160, payload_type: int = 0, ssrc: int = 1
) -> bytes:
    """An RTP packet of 20 ms."""
    head = struct.pack("!BBHII", 0x80, payload_type, sequence & 0xFFFF, 160 * sequence, ssrc)
    return head + payload


def rtcp(ssrc: int = 1) -> bytes:
    """A sender report with a name."""
    block = RtcpReceiverInfo(2, 0, 0, 1, 0, 0, 0)
    report = RtcpSrPacket(ssrc, RtcpSenderInfo(0, 0, 1, 160), [block])
    return bytes(report) + bytes(RtcpSdesPacket([RtcpSourceInfo(ssrc, [(1, b"name")])]))


def stun(
    username: str, password: str, transaction: bytes = bytes(12), **attributes: object
) -> bytes:
    """A connectivity check, signed."""
    message = ice_stun.Message(ice_stun.Method.BINDING, ice_stun.Class.REQUEST, transaction)
    message.attributes |= {"USERNAME": username, "PRIORITY": 1, "ICE-CONTROLLING": 1} | attributes
    message.add_message_integrity(password.encode())
    return bytes(message)


def stun_indication() -> bytes:
    """A keep-alive without a name (RFC 8445 11)."""
    return bytes(ice_stun.Message(ice_stun.Method.BINDING, ice_stun.Class.INDICATION))


def stun_answer(transaction: bytes = bytes(12)) -> bytes:
    """An answer to a check that nobody has sent."""
    answer = ice_stun.Message(ice_stun.Method.BINDING, ice_stun.Class.RESPONSE, transaction)
    answer.attributes["XOR-MAPPED-ADDRESS"] = ("192.0.2.1", 4_000)
    answer.add_fingerprint()
    return bytes(answer)


def stun_attribute(kind: int, value: bytes) -> bytes:
    """A check with one attribute, whatever it is, and a right fingerprint behind it."""
    body = struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)
    head = struct.pack("!HHI", 1, len(body) + 8, 0x2112A442) + bytes(12)
    return head + body + struct.pack("!HHI", 0x8028, 4, crc32(head + body) ^ 0x5354554E)


def dtls(content: int = 22, body: bytes = bytes(40), version: int = 0xFEFD) -> bytes:
    """A DTLS record."""
    return struct.pack("!BHHIHH", content, version, 0, 0, 1, len(body)) + body


def sctp(tag: int, *chunks: bytes, port: int = 5_000) -> bytes:
    """An SCTP packet with its checksum (RFC 9260 3)."""
    head, body = struct.pack("!HHI", port, port, tag), b"".join(chunks)
    return head + struct.pack("<I", crc32c(head + bytes(4) + body)) + body


def chunk(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    """An SCTP chunk, padded."""
    return struct.pack("!BBH", kind, flags, 4 + len(body)) + body + bytes(-len(body) % 4)


def samples() -> list[bytes]:
    """One of each kind, for mutations."""
    return [
        rtp(),
        rtp(payload=b"\x05\x0a\x00\xa0", payload_type=101),
        bytes.fromhex("9000000100000000000000 01bede0001ff000000".replace(" ", "")) + bytes(20),
        rtcp(),
        bytes([0x80, 203, 0, 1]) + bytes(4),
        stun("abcd:efgh", "p" * 22),
        stun_indication(),
        stun_answer(),
        dtls(),
        dtls(23) + dtls(21, b"\x01\x00"),
        b"",
        b"\x40\x00\x00\x08" + bytes(8),
        bytes(range(256)),
    ]


def mutations(seeds: Sequence[bytes], count: int, *, seed: int) -> Iterator[bytes]:
    """So many datagrams: bits turned, cut off, lengthened, joined, numbers at their ends, noise."""
    draw = random.Random(seed)
    for _ in range(count):
        data = bytearray(draw.choice(seeds))
        for _ in range(draw.randint(1, 3)):
            _mutate(data, draw, seeds)
        yield bytes(data[:MAX_MADE_BYTES])


def _mutate(data: bytearray, draw: random.Random, seeds: Sequence[bytes]) -> None:
    at = draw.randrange(len(data) + 1)
    match draw.randrange(8):
        case 0 if at < len(data):
            data[at] ^= 1 << draw.randrange(8)
        case 1:
            del data[at:]
        case 2:
            data[at:at] = draw.randbytes(draw.randint(1, 40))
        case 3:
            data += draw.choice(seeds)
        case 4 if at < len(data):
            data[at : at + 2] = draw.choice((b"\x00\x00", b"\xff\xff", b"\x7f\xff", b"\x00\x01"))
        case 5:
            data[:] = draw.randbytes(draw.randint(0, 1_600))
        case 6:
            data += bytes(draw.randint(0, 1_600))
        case _ if data:
            data[0] = draw.randrange(256)
