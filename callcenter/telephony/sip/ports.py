"""The pool of RTP ports: an even one for RTP, the next for RTCP (RFC 3550 11).

A port that was given back is the last to be handed out again, so that late packets of one call do
not reach the next.
"""

from __future__ import annotations

import socket
from collections import deque
from dataclasses import dataclass

from callcenter.errors import NoCapacity


@dataclass(frozen=True, slots=True)
class RtpSockets:
    """Two bound, non-blocking sockets."""

    port: int
    rtp: socket.socket
    rtcp: socket.socket

    def close(self) -> None:
        """Closes both."""
        self.rtp.close()
        self.rtcp.close()


class PortPool:
    """Ports of one address.

    Args:
        host: to bind.
        first, last: range; odd ports at its ends are left out.
    """

    def __init__(self, host: str, first: int, last: int) -> None:
        self._host = host
        self._free = deque(range(first + first % 2, last, 2))

    @property
    def free(self) -> int:
        """How many calls still fit."""
        return len(self._free)

    def open(self) -> RtpSockets:
        """Binds the pair of ports that was free for longest.

        Raises:
            NoCapacity: none is left, or others have them.
        """
        for _ in range(len(self._free)):
            port = self._free.popleft()
            try:
                return self._bind(port)
            except OSError:  # another program sits on it
                self._free.append(port)
        raise NoCapacity("no RTP port is free: widen RTP_FIRST_PORT to RTP_LAST_PORT")

    def give_back(self, sockets: RtpSockets) -> None:
        """Closes and takes back a pair."""
        sockets.close()
        self._free.append(sockets.port)

    def _bind(self, port: int) -> RtpSockets:
        rtp = self._socket(port)
        try:
            return RtpSockets(port, rtp, self._socket(port + 1))
        except OSError:
            rtp.close()
            raise

    def _socket(self, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_DGRAM)
        try:
            opened.setblocking(False)
            opened.bind((self._host, port))
        except OSError:
            opened.close()
            raise
        return opened
