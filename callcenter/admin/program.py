"""The admin program: builds its parts, serves them, and leaves in order."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import structlog
import uvicorn
from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy.exc import SQLAlchemyError

from callcenter import logs
from callcenter.admin import app, first_start, webhooks
from callcenter.admin.api import oidc
from callcenter.admin.api.watching import Watchers
from callcenter.admin.console import pages as console
from callcenter.admin.erasing import Eraser
from callcenter.admin.following import Follower
from callcenter.admin.housekeeping import Housekeeper
from callcenter.admin.intake import Intake
from callcenter.admin.priming import WorkerPrimer
from callcenter.admin.problems import Problem
from callcenter.admin.publishing import Publisher
from callcenter.admin.reference import pages as reference
from callcenter.admin.security.claims import ClaimRules
from callcenter.admin.security.gate import Gate
from callcenter.admin.security.provider import Client, Provider
from callcenter.admin.security.rates import RateLimits
from callcenter.admin.security.refusals import Refusals
from callcenter.admin.security.sessions import Rules
from callcenter.admin.store.database import Database
from callcenter.background import Supervisor
from callcenter.broker.broker import Broker
from callcenter.broker.connection import connect
from callcenter.errors import ConfigurationError
from callcenter.link.tls import client_tls
from callcenter.published.board import Board, Clips
from callcenter.published.signing import Signer, signer
from callcenter.serving import guard
from callcenter.serving.guard import HttpLimits
from callcenter.serving.pages import metrics_page
from callcenter.settings import AdminSettings
from callcenter.settings.common import listen_on
from personas import library
from personas.errors import PersonaError
from personas.tokens import TokenCounter, estimate_tokens, sentencepiece_counter

OTHERS_NOTHING = 0o077
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
    follower: Follower
    housekeeper: Housekeeper
    door: oidc.Door | None


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
    http = webhooks.http_client()
    follower = Follower(waiting, database)
    intake = Intake(waiting, database, socket.gethostname(), webhooks.enqueue)
    rules, refused, eraser = _rules(settings), Refusals(), Eraser(redis)
    kept = timedelta(days=settings.calls_kept_days) if settings.calls_kept_days else None
    state = app.State(
        database=database,
        gate=Gate(database, rates, publisher, rules, refused),
        rates=rates,
        templates=personas,
        count_tokens=_counter(settings),
        clips=clips,
        board=board,
        brokers=brokers,
        publisher=publisher,
        follow=follower.follow,
        watchers=Watchers(),
        aside=intake.aside,
        supervisor=Supervisor(),
        master_secret=master,
        rules=rules,
        eraser=eraser,
    )
    key_file = settings.first_admin_key_file
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
        intake=intake,
        deliverer=webhooks.Deliverer(database, http, master, settings.webhooks_private),
        follower=follower,
        housekeeper=Housekeeper(database, eraser, refused, kept, key_file),
        door=_door(settings, rules, database, refused, rates),
    )


def _rules(settings: AdminSettings) -> Rules:
    return Rules(
        secure=settings.admin_secure_cookies,
        idle=timedelta(minutes=settings.session_idle_minutes),
        fresh=timedelta(minutes=settings.reauth_minutes),
        key_login=settings.admin_key_login,
    )


def _door(
    settings: AdminSettings,
    rules: Rules,
    database: Database,
    refused: Refusals,
    rates: RateLimits,
) -> oidc.Door | None:
    if not settings.oidc_issuer:
        return None
    secret, home = settings.oidc_client_secret, settings.admin_public_url.rstrip("/")
    client = Client(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        secret=secret.get_secret_value() if secret is not None else None,
        scopes=settings.oidc_scopes,
        redirect_uri=f"{home}{oidc.PREFIX}/callback",
        home=f"{home}/admin",
        skew_s=settings.oidc_clock_skew_s,
    )
    claim_rules = ClaimRules(
        roles_claim=settings.oidc_roles_claim,
        words={
            "admin": settings.oidc_admins,
            "operator": settings.oidc_operators,
            "viewer": settings.oidc_viewers,
        },
        domains=settings.oidc_email_domains,
        groups_claim=settings.oidc_groups_claim,
        groups=settings.oidc_groups,
    )
    return oidc.Door(
        provider=Provider(client),
        claim_rules=claim_rules,
        rules=rules,
        database=database,
        refusals=refused,
        rates=rates,
        master=settings.admin_secret.get_secret_value(),
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
        supervisor = parts.state.supervisor
        supervisor.keep("publisher", parts.publisher.run)
        supervisor.keep("intake", parts.intake.run)
        supervisor.keep("deliverer", parts.deliverer.run, vital=False)
        supervisor.keep("follower", parts.follower.run, vital=False)
        supervisor.keep("housekeeper", parts.housekeeper.run, vital=False)
        log.info("admin_started", database=parts.database.kind)
        try:
            yield
        finally:  # at a forced end, too: a loop may lose the one cancellation that it gets then
            await supervisor.close()
            await parts.deliverer.close()
            with suppress(SQLAlchemyError, OSError):  # the database is away
                await parts.housekeeper.put_refusals_down(datetime.now(UTC))
            await parts.http.aclose()
            for redis in (parts.redis, parts.waiting_redis, parts.binary_redis):
                await redis.aclose()
            await parts.database.close()

    made = app.create(parts.state, lifespan)
    settings = parts.settings
    if parts.door is not None:
        oidc.mount(made, parts.door)
    sign_on = settings.oidc_title if parts.door is not None else ""
    reference.mount(made)
    console.mount(
        made, settings.browser_gateway_url, sign_on=sign_on, key_login=settings.admin_key_login
    )
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
    config = guard.config(
        create_app(build(settings), on_secret),
        listen_on(settings.admin_host),
        settings.admin_port,
        HttpLimits(
            settings.http_max_connections,
            settings.http_max_connections_per_host,
            settings.forwarded_allow_ips,
        ),
        forwarded_allow_ips=list(settings.forwarded_allow_ips),
        timeout_graceful_shutdown=3,
    )
    return uvicorn.Server(config)


def run(settings: AdminSettings) -> None:
    """Serves until a signal; the first start writes the first admin's secret into a file.

    Raises:
        ConfigurationError: a setting or a persona file is wrong, or a port is taken.
    """
    os.umask(OTHERS_NOTHING)
    logs.configure(settings.log_level, "admin", settings.log_pii, settings.log_format)
    served = server(settings, lambda secret: write_key(settings.first_admin_key_file, secret))
    with metrics_page(settings.metrics_host, settings.metrics_port), suppress(KeyboardInterrupt):
        served.run()  # uvicorn raises the signal again after its own clean end


def write_key(file: Path, secret: str) -> None:
    """Writes the first admin's secret where only this user reads it, and says where.

    A log is read by more people than a file, and kept for longer.
    """
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(f"{secret}\n")
    log.info("first_admin_key_written", file=str(file.resolve()), good_for_h=24)


def new_admin_key(settings: AdminSettings, name: str) -> str:
    """Makes a temporary admin's key in the database of a running or stopped admin app.

    Raises:
        ConfigurationError: the database cannot be used, or the name is taken.
    """
    os.umask(OTHERS_NOTHING)

    async def make() -> str:
        database = Database(settings.database_url)
        try:
            await database.upgrade()
            return await first_start.new_admin(database, name)
        finally:
            await database.close()

    try:
        return asyncio.run(make())
    except Problem as problem:
        raise ConfigurationError(problem.detail) from None


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
