"""Cuts a TCP or TLS stream into SIP messages (RFC 3261 18.3). Knows no socket."""

from __future__ import annotations

from callcenter.errors import MessageTooLarge, ProtocolError
from callcenter.telephony.sip.message import MAX_MESSAGE_BYTES, content_length, parse_headers


class StreamSplitter:
    """Cuts a TCP or TLS stream into messages by Content-Length (RFC 3261 18.3)."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.pings = 0  # double CRLF keep-alives that ask for a single CRLF (RFC 5626 4.4.1)

    def receive(self, data: bytes) -> list[bytes]:
        """Takes what came; returns the messages that are complete.

        Raises:
            ProtocolError: the stream can no longer be cut; the connection has to go.
        """
        self._buffer += data
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        if len(self._buffer) > MAX_MESSAGE_BYTES:
            raise MessageTooLarge(f"more than {MAX_MESSAGE_BYTES} bytes without a whole message")
        return messages

    def _next(self) -> bytes | None:
        while self._buffer.startswith(b"\r\n"):
            ping = self._buffer.startswith(b"\r\n\r\n")
            self.pings += ping
            del self._buffer[: 4 if ping else 2]
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        length = self._body_length(bytes(self._buffer[:end]))
        total = end + 4 + length
        if total > MAX_MESSAGE_BYTES:
            raise MessageTooLarge(f"a message of {total} bytes")
        if len(self._buffer) < total:
            return None
        message = bytes(self._buffer[:total])
        del self._buffer[:total]
        return message

    def _body_length(self, head: bytes) -> int:
        lines = head.decode("utf-8", "surrogateescape").split("\r\n")[1:]
        for name, value in parse_headers(lines):
            if name == "content-length":
                return content_length(value)
        raise ProtocolError("a message on a stream needs Content-Length")
