"""SIP over UDP, TCP and TLS: sockets, connections, nothing of what is in a message.

UDP goes over plain non-blocking sockets: an address that cannot be sent to costs one packet, never
the socket. A stream is kept and used again for everything that goes to its far end. Whoever may not
speak is turned away when his connection is accepted, before TLS.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter, deque
from collections.abc import Callable, Coroutine

import structlog

from callcenter import metrics
from callcenter.telephony.sip.connection import TURN_S, Connection, Turns
from callcenter.telephony.sip.message import MAX_MESSAGE_BYTES
from callcenter.telephony.sip.networks import is_address
from callcenter.telephony.sip.resolver import Names, Resolver
from callcenter.telephony.sip.stream_limits import Doorkeeper, StreamLimits
from callcenter.telephony.sip.uri import Peer

DATAGRAMS_A_TURN = 64  # then other sockets get their turn, or sooner: after TURN_S
ACCEPTED_A_TURN = 16
BACKLOG = 128  # connections that wait to be accepted
ACCEPT_AGAIN_S = 1.0  # after an accept that failed: no file descriptor is left
SWEEP_S = 1.0
SUMMARY_S = 60.0  # one log line for all refused connections of that time
MAX_WAITING = 32  # messages that wait for a connection to open
CONNECT_TIMEOUT_S = 5.0

Receive = Callable[[bytes, Peer], None]

log = structlog.get_logger(__name__)


class Transports:
    """All sockets of one user agent.

    Args:
        receive: gets every message with where it came from.
        allowed: whether a host may open a connection.
        client_tls: for connections that we open; None opens no TLS.
        unreachable: hears which far end cannot be connected to.
        limits: of connections.
        needed: whether something goes over a connection that has been silent for long.
        resolver: finds the addresses of names; None for one that asks the system's servers.
    """

    def __init__(
        self,
        receive: Receive,
        allowed: Callable[[str], bool],
        client_tls: ssl.SSLContext | None = None,
        unreachable: Callable[[Peer], None] = lambda peer: None,
        limits: StreamLimits | None = None,
        needed: Callable[[Peer], bool] = lambda peer: False,
        resolver: Resolver | None = None,
    ) -> None:
        self._receive = receive
        self._allowed = allowed
        self._client_tls = client_tls
        self._unreachable = unreachable
        self._needed = needed
        self._loop = asyncio.get_running_loop()
        self._limits = limits or StreamLimits()
        self._door = Doorkeeper(self._limits)
        self._turns = Turns(receive)
        self._udp: list[socket.socket] = []
        self._listeners: list[socket.socket] = []
        self._connections: dict[Peer, Connection] = {}
        self._opening: dict[Peer, deque[bytes]] = {}
        self._names = Names(resolver or Resolver(), self._send_udp, self._reaches, self._run)
        self._tasks: set[asyncio.Task[None]] = set()
        self._refused: Counter[str] = Counter()
        self._summary_at = self._loop.time() + SUMMARY_S
        self._sweeping: asyncio.TimerHandle | None = None

    def listen_udp(self, host: str, port: int) -> int:
        """Opens a UDP socket; returns its port."""
        udp = socket.socket(_family(host), socket.SOCK_DGRAM)
        udp.setblocking(False)
        udp.bind((host, port))
        self._udp.append(udp)
        self._loop.add_reader(udp, self._readable, udp)
        return int(udp.getsockname()[1])

    async def listen_stream(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Opens a TCP or TLS server; returns its port."""
        listener = socket.create_server((host, port), family=_family(host), backlog=BACKLOG)
        listener.setblocking(False)
        self._listeners.append(listener)
        self._listen(listener, tls)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(SWEEP_S, self._sweep)
        return int(listener.getsockname()[1])

    def send(self, peer: Peer, data: bytes) -> None:
        """Sends a message; what cannot be sent is lost, and whoever waits for an answer knows."""
        if peer.transport == "udp":
            if is_address(peer.host):
                self._send_udp(peer, data)
            elif not self._names.send(peer, data):
                log.warning("sip_not_sent", detail=f"too much waits for {peer.host}")
            return
        connection = self._connections.get(peer)
        if connection is not None:
            connection.send(data)
        else:
            self._open(peer, data)

    def silent(self, peer: Peer) -> None:
        """A far end did not answer: if its name has another address, that one is next."""
        self._names.silent(peer)

    async def close(self) -> None:
        """Closes every socket."""
        for opened in (*self._udp, *self._listeners):
            self._loop.remove_reader(opened)
            opened.close()
        self._listeners.clear()
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._turns.close()
        for task in list(self._tasks):
            task.cancel()
        for connection in list(self._connections.values()):
            connection.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- UDP --------------------------------------------------------------------------------------

    def _readable(self, udp: socket.socket) -> None:
        until = self._loop.time() + TURN_S
        for _ in range(DATAGRAMS_A_TURN):
            try:
                data, address = udp.recvfrom(MAX_MESSAGE_BYTES)
            except (BlockingIOError, InterruptedError):  # all read
                return
            except OSError:  # an ICMP error for something sent before
                continue
            self._receive(data, Peer("udp", address[0], address[1]))
            if self._loop.time() >= until:  # the rest is still there at the loop's next turn
                return

    def _reaches(self, peer: Peer) -> bool:
        return any(udp.family == _family(peer.host) for udp in self._udp)

    def _send_udp(self, peer: Peer, data: bytes) -> None:
        for udp in self._udp:
            if udp.family == _family(peer.host):
                try:
                    udp.sendto(data, (peer.host, peer.port))
                except OSError as error:  # no route, a name, a full buffer: as if lost on the way
                    log.warning("sip_not_sent", detail=str(error))
                return
        log.warning("sip_not_sent", detail=f"no UDP socket for {peer.host}")

    # --- streams that others open ---------------------------------------------------------------

    def _listen(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        if listener in self._listeners:  # not closed meanwhile
            self._loop.add_reader(listener, self._acceptable, listener, tls)

    def _acceptable(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        for _ in range(ACCEPTED_A_TURN):
            try:
                accepted, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):  # all, or one left again
                return
            except OSError as error:  # no file descriptor is left
                log.warning("sip_not_accepted", detail=str(error))
                self._loop.remove_reader(listener)
                self._loop.call_later(ACCEPT_AGAIN_S, self._listen, listener, tls)
                return
            host, port = str(address[0]), int(address[1])
            why_not = "stranger"
            if self._allowed(host):
                why_not = self._door.admit(host, self._loop.time())
            if why_not:
                self._count(why_not)
                accepted.close()
                continue
            peer = Peer("tcp" if tls is None else "tls", host, port)
            self._run(self._take_in(accepted, peer, tls))

    async def _take_in(
        self, accepted: socket.socket, peer: Peer, tls: ssl.SSLContext | None
    ) -> None:
        accepted.setblocking(False)
        connection = Connection(self, peer, self._limits, inbound=True)
        try:
            async with asyncio.timeout(self._limits.message_s):
                await self._loop.connect_accepted_socket(lambda: connection, accepted, ssl=tls)
        except (OSError, TimeoutError) as error:  # the far end has left, or fails at TLS
            self._count("tls")
            log.debug("sip_not_encrypted", detail=str(error))
        finally:
            if not connection.up:
                accepted.close()
                self._door.leave(peer.host)

    def opened(self, connection: Connection) -> None:
        """A connection is up."""
        self._connections[connection.peer] = connection
        metrics.SIP_CONNECTIONS.set(len(self._connections))

    def closed(self, connection: Connection) -> None:
        """A connection is gone."""
        if self._connections.get(connection.peer) is connection:
            del self._connections[connection.peer]
        if connection.inbound:
            self._door.leave(connection.peer.host)
        else:
            self._door.closed()
        metrics.SIP_CONNECTIONS.set(len(self._connections))

    def ready(self, connection: Connection) -> None:
        """A connection has messages."""
        self._turns.add(connection)

    def broke(self, connection: Connection) -> None:
        """A connection has sent what is no SIP."""
        self._count("broken")

    def sweep(self, now: float) -> None:
        """Ends the connections that have been too slow, or silent for too long and not needed."""
        for connection in list(self._connections.values()):
            why = connection.over(now)
            if why == "slow" or (why == "idle" and not self._needed(connection.peer)):
                self._count(why)
                connection.abort()
        if self._refused and now >= self._summary_at:
            log.warning("sip_connections_refused", within_s=SUMMARY_S, **self._refused)
            self._refused.clear()
        if now >= self._summary_at:
            self._summary_at = now + SUMMARY_S

    def _sweep(self) -> None:
        self._sweeping = self._loop.call_later(SWEEP_S, self._sweep)
        self.sweep(self._loop.time())

    def _count(self, reason: str) -> None:
        self._refused[reason] += 1
        metrics.SIP_CONNECTIONS_REFUSED.labels(reason).inc()

    # --- streams that we open ---------------------------------------------------------------------

    def _open(self, peer: Peer, data: bytes) -> None:
        waiting = self._opening.get(peer)
        if waiting is not None:
            if len(waiting) < MAX_WAITING:
                waiting.append(data)
            return
        if not self._door.opens():
            self._count("full")
            self._loop.call_soon(self._unreachable, peer)
            return
        self._opening[peer] = deque([data])
        self._run(self._connect(peer))

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, peer: Peer) -> None:
        """Connects to the first of a far end's addresses that takes it."""
        connection: Connection | None = None
        try:
            for target in await self._names.locate(peer):
                connection = await self._connect_to(peer, target)
                if connection is not None:
                    break
        finally:
            waiting = self._opening.pop(peer, deque())
            if connection is None:
                self._door.closed()
        if connection is None or self._connections.get(peer) is None:
            self._unreachable(peer)
            return
        for data in waiting:
            connection.send(data)

    async def _connect_to(self, peer: Peer, target: Peer) -> Connection | None:
        """A connection to an address, if it takes one; its certificate must be the name's."""
        tls = self._client_tls if peer.transport == "tls" else None
        connection = Connection(self, peer, self._limits, inbound=False)
        try:
            if peer.transport == "tls" and tls is None:
                raise OSError("no TLS context for connections of ours")
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._loop.create_connection(
                    lambda: connection,
                    target.host,
                    target.port,
                    ssl=tls,
                    server_hostname=peer.host if tls is not None else None,
                )
        except (OSError, TimeoutError) as error:  # the far end is away, or its certificate is bad
            log.warning("sip_not_connected", transport=peer.transport, detail=str(error))
            self._names.failed(target)
        return connection if connection.up else None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
