"""The admin program: builds its parts, serves them, and leaves in order."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import structlog
import typer
import uvicorn
from fastapi import FastAPI
from redis.asyncio import Redis

from callcenter import logs
from callcenter.admin import app, first_start, webhooks
from callcenter.admin.console import pages as console
from callcenter.admin.intake import Follower, Intake
from callcenter.admin.priming import WorkerPrimer
from callcenter.admin.publishing import Publisher
from callcenter.admin.security.gate import Gate
from callcenter.admin.security.rates import RateLimits
from callcenter.admin.store.database import Database
from callcenter.background import end_all
from callcenter.broker.broker import Broker
from callcenter.broker.connection import connect
from callcenter.errors import ConfigurationError
from callcenter.link.tls import client_tls
from callcenter.published.board import Board, Clips
from callcenter.published.signing import Signer, signer
from callcenter.settings import AdminSettings
from personas import library
from personas.errors import PersonaError
from personas.tokens import TokenCounter, estimate_tokens, sentencepiece_counter

LISTEN_TIMEOUT_S = 5.0  # longer than a blocking read of the journal

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Parts:
    """What the admin program is made of."""

    settings: AdminSettings
    database: Database
    redis: Redis
    waiting_redis: Redis
    binary_redis: Redis
    http: httpx.AsyncClient
    personas: library.Library
    state: app.State
    publisher: Publisher
    intake: Intake
    deliverer: webhooks.Deliverer


def build(settings: AdminSettings, rates: RateLimits | None = None) -> Parts:
    """Makes the parts; connects to nothing.

    Args:
        settings: everything they need.
        rates: other than the usual rate limits.

    Raises:
        ConfigurationError: a setting or a persona file is wrong.
    """
    database, personas = Database(settings.database_url), _library(settings)
    redis = connect(settings.redis_url, timeout_s=settings.redis_timeout_s)
    waiting = connect(settings.redis_url, timeout_s=LISTEN_TIMEOUT_S)
    binary = connect(settings.redis_url, timeout_s=LISTEN_TIMEOUT_S, decode_responses=False)
    board, clips = Board(redis, signer=_signer(settings)), Clips(binary)
    brokers = {
        pool: Broker(redis, pool, timeout_s=settings.redis_timeout_s)
        for pool in settings.admin_pools
    }
    primer = WorkerPrimer(
        brokers, settings.link_secret.get_secret_value(), client_tls(*settings.link_tls)
    )
    publisher = Publisher(database, board, clips, primer)
    rates, master = rates or RateLimits(), settings.admin_secret.get_secret_value()
    http = httpx.AsyncClient(follow_redirects=False)
    state = app.State(
        gate=Gate(database, rates, publisher),
        rates=rates,
        templates=personas,
        count_tokens=_counter(settings),
        clips=clips,
        board=board,
        brokers=brokers,
        publisher=publisher,
        follow=Follower(waiting, database).follow,
        master_secret=master,
        secure_cookies=settings.admin_secure_cookies,
    )
    return Parts(
        settings=settings,
        database=database,
        redis=redis,
        waiting_redis=waiting,
        binary_redis=binary,
        http=http,
        personas=personas,
        state=state,
        publisher=publisher,
        intake=Intake(waiting, database, socket.gethostname(), webhooks.enqueue),
        deliverer=webhooks.Deliverer(database, http, master, settings.webhooks_private),
    )


def create_app(parts: Parts, on_secret: Callable[[str], None]) -> FastAPI:
    """The ASGI application over the parts.

    Args:
        parts: what the routes work with.
        on_secret: gets the first admin's secret at the first start.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await prepare(parts, on_secret)
        loops = (parts.publisher.run(), parts.intake.run(), parts.deliverer.run())
        tasks = [asyncio.create_task(loop) for loop in loops]
        log.info("admin_started", database=parts.database.kind)
        yield
        await end_all(tasks)
        await parts.http.aclose()
        for redis in (parts.redis, parts.waiting_redis, parts.binary_redis):
            await redis.aclose()
        await parts.database.close()

    made = app.create(parts.state, lifespan)
    console.mount(made, parts.settings.browser_gateway_url)
    return made


async def prepare(parts: Parts, on_secret: Callable[[str], None]) -> None:
    """Brings the database to this release, and fills it at the first start."""
    await parts.database.upgrade()
    secret = await first_start.run(
        parts.database,
        parts.personas,
        parts.state.count_tokens,
        numbers=parts.settings.first_numbers,
    )
    if secret is not None:
        on_secret(secret)


def server(settings: AdminSettings, on_secret: Callable[[str], None]) -> uvicorn.Server:
    """The admin app, ready to serve.

    Raises:
        ConfigurationError: a setting or a persona file is wrong.
    """
    config = uvicorn.Config(
        create_app(build(settings), on_secret),
        host=settings.admin_host,
        port=settings.admin_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    return uvicorn.Server(config)


def run(settings: AdminSettings) -> None:
    """Serves until a signal; prints the first admin's secret once, on standard output.

    Raises:
        ConfigurationError: a setting or a persona file is wrong.
    """
    logs.configure(settings.log_level, "admin", settings.log_pii)
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal again after its own clean end
        server(settings, _print_secret).run()


def _print_secret(secret: str) -> None:
    typer.echo(f"First admin's secret, shown once: {secret}")


def _signer(settings: AdminSettings) -> Signer:
    own = settings.config_signing_key
    return signer(own.get_secret_value() if own else "", settings.admin_secret.get_secret_value())


def _library(settings: AdminSettings) -> library.Library:
    try:
        return library.load(settings.personas_dir or library.SHIPPED)
    except PersonaError as error:
        raise ConfigurationError(str(error)) from None


def _counter(settings: AdminSettings) -> TokenCounter:
    if settings.tokenizer_file is None:
        return estimate_tokens
    try:
        return sentencepiece_counter(settings.tokenizer_file)
    except PersonaError as error:
        raise ConfigurationError(f"TOKENIZER_FILE: {error}") from None


def description() -> dict[str, Any]:
    """The API's OpenAPI description, without any part of the program."""
    return app.create(None).openapi()
