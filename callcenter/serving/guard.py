"""Uvicorn's HTTP protocol with bounds on what one connection and one host may hold.

    connected --headers_s--> headers complete --body_s and min_rate--> request complete
    answer: every write_s some of it must be read

Uvicorn itself waits for ever for the rest of a request, and for a client to read its answer (OWASP
ASVS 5.0, 4.2 and 15.2.2; "slow loris"). What goes beyond a bound is closed and counted; it is told
nothing, since it would have to read it. A connection that becomes a WebSocket leaves these bounds:
its own end looks after it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from callcenter import metrics


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds of a server.

    Attributes:
        connections: at once, of all hosts together.
        connections_per_host: of one address, or one /64 of IPv6.
        proxies: addresses and networks that speak for many, so that only `connections` bounds them;
            they bound their own clients.
        headers_s: from the connection, or from a further request's first byte, to the end of the
            headers.
        headers_bytes: of a request's line and headers.
        body_s: for a request's body, and a second more for every `min_bytes_per_s` that came.
        body_max_s: for a body in any case.
        write_s: for a client to read what waits for it.
    """

    connections: int = 1_000
    connections_per_host: int = 250
    proxies: tuple[str, ...] = ()
    headers_s: float = 10.0
    headers_bytes: int = 65_536
    body_s: float = 20.0
    min_bytes_per_s: int = 10_000
    body_max_s: float = 600.0
    write_s: float = 30.0


class Guard:
    """Counts a server's connections."""

    def __init__(self, limits: HttpLimits) -> None:
        self.limits = limits
        self._hosts: Counter[str] = Counter()
        self._proxies = [ip_network(proxy, strict=False) for proxy in limits.proxies]

    def enter(self, host: str) -> bool:
        """Counts one more; False if there are enough."""
        limits, key = self.limits, _network(host)
        if self._hosts.total() >= limits.connections:
            return False
        if self._hosts[key] >= limits.connections_per_host and not self._is_proxy(host):
            return False
        self._hosts[key] += 1
        return True

    def _is_proxy(self, host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:  # a socket without addresses
            return False
        return any(address in proxy for proxy in self._proxies)

    def leave(self, host: str) -> None:
        """Counts one less."""
        key = _network(host)
        self._hosts[key] -= 1
        if not self._hosts[key]:
            del self._hosts[key]


class GuardedHttp(HttpToolsProtocol):
    """One connection; `guarded` makes the class for a server."""

    guard: Guard

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._host: str | None = None  # whom the guard has counted
        self._reading_headers = True
        self._header_bytes = 0
        self._body_bytes = 0
        self._body_since_s = 0.0
        self._request_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    # --- the connection ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Counts it, and waits for its first request."""
        super().connection_made(transport)
        host = self.client[0] if self.client else ""
        if not self.guard.enter(host):
            self._cut("connections")
            return
        self._host = host
        self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Counts it no more."""
        self._let_go()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Hands it over to the WebSocket protocol."""
        self._let_go()
        super().handle_websocket_upgrade()

    # --- a request --------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Any byte but that of a body begins, or goes on with, the headers of a request."""
        if self._reading_headers:
            if self._request_timer is None:
                self._wait_for_headers()
            self._header_bytes += len(data)
        super().data_received(data)
        if self._reading_headers and self._header_bytes > self.guard.limits.headers_bytes:
            self._cut("large_headers")

    def on_headers_complete(self) -> None:
        """The body comes."""
        self._reading_headers = False
        self._header_bytes = self._body_bytes = 0
        self._body_since_s = self.loop.time()
        self._time_request(self.guard.limits.body_s, self._look_at_body)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of it."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete; the next one may begin."""
        self._reading_headers = True
        self._stop_request_timer()
        super().on_message_complete()

    def _wait_for_headers(self) -> None:
        self._time_request(self.guard.limits.headers_s, lambda: self._cut("slow_headers"))

    def _look_at_body(self) -> None:
        limits, took_s = self.guard.limits, self.loop.time() - self._body_since_s
        allowed_s = limits.body_s + self._body_bytes / limits.min_bytes_per_s
        left_s = min(allowed_s, limits.body_max_s) - took_s
        if self.flow.read_paused:  # it is we who do not read
            left_s = max(left_s, limits.body_s)
        if left_s > 0:
            self._time_request(left_s, self._look_at_body)
        else:
            self._cut("slow_body")

    # --- an answer --------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """The client does not read as fast as we write."""
        super().pause_writing()
        self._time_reader()

    def resume_writing(self) -> None:
        """It does."""
        super().resume_writing()
        self._stop_write_timer()

    def on_response_complete(self) -> None:
        """The rest of the answer, which no longer holds anybody up, must be read, too."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._time_reader()

    def _time_reader(self) -> None:
        self._stop_write_timer()
        waiting = self.transport.get_write_buffer_size()
        write_s = self.guard.limits.write_s
        self._write_timer = self.loop.call_later(write_s, self._look_at_reader, waiting)

    def _look_at_reader(self, waited: int) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting and waiting >= waited:
            self._cut("slow_reader")
        elif waiting:
            self._time_reader()

    # --- common -----------------------------------------------------------------------------------

    def _cut(self, why: str) -> None:
        metrics.HTTP_REFUSED.labels(why).inc()
        self._let_go()
        self.transport.abort()

    def _let_go(self) -> None:
        self._stop_request_timer()
        self._stop_write_timer()
        if self._host is not None:
            self.guard.leave(self._host)
            self._host = None

    def _time_request(self, after_s: float, what: Any) -> None:
        self._stop_request_timer()
        self._request_timer = self.loop.call_later(after_s, what)

    def _stop_request_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


def config(app: Any, host: str, port: int, limits: HttpLimits, **more: Any) -> uvicorn.Config:
    """How every HTTP server of these programs runs.

    Args:
        app: an ASGI application.
        host: address to listen on.
        port: 0 takes a free one.
        limits: of its connections.
        more: further options of uvicorn.
    """
    return uvicorn.Config(
        without_tracebacks_of_leavers(app),
        host=host,
        port=port,
        http=guarded(limits),
        log_config=None,
        access_log=False,
        server_header=False,
        **more,
    )


def without_tracebacks_of_leavers(app: ASGIApp) -> ASGIApp:
    """A client that leaves, or is cut off, in the middle of its request is no error of ours."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except ClientDisconnect:  # as often as strangers like: nothing is logged
            return

    return served


def guarded(limits: HttpLimits) -> type[GuardedHttp]:
    """The protocol class of one server, with a guard of its own."""
    return type("GuardedHttp", (GuardedHttp,), {"guard": Guard(limits)})


def _network(host: str) -> str:
    """What counts as one host: a customer of IPv6 has a whole /64."""
    try:
        address = ip_address(host)
    except ValueError:  # a socket without addresses
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(int(address) >> 64)
    return host
