"""Health, readiness, and the event loop's own pulse.

Health and readiness are pages beside the carriers' ones: a balancer asks there. The metrics tell
about the business and have a port of their own (`callcenter.serving.pages`), so that no proxy rule
can show them to the public by mistake. It knows the gateway only by two questions: does it drain,
and is there a worker.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from callcenter import metrics

PULSE_S = 0.25


def router(
    draining: Callable[[], bool],
    worker_known: Callable[[], bool],
    warnings: Callable[[], list[str]] = list,
    unconfigured: Callable[[], str] = str,
    trouble: Callable[[], str] = str,
) -> APIRouter:
    """The routes for whoever watches this process.

    Args:
        draining: whether it takes no new call.
        worker_known: whether a call would find a worker.
        warnings: what a person should look at, though calls are answered.
        unconfigured: why no call could be answered as it should; "" if it could.
        trouble: what does not run as it should beside the calls, or "". Calls are answered without
            it, from memory, so the process stays ready and says so.
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
        named: dict[str, Any] = {"status": "ready"}
        if found := warnings():
            named["warnings"] = found
        if why := trouble():
            named["trouble"] = why
        return JSONResponse(named)

    return routes


async def measure_loop_lag() -> None:
    """Observes for ever how late timers fire; cancel it at the end of the process."""
    while True:
        due = time.monotonic() + PULSE_S
        await asyncio.sleep(PULSE_S)
        metrics.EVENT_LOOP_LAG_SECONDS.observe(max(0.0, time.monotonic() - due))


def _not_ready(why: str) -> JSONResponse:
    return JSONResponse({"status": "not ready", "why": why}, HTTPStatus.SERVICE_UNAVAILABLE)
