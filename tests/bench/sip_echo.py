"""Marker frames through many SIP calls at once: what is missing, how late it is, what a call costs.

A second process answers every call with an echo over the real leg (jitter buffer, resamplers,
pacing), without an engine; this one calls, sends a level that says the packet's number, and reads
the echo back. With --srtp everything is encrypted; with --bad the network adds up to 20 ms of
jitter and loses 3 %, and the caller's clock runs 100 ppm fast. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import heapq
import ipaddress
import itertools
import json
import logging
import multiprocessing
import random
import resource
import secrets
import socket
import struct
import time
from multiprocessing.connection import Connection

import numpy as np
import structlog

from callcenter.events import LegAudio
from callcenter.media import g711
from callcenter.telephony.sip import sdp
from callcenter.telephony.sip.auth import DigestServer
from callcenter.telephony.sip.endpoint import Endpoint
from callcenter.telephony.sip.identity import Identity
from callcenter.telephony.sip.leg import SipLeg
from callcenter.telephony.sip.media_plan import CryptoKey, LocalMedia
from callcenter.telephony.sip.media_port import MediaPort
from callcenter.telephony.sip.ports import PortPool
from callcenter.telephony.sip.sdes import keys_of
from callcenter.telephony.sip.srtp import Srtp
from callcenter.telephony.sip.stream import MediaStream
from callcenter.telephony.sip.transport import Transports
from callcenter.telephony.sip.trunk import Trunk, Trunks
from callcenter.telephony.sip.ua import UserAgent
from callcenter.telephony.sip.wheel import Wheel

SKEW = 100e-6
LOSS = 0.03
JITTER_S = 0.02
STOOD_IN = 5  # concealed at the end of each call, before it is taken for silence
LEVELS = 16  # a packet's number modulo this: 320 ms
CODES = [0x80 + 7 * index for index in range(LEVELS)]
PLATEAUS = np.array([int(g711.decode_ulaw(bytes([code]))[0]) for code in CODES], float)
DECODED = g711.decode_ulaw(bytes(range(256))).astype(float)
NEAREST = np.abs(DECODED[:, None] / PLATEAUS[None, :] - 1)
LEVEL_OF_CODE = np.where(NEAREST.min(1) < 0.06, NEAREST.argmin(1), -1)  # mu-law byte -> level
PACKET_S = 0.02
SUITE = "AES_CM_128_HMAC_SHA1_80"
SHORTEST_RUN = 50  # samples of one level that count as a packet seen


# --- the echo -------------------------------------------------------------------------------------


async def echo(pipe: Connection) -> None:
    """Answers until it is told to stop; then tells its CPU time."""
    loop = asyncio.get_running_loop()
    pool, wheel, tasks = PortPool("127.0.0.1", 20_000, 20_999), Wheel(), set()
    streams: list[MediaStream] = []

    def answer(call, trunk: Trunk) -> None:
        def fresh() -> MediaStream:
            name = secrets.token_hex(4)
            ssrc = secrets.randbits(32)
            streams.append(MediaStream(ssrc, 0, 0, trunk.knows, name, time.time))
            return streams[-1]

        local = LocalMedia("127.0.0.1", 0, trunk.codecs, trunk.srtp, 1, secrets.token_bytes)
        leg = SipLeg(
            agent,
            call,
            trunk,
            lambda s, ticked: MediaPort(pool, wheel, s, ticked),
            fresh,
            local,
            30.0,
            {},
        )
        task = asyncio.create_task(run(leg))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def run(leg: SipLeg) -> None:
        await leg.play(bytes(960))
        async for event in leg.events():
            if isinstance(event, LegAudio):
                await leg.play(event.payload)
        await leg.close("")

    networks = (ipaddress.ip_network("127.0.0.0/8"),)
    trunks = Trunks([Trunk("bench", networks, max_channels=500, invites_per_s=1_000.0)])
    endpoint = Endpoint(
        Identity("127.0.0.1", {}), trunks, DigestServer("x", b"x"), lambda: secrets.token_hex(8)
    )
    agent = UserAgent(endpoint, answer)
    agent.transports = Transports(agent.received, trunks.knows)
    pipe.send(agent.transports.listen_udp("127.0.0.1", 0))
    lag, due = [], loop.time()
    used_before = resource.getrusage(resource.RUSAGE_SELF)  # imports are not a call's cost
    while not pipe.poll() or pipe.recv() != "stop":
        due += 0.01
        await asyncio.sleep(max(0.0, due - loop.time()))
        lag.append(max(0.0, loop.time() - due))
        due = max(due, loop.time() - 0.01)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = used.ru_utime + used.ru_stime - used_before.ru_utime - used_before.ru_stime
    pipe.send(sum(stream.jitter.concealed for stream in streams) - STOOD_IN * len(streams))
    pipe.send((cpu_s, float(np.percentile(lag, 99)), used.ru_maxrss))


def serve(pipe: Connection) -> None:
    """The echo's process."""
    gc.collect()
    gc.freeze()  # as the gateway does at its start
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    asyncio.run(echo(pipe))


# --- the callers ----------------------------------------------------------------------------------


class Caller:
    """One call that sends markers and keeps what comes back."""

    def __init__(self, port: int, *, srtp: bool) -> None:
        self.sip, self.rtp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for opened in (self.sip, self.rtp):
            opened.bind(("127.0.0.1", 0))
            opened.setblocking(False)
        self.server = ("127.0.0.1", port)
        self.key = CryptoKey(SUITE, secrets.token_bytes(30)) if srtp else None
        self.srtp: Srtp | None = None
        self.sent_at: list[float] = []
        self.came: list[tuple[float, int, bytes]] = []
        self.call_id = secrets.token_hex(8)
        self.to = f"<sip:1@127.0.0.1:{port}>"

    def request(self, method: str, number: int, body: str = "") -> bytes:
        """A request of the call."""
        host = f"127.0.0.1:{self.sip.getsockname()[1]}"
        kind = "Content-Type: application/sdp\r\n" if body else ""
        return (
            f"{method} sip:1@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {host};rport;"
            f"branch=z9hG4bK{secrets.token_hex(6)}\r\nFrom: <sip:c@{host}>;tag=c\r\n"
            f"To: {self.to}\r\nCall-ID: {self.call_id}\r\nCSeq: {number} {method}\r\n"
            f"Contact: <sip:c@{host}>\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    async def call(self) -> None:
        """INVITE, 200, ACK."""
        loop = asyncio.get_running_loop()
        port, crypto, profile = self.rtp.getsockname()[1], "", "RTP/AVP"
        if self.key is not None:
            material = base64.b64encode(self.key.key).decode()
            crypto, profile = f"a=crypto:1 {SUITE} inline:{material}\r\n", "RTP/SAVP"
        body = (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {port} {profile} 0\r\n{crypto}"
        )
        self.sip.sendto(self.request("INVITE", 1, body), self.server)
        while True:
            answer = (await loop.sock_recv(self.sip, 65_535)).decode()
            if answer.startswith("SIP/2.0 200"):
                break
        head, _, text = answer.partition("\r\n\r\n")
        self.to = next(x[4:] for x in head.split("\r\n") if x.startswith("To: "))
        line = sdp.parse(text.encode()).audio
        assert line is not None
        self.far = (line.host, line.port)
        if self.key is not None:
            (theirs,) = keys_of(line)
            self.srtp = Srtp(self.key, theirs)
        self.sip.sendto(self.request("ACK", 1), self.server)
        loop.add_reader(self.rtp, self.read)

    def packet(self, index: int) -> bytes:
        """The marker of a number."""
        header = struct.pack("!BBHII", 0x80, 0, index & 0xFFFF, index * 160, 7)
        data = header + bytes([CODES[index % LEVELS]]) * 160
        return data if self.srtp is None else self.srtp.protect(data)

    def read(self) -> None:
        """Keeps what came."""
        now = time.monotonic()
        while True:
            try:
                data = self.rtp.recv(2_048)
            except BlockingIOError:
                return
            if not 192 <= data[1] <= 223:
                plain = data if self.srtp is None else self.srtp.unprotect(data)
                self.came.append((now, int.from_bytes(plain[2:4], "big"), plain[12:]))

    def judge(self) -> tuple[int, int, list[float]]:
        """Markers missing, markers doubled, latencies."""
        stream = np.frombuffer(b"".join(packet[2] for packet in self.came), np.uint8)
        level = LEVEL_OF_CODE[stream]
        edges = np.flatnonzero(np.diff(level, prepend=-2, append=-2))
        runs = [
            (level[a], a, b - a)
            for a, b in itertools.pairwise(edges)
            if level[a] >= 0 and b - a >= SHORTEST_RUN
        ]
        missing = doubled = 0
        latencies, index = [], None
        for at, start, length in runs:
            if index is None:
                index = int(at)
            else:
                step = int((at - index) % LEVELS)
                index += step
                missing += max(0, step - 1)
            doubled += int(length > 300)
            if index < len(self.sent_at):
                latencies.append(self.came[start // 160][0] - self.sent_at[index])
        seen = 0 if index is None else index + 1
        return missing + max(0, len(self.sent_at) - seen - 10), doubled, latencies


async def load(callers: list[Caller], duration_s: float, *, bad: bool) -> int:
    """Sends from all calls, spread over the 20 ms; how many packets the network lost."""
    chance, lost = random.Random(1), 0
    due: list[tuple[float, int, bytes]] = []
    packets, every_s = round(duration_s / PACKET_S), PACKET_S * (1 - SKEW if bad else 1)
    turns = sorted(
        (index * every_s + number * PACKET_S / len(callers), number, index)
        for number in range(len(callers))
        for index in range(packets)
    )
    position, began = 0, time.monotonic() + 0.1  # a long run's list takes a second
    while position < len(turns) or due:
        now = time.monotonic()
        while position < len(turns) and began + turns[position][0] <= now:
            _, number, index = turns[position]
            position += 1
            caller = callers[number]
            caller.sent_at.append(now)
            data = caller.packet(index)
            if bad and index > 5 and chance.random() < LOSS:
                lost += 1
                continue
            late_s = chance.uniform(0, JITTER_S) if bad else 0.0
            heapq.heappush(due, (now + late_s, number, data))
        while due and due[0][0] <= now:
            _, number, data = heapq.heappop(due)
            callers[number].rtp.sendto(data, callers[number].far)
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.4)
    return lost


def percentiles(latencies_ms: np.ndarray) -> dict[str, float]:
    """Of one group of markers."""
    return {f"p{p}": round(float(np.percentile(latencies_ms, p)), 1) for p in (50, 99, 100)}


async def bench(port: int, calls: int, duration_s: float, *, srtp: bool, bad: bool) -> dict:
    """Calls, loads, judges."""
    callers = [Caller(port, srtp=srtp) for _ in range(calls)]
    for caller in callers:
        await caller.call()
    lost = await load(callers, duration_s, bad=bad)
    judged = [caller.judge() for caller in callers]
    for caller in callers:
        caller.sip.sendto(caller.request("BYE", 2), caller.server)
    await asyncio.sleep(0.2)
    latencies = [np.array(entry[2]) * 1_000 for entry in judged]
    parts = zip(*(np.array_split(entry, 10) for entry in latencies), strict=True)
    tenths = [np.concatenate(part) for part in parts]
    return {
        "calls": calls,
        "srtp": srtp,
        "bad_network": bad,
        "markers": sum(len(caller.sent_at) for caller in callers),
        "lost_by_network": lost,
        "missing": sum(entry[0] for entry in judged),
        "doubled": sum(entry[1] for entry in judged),
        "echo_ms": percentiles(np.concatenate(latencies)),
        "echo_tenths_p50_ms": [round(float(np.median(tenth)), 1) for tenth in tenths],
        "echo_last_tenth_ms": percentiles(tenths[-1]),
    }


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--srtp", action="store_true")
    parser.add_argument("--bad", action="store_true")
    args = parser.parse_args()
    gc.disable()  # the caller keeps every packet: a collection would make it send late
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there,))
    server.start()
    port = here.recv()
    result = asyncio.run(bench(port, args.calls, args.seconds, srtp=args.srtp, bad=args.bad))
    here.send("stop")
    result["concealed"] = here.recv()
    cpu_s, lag_p99_s, rss_kib = here.recv()
    server.join()
    result["cpu_s_per_call_s"] = round(cpu_s / (args.calls * args.seconds), 5)
    result["loop_lag_p99_ms"] = round(lag_p99_s * 1_000, 1)
    result["rss_mib"] = rss_kib // 1_024
    print(json.dumps(result))


if __name__ == "__main__":
    main()
