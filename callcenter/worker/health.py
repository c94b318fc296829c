"""The worker's HTTP port: /healthz, /readyz and /metrics, from a thread of their own.

It answers even while the event loop is stuck, and then says so. It changes nothing and needs no
password, so it belongs on an inner network.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

STOP_POLL_S = 0.1

Problem = Callable[[], str]  # "" if all is well


class HealthServer:
    """Serves the three pages.

    Args:
        dead: why the process should be restarted, or "".
        unready: why it should get no new call, or "".
    """

    def __init__(self, host: str, port: int, *, dead: Problem, unready: Problem) -> None:
        self._pages = {"/healthz": dead, "/readyz": unready}
        self._metrics = make_wsgi_app()
        kind = _ServerOfIPv6 if ":" in host else _Server
        self._server = make_server(
            host, port, self._answer, server_class=kind, handler_class=_SilentHandler
        )
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(STOP_POLL_S,), name="health", daemon=True
        )

    def start(self) -> None:
        """Starts answering."""
        self._thread.start()

    def stop(self) -> None:
        """Closes the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            page: Iterable[bytes] = self._metrics(environ, start_response)
            return page
        if path not in self._pages:
            status, text = "404 Not Found", "try /healthz, /readyz or /metrics"
        else:
            problem = self._pages[path]()
            status, text = ("503 Service Unavailable", problem) if problem else ("200 OK", "ok")
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{text}\n".encode()]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _ServerOfIPv6(_Server):
    address_family = socket.AF_INET6


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Probes come every few seconds: no line for them."""
