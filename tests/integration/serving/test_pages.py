"""The watchers' pages, against connections that are kept open."""

import socket
import time

import pytest
from prometheus_client import make_wsgi_app

from callcenter.serving import pages
from callcenter.serving.pages import PageServer

HOST = "127.0.0.1"


@pytest.fixture
def server():
    """Metrics, with half a second for each connection."""
    found = PageServer(HOST, 0, make_wsgi_app(), total_s=0.5)
    found.start()
    yield found
    found.stop()


def connect(port: int, source: str = HOST) -> socket.socket:
    """A connection that waits for at most some seconds."""
    return socket.create_connection((HOST, port), timeout=5, source_address=(source, 0))


def first_line(port: int, source: str = HOST) -> bytes:
    """Of the answer to a whole request; b"" if it is closed."""
    with connect(port, source) as probe:
        probe.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        try:
            return probe.makefile("rb").readline().strip()
        except ConnectionResetError:
            return b""


def test_a_slow_connection_ends_in_time(server: PageServer) -> None:
    """Though it sends a byte now and then; others are served."""
    began = time.monotonic()
    with connect(server.port) as slow:
        slow.settimeout(0.1)
        closed = False
        while not closed:
            try:
                slow.sendall(b"G")
                closed = not slow.recv(100)
            except TimeoutError:
                assert first_line(server.port).startswith(b"HTTP/1.0 200")
            except OSError:  # closed in this moment
                closed = True
    assert time.monotonic() - began < 3


def test_a_host_has_so_many() -> None:
    """And leaves room for the probes of others."""
    server = PageServer(HOST, 0, make_wsgi_app())
    server.start()
    slow = [connect(server.port) for _ in range(pages.CONNECTIONS_PER_HOST)]
    for each in slow:
        each.sendall(b"GET")
    assert first_line(server.port) == b""
    assert first_line(server.port, "127.0.0.2").startswith(b"HTTP/1.0 200")
    for each in slow:
        each.close()
    server.stop()


def test_metrics_over_ipv6() -> None:
    """A pod may have no other address."""
    with pages.metrics_page("::1", 0) as port, socket.create_connection(("::1", port), 5) as probe:
        probe.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert probe.makefile("rb").readline().startswith(b"HTTP/1.0 200")
