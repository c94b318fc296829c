"""Builds the browser's door, when it is wanted and its packages are there.

The one module of the gateway that may be without aiortc: it imports the rest only when asked.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog
from fastapi import FastAPI

from callcenter.broker.once import Once
from callcenter.call.session import LinkAccess
from callcenter.errors import ConfigurationError
from callcenter.gateway.live import LiveCalls
from callcenter.gateway.published import PublishedRoutes
from callcenter.gateway.quotas import Quotas
from callcenter.gateway.routes import Route, Routes
from callcenter.gateway.slots import GatewaySlots
from callcenter.records.journal import Journal
from callcenter.settings import GatewaySettings

EVERY_PERSONA = "*"

log = structlog.get_logger(__name__)

logging.getLogger("aioice").setLevel(logging.WARNING)  # its info lines hold visitors' addresses


@dataclass(frozen=True, slots=True)
class BrowserDoor:
    """What the gateway serves to browsers.

    Attributes:
        app: to be mounted behind all other routes.
        close: ends all browser calls.
    """

    app: FastAPI
    close: Callable[[], Awaitable[None]]


def build(
    settings: GatewaySettings,
    routes: Routes | PublishedRoutes,
    slots: GatewaySlots,
    live: LiveCalls,
    access: LinkAccess,
    journal: Journal,
    quotas: Quotas,
    once: Once | None = None,
) -> BrowserDoor | None:
    """The door; None when WEBRTC_SECRET is not set.

    Raises:
        ConfigurationError: a package is missing, or WEBRTC_PERSONAS names one without a route.
    """
    if settings.webrtc_secret is None:
        return None
    try:
        from callcenter.gateway import visits, webrtc
        from callcenter.telephony.webrtc.limits import VisitorLimits
        from callcenter.telephony.webrtc.turn import IcePlan
    except ImportError as error:
        raise ConfigurationError(
            f"WEBRTC_SECRET is set but {error.name} is not installed: "
            "pip install 'personaplex-callcenter[webrtc]'"
        ) from None
    secret = settings.turn_secret
    calls = visits.Visits(
        routes=_open_routes(settings, routes),
        slots=slots,
        live=live,
        access=access,
        limits=VisitorLimits(
            settings.webrtc_requests_per_minute, settings.webrtc_calls_per_visitor
        ),
        ice=IcePlan(
            stun_urls=settings.stun_urls,
            turn_urls=settings.turn_urls,
            turn_secret=secret.get_secret_value() if secret is not None else "",
            turn_ttl_s=settings.turn_ttl_s,
        ),
        policy=visits.VisitPolicy(
            secret=settings.webrtc_secret.get_secret_value(),
            origins=frozenset({*settings.webrtc_origins, settings.own_origin}),
            token_ttl_s=settings.webrtc_token_ttl_s,
            max_call_s=min(settings.webrtc_max_call_s, settings.max_call_s),
            max_calls=settings.webrtc_max_calls,
            phone=settings.webrtc_phone,
            connect_timeout_s=settings.webrtc_connect_timeout_s,
            max_audio_lead_s=settings.max_audio_lead_s,
        ),
        journal=journal,
        quotas=quotas,
        once=once,
    )
    return BrowserDoor(webrtc.create_app(calls, slots.engine_kinds), calls.close)


def _open_routes(
    settings: GatewaySettings, routes: Routes | PublishedRoutes
) -> Mapping[str, Route]:
    """The routes that browsers may take: those to the personas that are named for them."""
    named = settings.webrtc_personas
    if not named:
        log.warning("no_persona_for_browsers", detail="WEBRTC_PERSONAS is empty; * names all")
    everybody = EVERY_PERSONA in named
    if isinstance(routes, PublishedRoutes):
        return routes.by_persona(None if everybody else named)
    known = routes.by_persona()
    if everybody:
        return known
    unknown = [name for name in named if name not in known]
    if unknown:
        raise ConfigurationError(
            f"WEBRTC_PERSONAS: no route leads to {', '.join(unknown)}; "
            f"{settings.routes_file} has routes to {', '.join(known)}"
        )
    return {name: known[name] for name in named}
