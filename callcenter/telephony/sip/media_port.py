"""A call's RTP sockets: datagrams to the stream, the wheel's ticks to the stream, datagrams out.

A shell: what a packet means is `stream`'s to know.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from callcenter.media.units import Pcm16
from callcenter.telephony.sip.media_plan import MediaPlan
from callcenter.telephony.sip.ports import PortPool
from callcenter.telephony.sip.stream import Address, MediaStream, Tick
from callcenter.telephony.sip.wheel import Wheel

DATAGRAMS_A_TURN = 16
MAX_DATAGRAM_BYTES = 2_048


class MediaPort:
    """One call's audio on the network.

    Args:
        pool: gives the ports.
        wheel: the process's clock.
        stream: of this call.
        ticked: gets what every tick gave.

    Raises:
        NoCapacity: no port is left.
    """

    def __init__(
        self,
        pool: PortPool,
        wheel: Wheel,
        stream: MediaStream,
        ticked: Callable[[Tick, float], None],
    ) -> None:
        self.stream = stream
        self._pool, self._wheel = pool, wheel
        self._ticked = ticked
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

    def agree(self, plan: MediaPlan) -> None:
        """Takes what was agreed; with the first plan the stream begins."""
        self.stream.agree(plan, self._loop.time())
        if self._key is None and not self._closed:
            self._key = self._wheel.add(self._tick)

    def play(self, samples: Pcm16) -> None:
        """Queues 20 ms."""
        self.stream.play(samples)

    def close(self) -> None:
        """Says goodbye and gives the ports back. Idempotent."""
        if self._closed:
            return
        self._closed = True
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
            self.stream.receive(data, source, self._loop.time())

    def _read_rtcp(self) -> None:
        for data, source in self._datagrams(self._sockets.rtcp):
            self.stream.receive_rtcp(data, source, self._loop.time())

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
