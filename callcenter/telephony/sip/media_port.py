"""A call's RTP sockets: datagrams to the stream, the wheel's ticks to the stream, datagrams out.

A shell: what a packet means is `stream`'s to know.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace

from callcenter.media.datagram import Refusal
from callcenter.media.units import Pcm16
from callcenter.telephony import refusals
from callcenter.telephony.sip.media_hosts import Hosts
from callcenter.telephony.sip.media_plan import MediaPlan
from callcenter.telephony.sip.networks import is_address
from callcenter.telephony.sip.ports import PortPool
from callcenter.telephony.sip.source import Address
from callcenter.telephony.sip.stream import MediaStream, Tick
from callcenter.telephony.sip.wheel import Wheel

DATAGRAMS_A_TURN = 16
MAX_DATAGRAM_BYTES = 2_048  # more than `media.datagram` lets through, so that it can tell

HOSTS = Hosts()  # of the process, as its log and its metrics are


class MediaPort:
    """One call's audio on the network.

    Args:
        pool: gives the ports.
        wheel: the process's clock.
        stream: of this call.
        ticked: gets what every tick gave.
        hosts: looks up a far end that its SDP names by host.

    Raises:
        NoCapacity: no port is left.
    """

    def __init__(
        self,
        pool: PortPool,
        wheel: Wheel,
        stream: MediaStream,
        ticked: Callable[[Tick, float], None],
        hosts: Hosts = HOSTS,
    ) -> None:
        self.stream = stream
        self._pool, self._wheel = pool, wheel
        self._ticked = ticked
        self._hosts = hosts
        self._looking_up: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._sockets = pool.open()
        self._loop.add_reader(self._sockets.rtp, self._read_rtp)
        self._loop.add_reader(self._sockets.rtcp, self._read_rtcp)
        self._key: object | None = None
        self._closed = False

    @property
    def port(self) -> int:
        """Of RTP."""
        return self._sockets.port

    async def can_reach(self, host: str) -> bool:
        """Whether a host that an SDP names is an address, or has one."""
        return await self._hosts.find(host, self._sockets.rtp.family) is not None

    def agree(self, plan: MediaPlan) -> None:
        """Takes what was agreed; with the first plan the stream begins.

        To a far end that is named by host, nothing is sent before its address is found.
        """
        self.stream.agree(plan, self._loop.time())
        if self._looking_up is not None:
            self._looking_up.cancel()
        if plan.remote is not None and not is_address(plan.remote[0]):
            self._looking_up = asyncio.create_task(self._look_up(plan, *plan.remote))
        if self._key is None and not self._closed:
            self._key = self._wheel.add(self._tick)

    def play(self, samples: Pcm16) -> None:
        """Queues 20 ms."""
        self.stream.play(samples)

    async def _look_up(self, plan: MediaPlan, host: str, port: int) -> None:
        address = await self._hosts.find(host, self._sockets.rtp.family)
        if address is not None and self.stream.plan is plan and not self._closed:
            self.stream.agree(replace(plan, remote=(address, port)), self._loop.time())

    def close(self) -> None:
        """Says goodbye and gives the ports back. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._looking_up is not None:
            self._looking_up.cancel()
        for data, to in self.stream.goodbye():
            self._send(self._sockets.rtcp, data, to)
        if self._key is not None:
            self._wheel.remove(self._key)
        self._loop.remove_reader(self._sockets.rtp)
        self._loop.remove_reader(self._sockets.rtcp)
        self._pool.give_back(self._sockets)

    def _tick(self, now: float) -> None:
        if self._closed:  # within this turn of the loop
            return
        tick = self.stream.tick(now)
        for data, to in tick.send:
            self._send(self._sockets.rtp, data, to)
        for data, to in tick.send_rtcp:
            self._send(self._sockets.rtcp, data, to)
        self._ticked(tick, now)

    def _read_rtp(self) -> None:
        for data, source in self._datagrams(self._sockets.rtp):
            self._note(self.stream.receive(data, source, self._loop.time()))

    def _read_rtcp(self) -> None:
        for data, source in self._datagrams(self._sockets.rtcp):
            self._note(self.stream.receive_rtcp(data, source, self._loop.time()))

    def _note(self, refusal: Refusal | None) -> None:
        if refusal is not None:
            refusals.SIP.note(refusal)

    def _datagrams(self, opened: socket.socket) -> list[tuple[bytes, Address]]:
        datagrams: list[tuple[bytes, Address]] = []
        for _ in range(DATAGRAMS_A_TURN):
            try:
                data, address = opened.recvfrom(MAX_DATAGRAM_BYTES)
            except (BlockingIOError, InterruptedError):  # all read
                break
            except OSError:  # an ICMP error for a packet of ours
                continue
            datagrams.append((data, (address[0], address[1])))
        return datagrams

    def _send(self, opened: socket.socket, data: bytes, to: Address) -> None:
        try:
            opened.sendto(data, to)
        except OSError:  # no route, a full buffer: as if lost on the way
            self.stream.counters.unsent += 1
