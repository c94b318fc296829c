"""The gateway program: builds its parts, serves them, and leaves in order.

Every part is made here, from the settings, once; the other modules get what they need as
arguments.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

import httpx
import structlog
import uvicorn
from fastapi import FastAPI
from redis.asyncio import Redis

from callcenter import logs, tracing
from callcenter.background import Supervisor
from callcenter.broker.broker import Broker
from callcenter.broker.connection import connect
from callcenter.broker.last_known import LastKnownWorkers
from callcenter.broker.once import Once
from callcenter.call.session import LinkAccess
from callcenter.errors import ConfigurationError
from callcenter.gateway import browser, health, orders, routes, twilio
from callcenter.gateway.browser import BrowserDoor
from callcenter.gateway.live import LiveCalls
from callcenter.gateway.published import PublishedRoutes
from callcenter.gateway.quotas import Quotas
from callcenter.gateway.reception import Policy, Reception
from callcenter.gateway.slots import GatewaySlots
from callcenter.link.tls import client_tls
from callcenter.media.vad import load_model
from callcenter.published.board import Board
from callcenter.published.signing import key_ring
from callcenter.records.journal import Journal
from callcenter.serving import guard
from callcenter.serving.guard import HttpLimits
from callcenter.serving.pages import metrics_page
from callcenter.settings import GatewaySettings
from callcenter.settings.common import listen_on
from callcenter.telephony.twilio.control import CallResource, Fallback, SignatureCheck
from callcenter.telephony.twilio.grants import StreamGrants
from personas import library
from personas.errors import PersonaError

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Parts:
    """What the gateway is made of."""

    settings: GatewaySettings
    redis: Redis
    http: httpx.AsyncClient
    slots: GatewaySlots
    live: LiveCalls
    reception: Reception
    signatures: SignatureCheck
    calls: CallResource | None
    board: Board
    journal: Journal
    published: PublishedRoutes | None
    browser: BrowserDoor | None


def build(settings: GatewaySettings) -> Parts:
    """Makes the parts; connects to nothing.

    Raises:
        ConfigurationError: a route or persona file is wrong, or CONFIG_PUBLIC_KEY is.
    """
    redis = connect(settings.redis_url, timeout_s=settings.redis_timeout_s)
    http = httpx.AsyncClient()
    pool, *overflow = settings.gateway_pools
    broker = Broker(redis, pool, overflow=overflow, timeout_s=settings.redis_timeout_s)
    slots = GatewaySlots(broker, LastKnownWorkers())
    live = LiveCalls(settings.max_calls)
    board = Board(redis, key_ring(settings.config_public_key))
    journal, quotas = Journal(redis), Quotas(redis)
    published, table, access = PublishedRoutes(board), None, _link_access(settings)
    if settings.routes_file is not None:
        table = _routes(settings.routes_file, settings.personas_dir)
    door = browser.build(
        settings, table or published, slots, live, access, journal, quotas, Once(redis)
    )
    reception = Reception(
        table or published,
        slots,
        StreamGrants(redis, settings.stream_token_ttl_s),
        live,
        access,
        _policy(settings),
        journal,
        quotas,
    )
    signatures = SignatureCheck(settings.public_base_url, settings.auth_tokens)
    return Parts(
        settings=settings,
        redis=redis,
        http=http,
        slots=slots,
        live=live,
        reception=reception,
        signatures=signatures,
        calls=_call_resource(settings, http),
        board=board,
        journal=journal,
        published=None if table else published,
        browser=door,
    )


def create_app(parts: Parts) -> FastAPI:
    """The ASGI application over the parts."""
    supervisor = Supervisor()
    obey = partial(orders.carry_out, parts.board, parts.live, parts.settings.transfer_prefixes)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        load_model()  # or else the first call would wait for it
        await parts.slots.refresh()
        supervisor.keep("journal", parts.journal.run)
        supervisor.keep("workers", parts.slots.keep_table)
        supervisor.keep("loop_lag", health.measure_loop_lag, vital=False)
        if parts.published is not None or not parts.board.keys.learns:
            # With a routes file and no key, there is no admin app whose orders could be told.
            supervisor.keep("orders", obey)
        if parts.published is not None:
            await parts.published.refresh()
            supervisor.keep("configuration", parts.published.keep_current)
        freeze_garbage()
        log.info(
            "gateway_started",
            gateway_id=parts.settings.gateway_id,
            twilio=bool(parts.settings.auth_tokens),
            browsers=parts.browser is not None,
        )
        try:
            yield
        finally:  # at a forced end, too: a loop may lose the one cancellation that it gets then
            if parts.browser is not None:
                await parts.browser.close()
            await supervisor.close()
            await parts.journal.flush()
            await parts.http.aclose()
            await parts.redis.aclose()
            tracing.shutdown()

    app = FastAPI(title="Gateway", lifespan=lifespan, openapi_url=None)
    warnings, unconfigured = _health_of(parts.published)
    app.include_router(
        health.router(
            lambda: parts.live.draining,
            parts.slots.ready,
            warnings,
            unconfigured,
            supervisor.trouble,
        )
    )
    if parts.settings.auth_tokens:  # without one nobody could be told from Twilio
        app.include_router(
            twilio.router(
                parts.reception, parts.signatures, parts.calls, parts.settings.max_message_bytes
            )
        )
    if parts.browser is not None:
        app.mount("/", parts.browser.app)
    return app


def freeze_garbage() -> None:
    """Takes everything made at start-up out of the collector's sight.

    A full collection over the imported modules would stop every call for more than a packet.
    """
    gc.collect()
    gc.freeze()


class Server(uvicorn.Server):
    """Uvicorn that lets live calls end before it leaves; a second signal leaves at once."""

    def __init__(
        self,
        config: uvicorn.Config,
        live: LiveCalls,
        drain_s: float,
        on_start: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(config)
        self._on_start = on_start
        self._live = live
        self._drain_s = drain_s
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves until the drain after the first signal is over."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, then says so."""
        await super().startup(sockets)
        if self.started and self._on_start is not None:
            self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal handler, outside of the event loop's turn."""
        if self._draining is not None or self._loop is None or not len(self._live):
            super().handle_exit(sig, frame)
            return
        # In a context of its own: the signal may come while some call's context is the current one.
        self._loop.call_soon_threadsafe(self._begin_drain, sig, context=contextvars.Context())

    async def drain(self, grace_s: float) -> None:
        """Takes no new call and waits for the live ones, at most for the grace."""
        log.info("draining", calls=len(self._live), grace_s=grace_s)
        await self._live.drain(grace_s)

    def _begin_drain(self, sig: int) -> None:
        self._draining = asyncio.create_task(self._drain_and_exit(sig))

    async def _drain_and_exit(self, sig: int) -> None:
        await self.drain(self._drain_s)
        super().handle_exit(sig, None)


def server(settings: GatewaySettings, on_start: Callable[[], None] | None = None) -> Server:
    """The gateway, ready to serve.

    Args:
        settings: everything it needs.
        on_start: called once it listens.

    Raises:
        ConfigurationError: a route or persona file is wrong.
    """
    parts = build(settings)
    config = guard.config(
        create_app(parts),
        listen_on(settings.gateway_host),
        settings.gateway_port,
        HttpLimits(
            settings.http_max_connections,
            settings.http_max_connections_per_host,
            settings.forwarded_allow_ips,
        ),
        forwarded_allow_ips=list(settings.forwarded_allow_ips),
        ws="websockets-sansio",
        ws_max_size=settings.max_message_bytes,
        ws_per_message_deflate=False,  # audio does not shrink, and the time is not there
        timeout_graceful_shutdown=5,
    )
    return Server(config, parts.live, settings.gateway_drain_s, on_start)


def run(settings: GatewaySettings, on_start: Callable[[], None] | None = None) -> None:
    """Serves until a signal.

    Raises:
        ConfigurationError: a route or persona file is wrong, or the metrics' port is taken.
    """
    logs.configure(settings.log_level, "gateway", settings.log_pii, settings.log_format)
    page = metrics_page(settings.metrics_host, settings.metrics_port)
    tracing.configure("gateway", settings.otel_exporter_otlp_endpoint)
    with page, suppress(KeyboardInterrupt):  # uvicorn raises the signal again after its clean end
        server(settings, on_start).run()


def _health_of(
    published: PublishedRoutes | None,
) -> tuple[Callable[[], list[str]], Callable[[], str]]:
    return (list, str) if published is None else (published.warnings, published.unconfigured)


def _routes(file: Path, personas: Path | None) -> routes.Routes:
    try:
        return routes.load(file, library.load(personas or library.SHIPPED))
    except PersonaError as error:
        raise ConfigurationError(str(error)) from None


def _link_access(settings: GatewaySettings) -> LinkAccess:
    return LinkAccess(
        gateway_id=settings.gateway_id,
        secret=settings.link_secret.get_secret_value(),
        token_ttl_s=settings.session_token_ttl_s,
        open_timeout_s=settings.link_open_timeout_s,
        tls=client_tls(*settings.link_tls),
    )


def _policy(settings: GatewaySettings) -> Policy:
    return Policy(
        public_base_url=settings.public_base_url,
        fallback=Fallback(settings.twilio_fallback_verb, settings.twilio_fallback_value),
        no_capacity_status=settings.no_capacity_status,
        no_capacity_message=settings.no_capacity_message,
        start_timeout_s=settings.start_timeout_s,
        max_call_s=settings.max_call_s,
        max_audio_lead_s=settings.max_audio_lead_s,
    )


def _call_resource(settings: GatewaySettings, http: httpx.AsyncClient) -> CallResource | None:
    if settings.twilio_account_sid is None:
        return None
    return CallResource(
        http,
        settings.twilio_api_base_url,
        settings.twilio_account_sid,
        settings.auth_tokens,
    )
