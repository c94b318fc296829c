"""What anybody may send to a call's media sockets, beside a call that loses nothing by it."""

import asyncio
import socket
import struct
import time
from dataclasses import replace

import pytest

from callcenter.telephony.sip.media_hosts import Hosts
from callcenter.telephony.sip.media_plan import CODECS, CryptoKey, MediaPlan
from callcenter.telephony.sip.media_port import MediaPort
from callcenter.telephony.sip.ports import PortPool
from callcenter.telephony.sip.srtp import Srtp
from callcenter.telephony.sip.stream import MediaStream, Tick
from callcenter.telephony.sip.wheel import Wheel
from tests import datagrams

PACKETS = 150  # 3 s of the call
STRANGE = 6_000  # datagrams beside it
FIRST_PORT = 31_800
SUITE = "AES_CM_128_HMAC_SHA1_80"
OURS, THEIRS = CryptoKey(SUITE, b"a" * 30), CryptoKey(SUITE, b"b" * 30)


class Phone:
    """A caller with sockets of its own: numbered packets out, and what comes back."""

    def __init__(self, srtp: bool) -> None:
        self.rtp = self._socket()
        self.seal = Srtp(THEIRS, OURS).protect if srtp else bytes
        self.sent = 0

    def _socket(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", 0))
        made.setblocking(False)
        return made

    def plan(self, srtp: bool, mux: bool) -> MediaPlan:
        """What was agreed with it."""
        host, port = self.rtp.getsockname()
        plan = MediaPlan(
            (host, port), port + 1, CODECS["pcmu"], 0, {0: CODECS["pcmu"]}, 101, 8_000,
            "sendrecv", OURS if srtp else None, THEIRS if srtp else None,
        )  # fmt: skip
        return replace(plan, rtcp_mux=mux)

    def speak(self, port: int) -> None:
        """The next packet, loud, its number in its samples."""
        level = 0x80 | (self.sent % 64)
        self.rtp.sendto(
            self.seal(datagrams.rtp(self.sent, bytes([level]) * 160)), ("127.0.0.1", port)
        )
        self.sent += 1

    def packets(self) -> int:
        """How many have come back."""
        came = 0
        while True:
            try:
                came += len(self.rtp.recv(2_048)) > 12
            except BlockingIOError:
                return came


async def _talk(phone: Phone, port: int) -> None:
    due = asyncio.get_running_loop().time()
    for _ in range(PACKETS):
        phone.speak(port)
        due += 0.02
        await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))


async def _disturb(ports: tuple[int, int]) -> int:
    """Strangers on three addresses, and one that writes the caller's own host."""
    sockets = []
    for host in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((host, 0))
        sockets.append(made)
    seeds = [*datagrams.samples(), *(datagrams.rtp(n, ssrc=0xBAD) for n in range(5))]
    sent, began = 0, time.monotonic()
    for index, data in enumerate(datagrams.mutations(seeds, STRANGE, seed=7)):
        sockets[index % 3].sendto(data, ("127.0.0.1", ports[index % 2]))
        sent += 1
        if index % 20 == 19:  # as fast as a scan, as long as the call
            await asyncio.sleep(
                max(0.0, began + index * 0.02 * PACKETS / STRANGE - time.monotonic())
            )
    for made in sockets:
        made.close()
    return sent


@pytest.mark.parametrize(("srtp", "mux"), [(False, False), (False, True), (True, True)])
async def test_a_call_loses_nothing_by_strangers(srtp, mux) -> None:
    """RTP, RTCP beside it and on the same port, SRTP: 6,000 datagrams, and no frame is missing."""
    phone, heard, errors = Phone(srtp), [], []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(context))
    stream = MediaStream(7, 0, 0, lambda host: host.startswith("127."), "x", time.time)

    def ticked(tick: Tick, now: float) -> None:
        if tick.heard is not None:
            heard.append(tick.heard)

    port = MediaPort(PortPool("127.0.0.1", FIRST_PORT, FIRST_PORT + 99), Wheel(), stream, ticked)
    port.agree(phone.plan(srtp, mux))
    _, sent = await asyncio.gather(_talk(phone, port.port), _disturb((port.port, port.port + 1)))
    await asyncio.sleep(0.1)
    came = phone.packets()
    phone.rtp.close()
    port.close()
    assert not errors
    assert stream.counters.packets_in == PACKETS
    assert stream.stats is not None
    assert stream.stats.lost == 0
    assert stream.counters.refusals.total() > 0.9 * sent
    assert sum(abs(block).min() > 500 for block in heard) > 0.9 * PACKETS
    assert came > PACKETS


async def test_one_port_is_closed_to_whoever_sprays_it() -> None:
    """A thief of the trunk's own network gets none of the agent's packets: the caller talks."""
    phone = Phone(srtp=False)
    stream = MediaStream(7, 0, 0, lambda host: True, "x", time.time)
    pool = PortPool("127.0.0.1", FIRST_PORT + 100, FIRST_PORT + 199)
    port = MediaPort(pool, Wheel(), stream, lambda tick, now: None)
    port.agree(phone.plan(srtp=False, mux=False))
    thief = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    thief.bind(("127.0.0.9", 0))
    thief.setblocking(False)
    thief.sendto(datagrams.rtp(1, ssrc=0xBAD), ("127.0.0.1", port.port))

    async def spray() -> None:
        for n in range(PACKETS):
            thief.sendto(datagrams.rtp(n, ssrc=0xBAD), ("127.0.0.1", port.port))
            thief.sendto(struct.pack("!BBHI", 0x80, 201, 1, 0xBAD), ("127.0.0.1", port.port + 1))
            await asyncio.sleep(0.02)

    await asyncio.gather(_talk(phone, port.port), spray())
    port.close()
    phone.rtp.close()
    with pytest.raises(BlockingIOError):
        thief.recv(2_048)
    thief.close()
    assert stream.counters.packets_in == PACKETS
    assert stream.counters.strangers > PACKETS


@pytest.mark.parametrize("found", [True, False])
async def test_a_far_end_named_by_host_is_looked_up_beside_the_loop(found: bool) -> None:
    """Nothing is sent to a name; no tick waits for a DNS server that is slow."""
    phone, ticks = Phone(srtp=False), []

    def look_up(name: str, family: socket.AddressFamily) -> str:
        time.sleep(0.2)
        if not found:
            raise socket.gaierror("no such name")
        return "127.0.0.1"

    stream = MediaStream(7, 0, 0, lambda host: False, "x", time.time)
    pool = PortPool("127.0.0.1", FIRST_PORT + 100, FIRST_PORT + 199)
    port = MediaPort(pool, Wheel(), stream, lambda tick, now: ticks.append(tick), Hosts(look_up))
    named = ("media.example.com", phone.rtp.getsockname()[1])
    port.agree(replace(phone.plan(srtp=False, mux=False), remote=named))
    await asyncio.sleep(0.15)
    assert len(ticks) >= 5
    assert phone.packets() == 0
    assert not any(tick.send or tick.send_rtcp for tick in ticks)
    assert await port.can_reach("media.example.com") == found
    await asyncio.sleep(0.2)
    assert (phone.packets() > 3) == found
    assert stream.counters.unsent == 0
    port.close()
    phone.rtp.close()
