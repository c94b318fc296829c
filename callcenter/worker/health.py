"""The worker's HTTP port: /healthz, /readyz and /metrics, from a thread of their own.

It answers even while the event loop is stuck, and then says so. It changes nothing and needs no
password, so it belongs on an inner network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from prometheus_client import make_wsgi_app

from callcenter.serving.pages import PageServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

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
        self._server = PageServer(host, port, self._answer)
        self.port = self._server.port

    def start(self) -> None:
        """Starts answering."""
        self._server.start()

    def stop(self) -> None:
        """Closes the port."""
        self._server.stop()

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
