"""One TCP or TLS connection: its bytes, its messages, its patience. Knows nothing of the others."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

import structlog

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.splitter import StreamSplitter
from callcenter.telephony.sip.stream_limits import Patience, StreamLimits
from callcenter.telephony.sip.uri import Peer

TURN_S = 0.002  # of the loop for all messages that wait: every 5 ms some call's audio is due
MAX_UNSENT_BYTES = 1 << 20  # to a far end that reads nothing
PONG = b"\r\n"

log = structlog.get_logger(__name__)


class Keeper(Protocol):
    """Whoever holds all connections."""

    def opened(self, connection: Connection) -> None:
        """It is up."""
        ...

    def closed(self, connection: Connection) -> None:
        """It is gone; called once for each that was opened."""
        ...

    def ready(self, connection: Connection) -> None:
        """It has messages."""
        ...

    def broke(self, connection: Connection) -> None:
        """It has sent what cannot be cut into messages."""
        ...


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        keeper: is told what happens.
        peer: the far end.
        limits: of all connections.
        inbound: whether the far end opened it.

    Attributes:
        up: whether `opened` was told.
    """

    def __init__(self, keeper: Keeper, peer: Peer, limits: StreamLimits, *, inbound: bool) -> None:
        self.peer, self.inbound, self.up = peer, inbound, False
        self._keeper = keeper
        self._loop = asyncio.get_running_loop()
        self._patience = Patience(limits, self._loop.time(), inbound=inbound)
        self._splitter = StreamSplitter()
        self._stream: asyncio.Transport | None = None
        self._messages: deque[bytes] = deque()

    # --- the loop's face --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is up, over TLS after the handshake."""
        if isinstance(transport, asyncio.Transport):
            self._stream, self.up = transport, True
            self._keeper.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._keeper.closed(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        pings = self._splitter.pings
        try:
            messages = self._splitter.receive(data)
        except ProtocolError as error:  # from here on nobody knows where a message begins
            log.info("sip_stream_broken", detail=str(error))
            self._keeper.broke(self)
            self.abort()
            return
        midway, now = self._splitter.midway, self._loop.time()
        self._patience.heard(whole=bool(messages), midway=midway, now=now)
        if self._splitter.pings > pings:  # one answer for all that came at once
            self.send(PONG)
        if messages:
            self._messages.extend(messages)
            self._pause()
            self._keeper.ready(self)

    # --- the keeper's face ------------------------------------------------------------------------

    def next_message(self) -> bytes | None:
        """Hands over the next message; after the last one it reads on."""
        message = self._messages.popleft() if self._messages else None
        if not self._messages:
            self._resume()
        return message

    def over(self, now: float) -> str:
        """Why it has to end; see `Patience.over`."""
        return self._patience.over(now)

    def send(self, data: bytes) -> None:
        """Queues bytes; a far end that reads nothing is cut off."""
        if self._stream is None or self._stream.is_closing():
            return
        if self._stream.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._stream.abort()
            return
        self._stream.write(data)

    def abort(self) -> None:
        """Ends it at once; what has come is not read any more."""
        self._messages.clear()
        if self._stream is not None:
            self._stream.abort()

    def close(self) -> None:
        """Closes in order."""
        if self._stream is not None:
            self._stream.close()

    def _pause(self) -> None:
        if self._stream is not None and self._stream.is_reading():
            self._stream.pause_reading()

    def _resume(self) -> None:
        if self._stream is not None and not self._stream.is_closing():
            self._stream.resume_reading()


class Turns:
    """Hands the messages of all connections on, one of each in turn, a little a turn of the loop.

    Args:
        receive: gets every message.
        turn_s: after so long the loop serves others first.
    """

    def __init__(self, receive: Callable[[bytes, Peer], None], turn_s: float = TURN_S) -> None:
        self._receive, self._turn_s = receive, turn_s
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Connection] = deque()
        self._handle: asyncio.Handle | None = None

    def add(self, connection: Connection) -> None:
        """A connection has messages."""
        self._waiting.append(connection)
        if self._handle is None:
            self._handle = self._loop.call_soon(self._work)

    def close(self) -> None:
        """Hands nothing on any more."""
        self._waiting.clear()
        if self._handle is not None:
            self._handle.cancel()

    def _work(self) -> None:
        self._handle = None
        until = self._loop.time() + self._turn_s
        try:
            while self._waiting and self._loop.time() < until:
                connection = self._waiting.popleft()
                message = connection.next_message()
                if message is not None:
                    self._waiting.append(connection)
                    self._receive(message, connection.peer)
        finally:
            if self._waiting:
                self._handle = self._loop.call_soon(self._work)
