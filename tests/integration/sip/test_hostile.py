"""Strangers and broken peers send junk to a gateway with a live call, which keeps every frame."""

import asyncio
import contextlib
import itertools
import random
import resource
import socket

import numpy as np
import pytest

from callcenter.media import g711
from tests.integration.sip.conftest import NUMBER, Caller, Stand
from tests.unit.callcenter.telephony.sip.torture import TORTURES

MUTATED = 20_000
A_TURN = 32  # messages every 20 ms: 20,000 take 12.5 s
HALF_OPEN = 500

pytestmark = pytest.mark.timeout(60)


async def exchange(caller: Caller, packets: int) -> list[bytes]:
    """Speaks and listens in real time; what was heard."""
    loop = asyncio.get_running_loop()
    hearing = asyncio.create_task(caller.hear(packets, timeout_s=packets * 0.02 + 5))
    due = loop.time()
    for _ in range(packets):
        caller.sequence = getattr(caller, "sequence", 0) + 1
        caller.send_rtp(b"\x00" * 80 + b"\x80" * 80, caller.sequence)
        due += 0.02
        await asyncio.sleep(due - loop.time())
    return await hearing


def whole(packets: list[bytes]) -> bool:
    """Whether no packet is missing and the agent's tone sounds through.

    The stand-in worker shares this process's event loop: when that is late the tone has holes.
    """
    numbers = [int.from_bytes(packet[2:4], "big") for packet in packets]
    levels = [np.abs(g711.decode_ulaw(packet[12:])).max() for packet in packets]
    steps = {(b - a) & 0xFFFF for a, b in itertools.pairwise(numbers)}
    return steps == {1} and float(np.mean(np.array(levels) > 2_000)) > 0.95


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A few random changes: bytes replaced, removed or added, lines doubled, huge numbers."""
    for _ in range(chance.randint(1, 4)):
        kind, at = chance.randrange(4), chance.randrange(len(data))
        if kind < 2:
            junk = chance.randbytes(chance.randint(0, 4))
            data = data[:at] + junk + data[at + chance.randint(0, 4) :]
        elif kind == 2:
            lines = data.split(b"\r\n")
            lines.insert(chance.randrange(len(lines)), chance.choice(lines))
            data = b"\r\n".join(lines)
        else:
            data = data.replace(b"1", str(chance.randrange(10**12)).encode(), 1)
        data = data or b"x"
    return data


def seeds(caller: Caller, live: Caller) -> list[bytes]:
    """What is mutated: messages that open a call, that belong to the live one, and responses."""
    invite = caller.request("INVITE", caller.sdp())
    inside = [
        live.request("INFO", "Signal=5\r\n", extra="Content-Type: application/dtmf-relay\r\n"),
        live.request("OPTIONS"),
        live.request("NOTIFY", "SIP/2.0 200 OK\r\n", extra="Event: refer\r\n"),
        live.request("REFER", extra=f"Refer-To: <sip:{NUMBER}@127.0.0.1>\r\n"),
    ]
    response = invite.replace(invite.split("\r\n")[0], "SIP/2.0 200 OK")
    outside = [invite, caller.request("OPTIONS"), caller.request("CANCEL"), response]
    return [text.encode() for text in (*outside, *inside)]


async def send_mutated(caller: Caller, live: Caller) -> None:
    """20,000 of them, always the same."""
    loop, chance = asyncio.get_running_loop(), random.Random(4_475)
    originals, due = seeds(caller, live), loop.time()
    for number in range(MUTATED):
        data = mutated(chance.choice(originals), chance)
        ends_it = live.tag.encode() in data and (b"BYE" in data or b"CANCEL" in data)
        if not ends_it:
            caller.send(data[:60_000])
        if number % A_TURN == 0:
            due += 0.02
            await asyncio.sleep(max(0.0, due - loop.time()))


async def live_call(stand: Stand, make_caller) -> Caller:
    """A call that has talked for half a second."""
    live = make_caller(stand.udp)
    await live.call()
    await exchange(live, 25)
    return live


async def survives(stand: Stand, live: Caller, heard: list[bytes]) -> None:
    """The live call lost nothing, is still answered, and ends in order."""
    assert whole(heard[10:])
    (frames,) = [f for f in stand.worker.heard.values() if len(f) > 20]
    loudest = [np.abs(frame.astype(int)).max() for frame in frames[12:-3]]
    assert min(loudest) > 20_000
    live.cseq = 2**31 - 10  # a mutated number may have been taken for the last
    for method in ("OPTIONS", "BYE"):
        assert (await own_answer(live, method)).startswith("SIP/2.0 200")


async def own_answer(live: Caller, method: str) -> str:
    """The response to a request, among those to messages that have borrowed the address."""
    live.send(live.request(method))
    while True:
        text = await live.response()
        if f"branch={live.branch}" in text:
            return text


def kib() -> int:
    """The most memory this process has used."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def test_twenty_thousand_mutated_messages(make_stand, make_caller) -> None:
    """Over the socket, in real time: no frame is missing, and no memory is kept."""
    stand = await make_stand(trunk="invites_per_s: 50")
    live = await live_call(stand, make_caller)
    before_kib = kib()
    junk = asyncio.create_task(send_mutated(make_caller(stand.udp), live))
    heard = await exchange(live, round(MUTATED / A_TURN) + 50)
    await junk
    await survives(stand, live, heard)
    endpoint = stand.gateway._endpoint
    assert len(endpoint) <= 1 + stand.worker.slots
    assert endpoint.transactions <= MUTATED
    assert kib() - before_kib < 100_000


async def test_torture_of_rfc_4475(make_stand, make_caller) -> None:
    """All 49 messages over the socket, while a call goes on."""
    stand = await make_stand()
    live = await live_call(stand, make_caller)
    sender = make_caller(stand.udp)
    talking = asyncio.create_task(exchange(live, 75))
    for torture in TORTURES:
        sender.send(torture.data)
        await asyncio.sleep(0.02)
    await survives(stand, live, await talking)


async def test_half_open_calls_and_strangers(make_stand, make_caller) -> None:
    """INVITEs without an ACK, without Contact or with a port that is none; RTP of a stranger."""
    stand = await make_stand(trunk="invites_per_s: 2000")
    live = await live_call(stand, make_caller)
    before_kib = kib()
    talking = asyncio.create_task(exchange(live, 150))
    sender = make_caller(stand.udp)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.2", 0))
        for number in range(HALF_OPEN):
            sender.call_id = f"half-{number}"
            invite = sender.request("INVITE", sender.sdp()).encode()
            sender.send(invite)
            sender.send(invite.replace(b"half-", b"none-").replace(b"Contact: ", b"X-Contact: "))
            port = b"Via: SIP/2.0/UDP 127.0.0.1:99999;branch=z9hG4bKx%d" % number
            lines = [port if x.startswith(b"Via") else x for x in invite.split(b"\r\n")]
            sender.send(b"\r\n".join(lines))
            stranger.sendto(invite, ("127.0.0.1", stand.udp))
            packet = b"\x80\x00" + number.to_bytes(2, "big") + b"\x00" * 168
            stranger.sendto(packet, ("127.0.0.1", live.remote_rtp[1]))
            stranger.sendto(packet[:60], ("127.0.0.1", live.remote_rtp[1] + 1))
            await asyncio.sleep(0.005)
    heard = await talking
    endpoint = stand.gateway._endpoint
    async with asyncio.timeout(3):  # the last ones ring until the broker has said no
        while len(endpoint) > stand.worker.slots:  # noqa: ASYNC110 - the live one is one of them
            await asyncio.sleep(0.02)
    assert endpoint.transactions <= 2 * HALF_OPEN + 2  # not one for a port that is none
    assert kib() - before_kib < 50_000
    await survives(stand, live, heard)


async def test_half_a_message_on_a_stream(make_stand) -> None:
    """A connection that sends junk is closed; one that sends half a message may stay."""
    stand = await make_stand()
    junk_reader, junk = await asyncio.open_connection("127.0.0.1", stand.gateway.ports["tcp"])
    _, half = await asyncio.open_connection("127.0.0.1", stand.gateway.ports["tcp"])
    half.write(b"OPTIONS sip:a@b SIP/2.0\r\nVia: ")
    junk.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(3):
        assert await junk_reader.read() == b""
    for writer in (junk, half):
        writer.close()
        await writer.wait_closed()


async def test_a_stranger_may_not_connect(make_stand) -> None:
    """An address of no trunk is cut off before it says a word."""
    stand = await make_stand(trunk="")
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", stand.gateway.ports["tcp"], local_addr=("127.0.0.9", 0)
    )
    async with asyncio.timeout(3):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()
