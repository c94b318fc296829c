"""One end of a link: sends without waiting, receives whole messages.

Both ends use it. Frames to send stand in a queue of a few; when the other side or the network is
slow the oldest frame goes, and is counted: audio that comes late is worth less than audio that
comes now. Control messages are never dropped, but a peer that lets too many of them pile up is cut
off.

It doesn't know which messages belong to which direction; the caller passes the decoder.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed

from callcenter.link import protocol
from callcenter.link.protocol import AudioFrame, Control, Frame

QUEUED_FRAMES = 4  # 320 ms: longer than a scheduling hiccup, shorter than a conversation notices
QUEUED_CONTROLS = 256
WRITE_LIMIT_BYTES = 8_192  # two frames; more would hide a slow peer from the queue above
READ_AHEAD_MESSAGES = 8
KERNEL_BUFFER_BYTES = 16_384  # Linux doubles it

Incoming = TypeVar("Incoming")


class Channel(Generic[Incoming]):
    """One end of a link.

    Attributes:
        frames_dropped: frames that were thrown away because the peer was slow.
    """

    def __init__(self, connection: Connection, decode: Callable[[str], Incoming]) -> None:
        self._connection = connection
        self._decode = decode
        self._frames: deque[bytes] = deque()
        self._controls: deque[str] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._sequence = 0
        self.frames_dropped = 0
        limit_kernel_buffers(connection)
        self._writer = asyncio.create_task(self._write(), name="link-writer")

    def send_frame(
        self, pcm: Frame, *, concealed: bool = False, waited_s: float | None = None
    ) -> None:
        """Queues one frame; the oldest queued one goes if the queue is full.

        Args:
            pcm: int16 [1920].
            concealed: see `AudioFrame`.
            waited_s: see `AudioFrame`.

        Raises:
            ProtocolError: the samples are not int16 [1920].
        """
        if len(self._frames) >= QUEUED_FRAMES:
            self._frames.popleft()
            self.frames_dropped += 1
        frame = AudioFrame(self._sequence, pcm, concealed, waited_s)
        self._frames.append(protocol.encode_audio(frame))
        self._sequence += 1
        self._wake.set()

    def send_control(self, message: Control) -> None:
        """Queues one control message; it goes out before any queued frame."""
        if len(self._controls) >= QUEUED_CONTROLS:
            self._connection.transport.abort()  # the reader of this end sees the close
            return
        self._controls.append(protocol.encode_control(message))
        self._wake.set()

    async def messages(self) -> AsyncIterator[AudioFrame | Incoming]:
        """Yields what the peer says until the connection ends, however it ends.

        Raises:
            ProtocolError: the peer sent something that is no message.
        """
        # A closed connection is the normal end here: whether it was expected is the caller's
        # judgement, who knows if an "end" was said.
        with contextlib.suppress(ConnectionClosed):
            async for data in self._connection:
                if isinstance(data, bytes):
                    yield protocol.decode_audio(data)
                else:
                    yield self._decode(data)

    async def close(self, *, last_word_s: float = 0.5) -> None:
        """Sends what control is queued, then closes the socket; safe to call twice.

        Args:
            last_word_s: how long a peer that doesn't read may hold up the close.
        """
        self._closing = True
        self._frames.clear()
        self._wake.set()
        await asyncio.wait({self._writer}, timeout=last_word_s)
        self._writer.cancel()
        await self._connection.close()

    async def _write(self) -> None:
        """Moves queued messages to the socket; ends with the connection."""
        # The peer may leave at any moment; the reader of this end sees the same close.
        with contextlib.suppress(ConnectionClosed):
            while True:
                self._wake.clear()
                while self._controls:
                    await self._connection.send(self._controls.popleft())
                if self._frames:
                    await self._connection.send(self._frames.popleft())
                elif self._closing:
                    return
                else:
                    await self._wake.wait()


def limit_kernel_buffers(connection: Connection) -> None:
    """Keeps stale audio out of the kernel's buffers, which would otherwise hold seconds of it.

    TCP_NODELAY needs no line here: asyncio sets it on every TCP connection.
    """
    kernel_socket = connection.transport.get_extra_info("socket")
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        kernel_socket.setsockopt(socket.SOL_SOCKET, option, KERNEL_BUFFER_BYTES)
