"""Cuts a TCP or TLS stream into SIP messages (RFC 3261 18.3). Knows no socket.

However small the pieces are that a stream comes in, each byte is searched once and a message's
headers are read once.
"""

from __future__ import annotations

from callcenter.errors import MessageTooLarge, ProtocolError
from callcenter.telephony.sip.message import (
    MAX_HEAD_BYTES,
    MAX_MESSAGE_BYTES,
    content_length,
    parse_headers,
)

_END = b"\r\n\r\n"


class StreamSplitter:
    """Cuts a TCP or TLS stream into messages by Content-Length (RFC 3261 18.3).

    Attributes:
        pings: double CRLF keep-alives so far, which ask for a single CRLF (RFC 5626 4.4.1).
        examined: bytes looked at so far, however often: in step with the bytes that came.
    """

    def __init__(self) -> None:
        self.pings = 0
        self.examined = 0
        self._buffer = bytearray()
        self._searched = 0  # bytes that hold no end of headers
        self._wanted: int | None = None  # bytes of the first message, once its headers are there

    @property
    def midway(self) -> bool:
        """Whether a message has begun and is not whole."""
        return bool(self._buffer)

    def receive(self, data: bytes) -> list[bytes]:
        """Takes what came; returns the messages that are complete.

        Raises:
            ProtocolError: the stream can no longer be cut; the connection has to go.
        """
        self._buffer += data
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> bytes | None:
        if self._wanted is None:
            self._skip_keep_alives()
            self._wanted = self._measure()
        if self._wanted is None or len(self._buffer) < self._wanted:
            return None
        message = bytes(self._buffer[: self._wanted])
        del self._buffer[: self._wanted]
        self._wanted, self._searched = None, 0
        return message

    def _skip_keep_alives(self) -> None:
        """Empty lines before a message; a double one is a ping (RFC 3261 7.5, RFC 5626 4.4.1)."""
        blank = 0
        while self._buffer.startswith(b"\r\n", blank):
            ping = self._buffer.startswith(_END, blank)
            self.pings += ping
            blank += 4 if ping else 2
        if blank:
            del self._buffer[:blank]
            self._searched = 0

    def _measure(self) -> int | None:
        """How long the message is that the buffer begins with; None before its headers' end."""
        start = max(0, self._searched - len(_END) + 1)
        end = self._buffer.find(_END, start)
        self.examined += len(self._buffer) - start
        self._searched = len(self._buffer)
        if (end if end >= 0 else len(self._buffer)) > MAX_HEAD_BYTES:
            raise MessageTooLarge(f"headers of more than {MAX_HEAD_BYTES} bytes")
        if end < 0:
            return None
        self.examined += end
        total = end + len(_END) + self._body_length(bytes(self._buffer[:end]))
        if total > MAX_MESSAGE_BYTES:
            raise MessageTooLarge(f"a message of {total} bytes")
        return total

    def _body_length(self, head: bytes) -> int:
        lines = head.decode("utf-8", "surrogateescape").split("\r\n")[1:]
        for name, value in parse_headers(lines):
            if name == "content-length":
                return content_length(value)
        raise ProtocolError("a message on a stream needs Content-Length")
