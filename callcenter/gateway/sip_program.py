"""The SIP gateway program: builds its parts, serves them, and leaves in order.

A process of its own: nothing may compute in it, since every 5 ms some call is due. HTTP is there
for health and metrics only.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import ssl
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

import structlog
import uvicorn
from fastapi import FastAPI

from callcenter import logs, tracing
from callcenter.background import Supervisor
from callcenter.broker.broker import Broker
from callcenter.broker.connection import connect
from callcenter.broker.last_known import LastKnownWorkers
from callcenter.call.session import LinkAccess
from callcenter.errors import ConfigurationError
from callcenter.gateway import health, orders, trunks
from callcenter.gateway.bridge import SipRoutes, carriers_secrets
from callcenter.gateway.live import LiveCalls
from callcenter.gateway.program import freeze_garbage
from callcenter.gateway.published import PublishedRoutes
from callcenter.gateway.quotas import Quotas
from callcenter.gateway.registrations import Registrations
from callcenter.gateway.sip import SipPolicy, SipReception
from callcenter.gateway.slots import GatewaySlots
from callcenter.gateway.trunks import TrunkRoutes
from callcenter.link.tls import client_tls
from callcenter.media.vad import load_model
from callcenter.published.board import Board
from callcenter.published.signing import key_ring
from callcenter.records.journal import Journal
from callcenter.serving import guard
from callcenter.serving.guard import HttpLimits
from callcenter.serving.pages import metrics_page
from callcenter.settings import SipSettings
from callcenter.telephony.sip.auth import DigestServer
from callcenter.telephony.sip.endpoint import Endpoint
from callcenter.telephony.sip.identity import Identity
from callcenter.telephony.sip.ports import PortPool
from callcenter.telephony.sip.resolver import Resolver
from callcenter.telephony.sip.stream_limits import StreamLimits
from callcenter.telephony.sip.transport import Transports
from callcenter.telephony.sip.trunk import Trunks
from callcenter.telephony.sip.ua import UserAgent
from personas import library
from personas.errors import PersonaError

REALM = "callcenter"

log = structlog.get_logger(__name__)


class SipGateway:
    """The running program.

    Attributes:
        ports: transport -> port that it listens on.
        live: its calls.
    """

    def __init__(self, settings: SipSettings) -> None:
        """Reads the trunks file, if there is one; opens nothing.

        Raises:
            ConfigurationError: the trunks file, a persona or a certificate is wrong.
        """
        self.settings = settings
        self.ports: dict[str, int] = {}
        self.live = LiveCalls(settings.max_calls)
        self._server_tls, self._client_tls = _server_tls(settings), _client_tls(settings)
        self._redis = connect(settings.redis_url, timeout_s=settings.redis_timeout_s)
        pool, *overflow = settings.gateway_pools
        broker = Broker(self._redis, pool, overflow=overflow, timeout_s=settings.redis_timeout_s)
        self._slots = GatewaySlots(broker, LastKnownWorkers())
        self._board = Board(self._redis, key_ring(settings.config_public_key))
        self._journal = Journal(self._redis)
        self._published = PublishedRoutes(self._board)
        self._routes = SipRoutes(_trunks(settings), self._published, carriers_secrets(os.environ))
        self._supervisor = Supervisor()

    async def start(self) -> None:
        """Listens."""
        settings = self.settings
        rtp = PortPool(settings.sip_bind_host, settings.rtp_first_port, settings.rtp_last_port)
        await self._published.refresh()
        self._known = known = Trunks(line.trunk for line in self._routes.lines())
        self._reception = reception = SipReception(
            self._routes, self._slots, self.live, _access(settings), rtp, _policy(settings),
            self._journal, Quotas(self._redis),
        )  # fmt: skip
        digest = DigestServer(REALM, secrets.token_bytes(32))
        identity = Identity(settings.advertised_host, self.ports)
        self._endpoint = Endpoint(identity, known, digest, lambda: secrets.token_hex(8))
        self._agent = reception.agent = UserAgent(self._endpoint, reception.ring)
        resolver = Resolver(settings.dns_servers)
        self._transports = Transports(
            self._agent.received, self._endpoint.admission.knows_host, self._client_tls,
            self._agent.unreachable, _stream_limits(settings), self._endpoint.uses, resolver,
        )  # fmt: skip
        self._agent.transports = self._transports
        load_model()  # or else the first call would wait for it
        await self._slots.refresh()
        await self._listen()
        self._registrations = Registrations(self._agent, identity, resolver)
        self._take_over()
        self._published.on_change = self._take_over
        keep = self._supervisor.keep
        obey = partial(orders.carry_out, self._board, self.live, settings.transfer_prefixes)
        keep("workers", self._slots.keep_table)
        keep("configuration", self._published.keep_current)
        keep("journal", self._journal.run)
        keep("orders", obey)
        keep("loop_lag", health.measure_loop_lag, vital=False)
        keep("registrations", self._registrations.watch)
        log.info("sip_gateway_started", gateway_id=settings.gateway_id, **self.ports)

    async def drain(self, grace_s: float) -> None:
        """Refuses new calls and lets the others end, at most for the grace."""
        self._endpoint.admission.draining = True
        log.info("draining", calls=len(self.live), grace_s=grace_s)
        self._registrations.leave()
        await self.live.drain(grace_s)
        await self._reception.until_idle()

    async def stop(self) -> None:
        """Closes everything."""
        await self._supervisor.close()
        self._agent.close()
        await self._transports.close()
        await self._journal.flush()
        await self._redis.aclose()

    def app(self) -> FastAPI:
        """Health and readiness."""
        app = FastAPI(title="SIP gateway", openapi_url=None)
        app.include_router(
            health.router(
                lambda: self.live.draining,
                self._slots.ready,
                self._published.warnings,
                # A trunks file's own numbers are answered without what is published.
                str if self.settings.trunks_file else self._published.unconfigured,
                self._supervisor.trouble,
            )
        )
        return app

    async def _listen(self) -> None:
        settings, host = self.settings, self.settings.sip_bind_host
        if settings.sip_udp_port >= 0:
            self.ports["udp"] = self._transports.listen_udp(host, settings.sip_udp_port)
        if settings.sip_tcp_port >= 0:
            self.ports["tcp"] = await self._transports.listen_stream(host, settings.sip_tcp_port)
        if settings.sip_tls_port >= 0:
            self.ports["tls"] = await self._transports.listen_stream(
                host, settings.sip_tls_port, self._server_tls
            )

    def _take_over(self) -> None:
        """Trunks and registrations are as published from now on; calls that are up go on."""
        lines = self._routes.lines()
        self._known.replace(line.trunk for line in lines)
        self._registrations.want(
            {line.trunk.name: line.register_at for line in lines if line.register_at is not None}
        )


async def serve(settings: SipSettings) -> None:
    """Serves until a signal, and lets live calls end; a second signal leaves at once.

    Raises:
        ConfigurationError: the trunks file, a persona or a certificate is wrong.
    """
    gateway = SipGateway(settings)
    await gateway.start()
    config = guard.config(
        gateway.app(),
        settings.sip_http_host,
        settings.sip_http_port,
        HttpLimits(settings.http_max_connections, settings.http_max_connections_per_host),
    )
    http = _Http(config)
    serving = asyncio.create_task(http.serve())
    stopping, at_once = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        (at_once if stopping.is_set() else stopping).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    freeze_garbage()
    await stopping.wait()
    drain = asyncio.create_task(gateway.drain(settings.gateway_drain_s))
    second = asyncio.create_task(at_once.wait())
    await asyncio.wait((drain, second), return_when=asyncio.FIRST_COMPLETED)
    second.cancel()
    if not drain.done():
        drain.cancel()
    http.should_exit = True
    await serving
    await gateway.stop()


def run(settings: SipSettings) -> None:
    """Serves until a signal.

    Raises:
        ConfigurationError: the trunks file, a persona or a certificate is wrong, or the metrics'
            port is taken.
    """
    logs.configure(settings.log_level, "sip", settings.log_pii, settings.log_format)
    tracing.configure("sip", settings.otel_exporter_otlp_endpoint)
    page = metrics_page(settings.metrics_host, settings.metrics_port)
    with suppress(KeyboardInterrupt), page:
        asyncio.run(serve(settings))
    tracing.shutdown()


class _Http(uvicorn.Server):
    """Uvicorn that leaves the signals to the program."""

    def install_signal_handlers(self) -> None:
        """None: the program has its own."""

    async def serve(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Serves until `should_exit`."""
        await self._serve(sockets)  # type: ignore[arg-type]


def _trunks(settings: SipSettings) -> Mapping[str, TrunkRoutes]:
    if settings.trunks_file is None:
        return {}
    folder = settings.personas_dir or library.SHIPPED
    try:
        return trunks.load(settings.trunks_file, library.load(folder))
    except PersonaError as error:
        raise ConfigurationError(str(error)) from None


def _server_tls(settings: SipSettings) -> ssl.SSLContext | None:
    if settings.sip_tls_port < 0 or settings.sip_tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.sip_tls_certificate, settings.sip_tls_key)
        if settings.sip_tls_require_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(settings.sip_tls_ca)
    except (OSError, TypeError) as error:
        raise ConfigurationError(f"SIP_TLS_CERTIFICATE, _KEY or _CA: {error}") from None
    return context


def _client_tls(settings: SipSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.sip_tls_ca)
    except OSError as error:
        raise ConfigurationError(f"SIP_TLS_CA: {error}") from None


def _access(settings: SipSettings) -> LinkAccess:
    return LinkAccess(
        gateway_id=settings.gateway_id,
        secret=settings.link_secret.get_secret_value(),
        token_ttl_s=settings.session_token_ttl_s,
        open_timeout_s=settings.link_open_timeout_s,
        tls=client_tls(*settings.link_tls),
    )


def _stream_limits(settings: SipSettings) -> StreamLimits:
    return StreamLimits(
        connections=settings.sip_connections,
        per_host=settings.sip_connections_per_host,
        message_s=settings.sip_message_s,
        idle_s=settings.sip_idle_s,
    )


def _policy(settings: SipSettings) -> SipPolicy:
    return SipPolicy(
        advertised_host=settings.advertised_host,
        rtp_timeout_s=settings.rtp_timeout_s,
        start_timeout_s=settings.start_timeout_s,
        max_call_s=settings.max_call_s,
        max_audio_lead_s=settings.max_audio_lead_s,
    )
