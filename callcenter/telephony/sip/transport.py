"""SIP over UDP, TCP and TLS: sockets, connections, nothing of what is in a message.

UDP goes over plain non-blocking sockets: an address that cannot be sent to costs one packet, never
the socket. A stream is kept and used again for everything that goes to its far end.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable, Coroutine

import structlog

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.message import MAX_MESSAGE_BYTES
from callcenter.telephony.sip.resolver import Names, Resolver
from callcenter.telephony.sip.splitter import StreamSplitter
from callcenter.telephony.sip.uri import Peer, is_address

DATAGRAMS_A_TURN = 64  # then other sockets get their turn
MAX_CONNECTIONS = 500
MAX_WAITING = 32  # messages that wait for a connection to open
MAX_UNSENT_BYTES = 1 << 20  # to a far end that reads nothing
CONNECT_TIMEOUT_S = 5.0
PONG = b"\r\n"

Receive = Callable[[bytes, Peer], None]

log = structlog.get_logger(__name__)


class Transports:
    """All sockets of one user agent.

    Args:
        receive: gets every message with where it came from.
        allowed: whether a host may open a connection.
        client_tls: for connections that we open; None opens no TLS.
        unreachable: hears which far end cannot be connected to.
        resolver: finds the addresses of names; None for one that asks the system's servers.
    """

    def __init__(
        self,
        receive: Receive,
        allowed: Callable[[str], bool],
        client_tls: ssl.SSLContext | None = None,
        unreachable: Callable[[Peer], None] = lambda peer: None,
        resolver: Resolver | None = None,
    ) -> None:
        self._receive = receive
        self._allowed = allowed
        self._client_tls = client_tls
        self._unreachable = unreachable
        self._udp: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._connections: dict[Peer, _Connection] = {}
        self._opening: dict[Peer, deque[bytes]] = {}
        self._names = Names(resolver or Resolver(), self._send_udp, self._reaches, self._run)
        self._tasks: set[asyncio.Task[None]] = set()

    def listen_udp(self, host: str, port: int) -> int:
        """Opens a UDP socket; returns its port."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        udp = socket.socket(family, socket.SOCK_DGRAM)
        udp.setblocking(False)
        udp.bind((host, port))
        self._udp.append(udp)
        asyncio.get_running_loop().add_reader(udp, self._readable, udp)
        return int(udp.getsockname()[1])

    async def listen_stream(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Opens a TCP or TLS server; returns its port."""
        transport = "tcp" if tls is None else "tls"
        server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self, transport, inbound=True), host, port, ssl=tls
        )
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

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
        loop = asyncio.get_running_loop()
        for udp in self._udp:
            loop.remove_reader(udp)
            udp.close()
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        for connection in list(self._connections.values()):
            connection.close()
        for server in self._servers:
            await server.wait_closed()

    # --- UDP --------------------------------------------------------------------------------------

    def _readable(self, udp: socket.socket) -> None:
        for _ in range(DATAGRAMS_A_TURN):
            try:
                data, address = udp.recvfrom(MAX_MESSAGE_BYTES)
            except (BlockingIOError, InterruptedError):  # all read
                return
            except OSError:  # an ICMP error for something sent before
                continue
            self._receive(data, Peer("udp", address[0], address[1]))

    def _reaches(self, peer: Peer) -> bool:
        family = socket.AF_INET6 if ":" in peer.host else socket.AF_INET
        return any(udp.family == family for udp in self._udp)

    def _send_udp(self, peer: Peer, data: bytes) -> None:
        family = socket.AF_INET6 if ":" in peer.host else socket.AF_INET
        for udp in self._udp:
            if udp.family == family:
                try:
                    udp.sendto(data, (peer.host, peer.port))
                except OSError as error:  # no route, a name, a full buffer: as if lost on the way
                    log.warning("sip_not_sent", detail=str(error))
                return
        log.warning("sip_not_sent", detail=f"no UDP socket for {peer.host}")

    # --- streams ----------------------------------------------------------------------------------

    def opened(self, connection: _Connection, peer: Peer, *, inbound: bool) -> bool:
        """A connection is there; whether it may stay."""
        if inbound and not self._allowed(peer.host):
            return False
        if len(self._connections) >= MAX_CONNECTIONS:
            log.warning("sip_connections_full", connections=MAX_CONNECTIONS)
            return False
        self._connections[peer] = connection
        return True

    def closed(self, connection: _Connection, peer: Peer) -> None:
        """A connection is gone."""
        if self._connections.get(peer) is connection:
            del self._connections[peer]

    def received(self, data: bytes, peer: Peer) -> None:
        """A whole message came over a connection."""
        self._receive(data, peer)

    def _open(self, peer: Peer, data: bytes) -> None:
        waiting = self._opening.get(peer)
        if waiting is not None:
            if len(waiting) < MAX_WAITING:
                waiting.append(data)
            return
        self._opening[peer] = deque([data])
        self._run(self._connect(peer))

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, peer: Peer) -> None:
        """Connects to the first of a far end's addresses that takes it."""
        try:
            for target in await self._names.locate(peer):
                if await self._connect_to(peer, target):
                    break
        finally:
            waiting = self._opening.pop(peer, deque())
        connection = self._connections.get(peer)
        if connection is None:
            self._unreachable(peer)
            return
        for data in waiting:
            connection.send(data)

    async def _connect_to(self, peer: Peer, target: Peer) -> bool:
        """Whether an address took the connection; its certificate must be the name's."""
        tls = self._client_tls if peer.transport == "tls" else None
        try:
            if peer.transport == "tls" and tls is None:
                raise OSError("no TLS context for connections of ours")
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await asyncio.get_running_loop().create_connection(
                    lambda: _Connection(self, peer.transport, inbound=False, peer=peer),
                    target.host,
                    target.port,
                    ssl=tls,
                    server_hostname=peer.host if tls is not None else None,
                )
        except (OSError, TimeoutError) as error:  # the far end is away, or its certificate is bad
            log.warning("sip_not_connected", transport=peer.transport, detail=str(error))
            self._names.failed(target)
            return False
        return True


class _Connection(asyncio.Protocol):
    """One TCP or TLS connection."""

    def __init__(
        self, transports: Transports, transport: str, *, inbound: bool, peer: Peer | None = None
    ) -> None:
        self._transports = transports
        self._name = transport
        self._inbound = inbound
        self._peer = peer or Peer(transport, "", 0)
        self._splitter = StreamSplitter()
        self._stream: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            return
        self._stream = transport
        if self._inbound:
            host, port = transport.get_extra_info("peername")[:2]
            self._peer = Peer(self._name, host, port)
        if not self._transports.opened(self, self._peer, inbound=self._inbound):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transports.closed(self, self._peer)

    def data_received(self, data: bytes) -> None:
        pings = self._splitter.pings
        try:
            messages = self._splitter.receive(data)
        except ProtocolError as error:  # from here on nobody knows where a message begins
            log.warning("sip_stream_broken", detail=str(error))
            self.close()
            return
        for _ in range(self._splitter.pings - pings):
            self.send(PONG)
        for message in messages:
            self._transports.received(message, self._peer)

    def send(self, data: bytes) -> None:
        """Queues bytes; a far end that reads nothing is cut off."""
        if self._stream is None or self._stream.is_closing():
            return
        if self._stream.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._stream.abort()
            return
        self._stream.write(data)

    def close(self) -> None:
        """Closes in order."""
        if self._stream is not None:
            self._stream.close()
