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

pytestmark = pytest.mark.timeout(40)


async def exchange(caller, packets: int) -> list[bytes]:
    """Speaks and listens in real time; what was heard."""
    loop = asyncio.get_running_loop()
    hearing = asyncio.create_task(caller.hear(packets, timeout_s=packets * 0.02 + 3))
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
    """A few random bytes replaced, removed or added."""
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(data))
        data = (
            data[:at] + chance.randbytes(chance.randint(0, 3)) + data[at + chance.randint(0, 3) :]
        )
        if not data:
            return b"x"
    return data


async def test_a_live_call_among_junk(make_stand, make_caller) -> None:
    """Mutated messages, half-open calls and RTP of a stranger, while a call goes on."""
    stand = await make_stand(trunk="invites_per_s: 2000")
    live = make_caller(stand.udp)
    await live.call()
    await exchange(live, 25)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    junk = asyncio.create_task(send_junk(make_caller, stand, live))
    heard = await exchange(live, 200)
    await junk
    assert whole(heard[10:])
    (frames,) = [f for f in stand.worker.heard.values() if len(f) > 20]
    loudest = [np.abs(frame.astype(int)).max() for frame in frames[12:-3]]
    assert min(loudest) > 20_000
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert grown_kib < 100_000
    assert (await live.ask("OPTIONS")).startswith("SIP/2.0 200")
    assert (await live.ask("BYE")).startswith("SIP/2.0 200")


async def send_junk(make_caller, stand, live) -> None:
    """For about four seconds."""
    chance = random.Random(1)
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stranger.bind(("127.0.0.2", 0))
    sender = make_caller(stand.udp)
    rtp_port = live.remote_rtp[1]
    for turn in range(150):
        sender.call_id = f"junk-{turn}"
        invite = sender.request("INVITE", sender.sdp()).encode()
        for _ in range(10):
            sender.send(mutated(invite, chance))
        if turn % 3 == 0:
            sender.send(invite)
        sender.send(invite.replace(b"Contact: ", b"X-Contact: "))
        bad_port = invite.replace(b"Via: SIP/2.0/UDP 127.0.0.1:", b"Via: SIP/2.0/UDP 127.0.0.1:9")
        sender.send(bad_port)
        stranger.sendto(invite, ("127.0.0.1", stand.udp))
        for number in range(5):
            packet = b"\x80\x00" + (turn * 5 + number).to_bytes(2, "big") + b"\x00" * 168
            stranger.sendto(packet, ("127.0.0.1", rtp_port))
            stranger.sendto(chance.randbytes(60), ("127.0.0.1", rtp_port + 1))
        await asyncio.sleep(0.025)
    stranger.close()


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
