"""Health, readiness, metrics, and the event loop's own pulse.

Health and readiness are pages beside the carriers' ones: a balancer asks there. The metrics tell
about the business and have a port of their own, so that no proxy rule can show them to the public
by mistake. It knows the gateway only by two questions: does it drain, and is there a worker.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from prometheus_client import start_http_server

from callcenter import metrics
from callcenter.errors import ConfigurationError

PULSE_S = 0.25


def router(
    draining: Callable[[], bool],
    worker_known: Callable[[], bool],
    warnings: Callable[[], list[str]] = list,
    unconfigured: Callable[[], str] = str,
) -> APIRouter:
    """The routes for whoever watches this process.

    Args:
        draining: whether it goes away.
        worker_known: whether a call could be answered.
        warnings: what a person should look at, though calls are answered.
        unconfigured: why no call could be answered as it should; "" if it could.
    """
    routes = APIRouter()

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The event loop turns; a broken Redis is no reason to restart and drop live calls."""
        return {"status": "ok"}

    @routes.get("/readyz")
    async def readyz() -> JSONResponse:
        """Whether a new call should be sent here."""
        if draining():
            return _not_ready("draining")
        if not worker_known():
            return _not_ready("no worker is known: is one running, in one of GATEWAY_POOLS?")
        if why := unconfigured():
            return _not_ready(why)
        found = warnings()
        return JSONResponse({"status": "ready", **({"warnings": found} if found else {})})

    return routes


@contextmanager
def metrics_page(host: str, port: int) -> Iterator[int]:
    """Serves the metrics in Prometheus' text format, from a thread; gives the port.

    Args:
        host: address to listen on.
        port: 0 takes a free one.

    Raises:
        ConfigurationError: the address can't be used.
    """
    try:
        server, thread = start_http_server(port, host)
    except OSError as error:
        raise ConfigurationError(
            f"METRICS_HOST={host} METRICS_PORT={port} can't be used: {error.strerror}"
        ) from None
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def measure_loop_lag() -> None:
    """Observes for ever how late timers fire; cancel it at the end of the process."""
    while True:
        due = time.monotonic() + PULSE_S
        await asyncio.sleep(PULSE_S)
        metrics.EVENT_LOOP_LAG_SECONDS.observe(max(0.0, time.monotonic() - due))


def _not_ready(why: str) -> JSONResponse:
    return JSONResponse({"status": "not ready", "why": why}, HTTPStatus.SERVICE_UNAVAILABLE)
