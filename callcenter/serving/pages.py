"""Small pages for those who watch a program, from threads: they answer while its loop is stuck.

Each connection has a thread, a bounded time from beginning to end, and one request. There are few
at once, and fewer of one host, so that a stranger who keeps them open shuts no probe out for long.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from callcenter import metrics
from callcenter.errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

TOTAL_S = 10.0
CONNECTIONS = 32
CONNECTIONS_PER_HOST = 8
STOP_POLL_S = 0.1


class PageServer:
    """Serves a WSGI application.

    Args:
        host: address to listen on, of IPv4 or IPv6.
        port: 0 takes a free one.
        app: what answers.
        total_s: for one connection.

    Raises:
        OSError: the address can't be used.

    Attributes:
        port: that it listens on.
    """

    def __init__(
        self, host: str, port: int, app: WSGIApplication, total_s: float = TOTAL_S
    ) -> None:
        kind = _ServerOfIPv6 if ":" in host else _Server
        self._server = make_server(host, port, app, server_class=kind, handler_class=_SilentHandler)
        self._server.total_s = total_s
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(STOP_POLL_S,), name="pages", daemon=True
        )

    def start(self) -> None:
        """Starts answering."""
        self._thread.start()

    def stop(self) -> None:
        """Closes the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def metrics_page(host: str, port: int) -> Iterator[int]:
    """Serves the metrics in Prometheus' text format, apart from what the public reaches.

    Args:
        host: address to listen on.
        port: 0 takes a free one.

    Returns:
        The port.

    Raises:
        ConfigurationError: the address can't be used.
    """
    try:
        server = PageServer(host, port, make_wsgi_app())
    except OSError as error:
        raise ConfigurationError(
            f"METRICS_HOST={host} METRICS_PORT={port} can't be used: {error.strerror}"
        ) from None
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False  # those that are open end by their own time
    total_s = TOTAL_S

    def __init__(self, *args: Any) -> None:
        self._lock = threading.Lock()
        self._hosts: Counter[str] = Counter()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Gives it a thread, if there is room for one more."""
        host = client_address[0]
        with self._lock:
            full = self._hosts.total() >= CONNECTIONS
            if not full and self._hosts[host] < CONNECTIONS_PER_HOST:
                self._hosts[host] += 1
                super().process_request(request, client_address)
                return
        metrics.HTTP_REFUSED.labels("connections").inc()
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answers, and cuts a connection off that takes longer than it may."""
        ender = threading.Timer(self.total_s, _cut, (request,))
        ender.daemon = True
        ender.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            ender.cancel()
            with self._lock:
                self._hosts[client_address[0]] -= 1
                if not self._hosts[client_address[0]]:
                    del self._hosts[client_address[0]]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: whoever is gone, or was cut off, gets no traceback."""


class _ServerOfIPv6(_Server):
    address_family = socket.AF_INET6


def _cut(request: socket.socket) -> None:
    metrics.HTTP_REFUSED.labels("slow_headers").inc()
    with suppress(OSError):  # it has ended in this moment
        request.shutdown(socket.SHUT_RDWR)


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Probes come every few seconds: no line for them."""
