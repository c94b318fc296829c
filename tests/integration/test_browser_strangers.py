"""What anybody, and what one bad browser, may send to a browser call's sockets."""

import asyncio
import logging
import re
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from callcenter.events import LegEnded
from tests import datagrams
from tests.browsers import Call, calling

STRANGE = 6_000
TALK_S = 3.0


@asynccontextmanager
async def watched_loop() -> AsyncIterator[list[float]]:
    """How late the loop woke a timer of 10 ms, each time; any exception in a callback fails."""
    late, errors, loop = [0.0], [], asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(context))

    async def pulse() -> None:
        while True:
            due = loop.time() + 0.01
            await asyncio.sleep(0.01)
            late.append(loop.time() - due)

    beating = asyncio.create_task(pulse())
    yield late
    beating.cancel()
    loop.set_exception_handler(None)
    assert not errors


async def packets_sent(call: Call) -> int:
    """Audio packets that the browser has sent."""
    report = await call.browser.getSenders()[0].getStats()
    return sum(one.packetsSent for one in report.values() if one.type == "outbound-rtp")


def seeds(call: Call) -> list[bytes]:
    """What strangers know of, and what they may have read on the way: the user name."""
    ufrag = re.findall(r"a=ice-ufrag:(\S+)", call.answer)[0]
    odd = [(0x0024, b"\x00"), (0x8029, b"\x00" * 4), (0x0008, bytes(4)), (0x0006, b"\xff\xfe")]
    odd += [(0x0020, b"\x00\x01\x00"), (0x0009, b""), (0x8028, b"")]
    return [
        *datagrams.samples(),
        *(datagrams.stun_attribute(*one) for one in odd),
        datagrams.stun(f"{ufrag}:abcd", "x" * 22),
        datagrams.stun(f"{ufrag}:abcd", "x" * 22, **{"USE-CANDIDATE": None}),
        datagrams.dtls(22, bytes(200)),
        datagrams.rtp(payload_type=96),
        bytes([0x80, 0]) + bytes(1_600),
    ]


async def test_a_browsers_call_loses_nothing_by_strangers(caplog) -> None:
    """6,000 datagrams to its ports: nothing raises, nothing is logged, no packet is missing."""
    caplog.set_level(logging.INFO, "asyncio")
    caplog.set_level(logging.WARNING)
    async with calling() as call, watched_loop():
        counters = call.leg._inbound.counters
        before, missing = len(call.heard), await packets_sent(call) - counters.received
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            began, ports = time.monotonic(), call.ports()
            made = datagrams.mutations(seeds(call), STRANGE, seed=11)
            for index, data in enumerate(made):
                stranger.sendto(data, ports[index % len(ports)])
                if index % 20 == 19:
                    due = began + TALK_S * index / STRANGE
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
        heard, seconds = len(call.heard) - before, time.monotonic() - began
        await asyncio.sleep(0.1)
        assert not call.over
        assert heard > 0.9 * 50 * seconds
        assert await packets_sent(call) - counters.received <= missing + 2  # on their way
    assert not caplog.records


def params(*pairs: tuple[int, bytes], length: int | None = None) -> bytes:
    """SCTP parameters; a length of one's own in place of theirs."""
    made = [
        struct.pack("!HH", kind, 4 + len(value) if length is None else length) + value
        for kind, value in pairs
    ]
    return b"".join(made)


def bad_sctp(tag: int, received: int, sent: int) -> list[bytes]:
    """Packets of an association that would hold up, fill or end whoever takes them as written."""
    chunk, data = datagrams.chunk, struct.pack("!IHHI", received + 1, 1, 0, 51)
    far = struct.pack("!IHHI", received + 5_000, 1, 0, 51)
    sack = struct.pack("!IIHH", sent, 9_000, 280, 0) + b"\x00\x01\xff\xff" * 280
    return [
        datagrams.sctp(tag, chunk(4, params((1, b""), length=0))),  # read for ever
        datagrams.sctp(0, chunk(1, bytes(16) + params((1, b""), length=0))),
        datagrams.sctp(tag, chunk(9, params((1, b""), length=2))),
        datagrams.sctp(tag, chunk(130, params((13, b"")))),
        datagrams.sctp(tag, chunk(3, sack)),  # 18 million packets acknowledged
        datagrams.sctp(tag, chunk(3, bytes(5))),
        datagrams.sctp(tag, chunk(3, struct.pack("!IIHH", sent + 9, 9_000, 0, 0))),
        datagrams.sctp(tag, chunk(192, struct.pack("!I", received + 1_000_000))),
        datagrams.sctp(tag, chunk(192, b"\x00")),
        datagrams.sctp(tag, chunk(7, b"")),
        datagrams.sctp(tag, chunk(0, b"\x00")),
        datagrams.sctp(tag, chunk(0, far + b"x", flags=3)),
        datagrams.sctp(tag, *[chunk(4)] * 300),
        datagrams.sctp(0, chunk(1, bytes(16)), chunk(1, bytes(16))),
        datagrams.sctp(tag, chunk(0, data[:4] + struct.pack("!HHI", 9_999, 0, 51) + b"x", flags=3)),
        datagrams.sctp(tag)[:10],
    ]


async def test_a_bad_browser_holds_up_nobody() -> None:
    """What only it can send, having the keys: the loop goes on, and its call can be ended."""
    async with calling() as call, watched_loop() as late:
        theirs, ours = call.browser.sctp, call.leg.connection.sctp
        dtls = theirs.transport
        for _ in range(5):
            tag = ours._local_verification_tag
            for packet in bad_sctp(tag, ours._last_received_tsn, ours._local_tsn - 1):
                await dtls._send_data(packet)
                await asyncio.sleep(0)
        ssrc = call.leg.connection.getSenders()[0]._ssrc
        again = struct.pack("!BBHII", 0x81, 205, 302, 1, ssrc)
        report = datagrams.rtcp()
        wanted = b"".join(struct.pack("!HH", number, 0xFFFF) for number in range(0, 65_535, 218))[
            :1_200
        ]
        for bad in (
            report + again + wanted,  # thousands of packets once more
            report + bytes([0x8F, 206, 0, 4]) + bytes(8) + b"REMB" + b"\xff\x00\x00\x00",
            report + bytes([0x81, 202, 0, 0]),
            bytes([0x9F, 203, 0, 1]) + bytes(4),
        ):
            for _ in range(20):
                await dtls._send_rtp(bad)
        for stream in range(80):  # more than a report of ours has room for
            await dtls._send_rtp(datagrams.rtp(stream, payload_type=96, ssrc=1_000 + stream))
        for pieces in ((), (bytes(3),)):
            await dtls._send_rtp(
                struct.pack("!BBHII", 0x90, 96, 1, 1, 1_000)
                + struct.pack("!HH", 0xBEDE, 1)
                + b"\x30\x00\x00\x00"
                + b"".join(pieces)
            )
        await asyncio.sleep(2.0)  # a report of ours is made
        assert max(late) < 0.25
        assert not call.over
        before = len(call.heard)
        await asyncio.sleep(0.5)
        assert len(call.heard) - before >= 20


async def test_a_message_for_a_channel_that_is_none() -> None:
    """Opened twice, never opened, or no text: ignored, and the channel goes on."""
    async with calling() as call, watched_loop():
        theirs = call.browser.sctp
        opening = struct.pack("!BBHLHH", 3, 0, 0, 0, 1, 0)
        for stream, kind, data in (
            (1, 50, opening + b"x"),  # it is open
            (5, 50, b"\x02"),
            (5, 50, opening + b"\xff"),
            (5, 50, struct.pack("!BBHLHH", 3, 0, 0, 0, 900, 0)),
            (1, 51, b"\xff\xfe"),
        ):
            await theirs._send(stream, kind, data)
        for number in range(20):
            call.browser.createDataChannel(str(number))
        await asyncio.sleep(0.5)
        assert not call.over
        assert len(call.leg.connection.sctp._data_channels) <= 8
        theirs._data_channels[1].send('{"type": "hangup"}')
        async with asyncio.timeout(2):
            while not call.over:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert call.over == [LegEnded("hangup")]
