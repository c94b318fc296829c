"""Keeps the SIP gateway registered where its trunks want it, also as they change.

It knows no trunks file and no board; what a registration sends is `sip.registration`'s business.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Mapping
from urllib.parse import quote

import structlog

from callcenter import metrics
from callcenter.gateway.trunks import RegisterAt
from callcenter.telephony.sip.identity import Identity
from callcenter.telephony.sip.registration import Account, Registration, Standing
from callcenter.telephony.sip.trunk import loose_route
from callcenter.telephony.sip.ua import UserAgent
from callcenter.telephony.sip.uri import SipUri

WATCH_EVERY_S = 1.0
USER_CHARS = "-_.!~*'()&=+$,;?/"  # RFC 3261 25.1: they stand in a URI's user part as they are

log = structlog.get_logger(__name__)


def _place(at: RegisterAt) -> tuple[SipUri, str, SipUri | None]:
    """What makes it another registration when it changes."""
    return at.registrar, at.username, at.proxy


class Registrations:
    """All registrations of a gateway.

    Attributes:
        by_trunk: those that are wanted now.
    """

    def __init__(self, agent: UserAgent, identity: Identity) -> None:
        self.by_trunk: dict[str, Registration] = {}
        self._wanted: Mapping[str, RegisterAt] = {}
        self._agent = agent
        self._identity = identity
        self._left = False

    def want(self, wanted: Mapping[str, RegisterAt]) -> None:
        """Registers for these trunks and for no others; what stays the same is not touched."""
        if self._left:
            return
        before, self._wanted = self._wanted, wanted
        for trunk in before.keys() - wanted.keys():
            self._take_back(trunk)
            metrics.SIP_REGISTERED.remove(trunk)
        for trunk, at in wanted.items():
            old = before.get(trunk)
            if old is None:
                self._begin(trunk, at)
            elif _place(old) != _place(at):
                self._take_back(trunk)
                self._begin(trunk, at)
            elif old != at:
                self.by_trunk[trunk].change(self._account(at), self._agent.now())
                self._agent.settle(self.by_trunk[trunk])

    def leave(self) -> None:
        """Takes all back, for good."""
        self._left = True
        for registration in self.by_trunk.values():
            registration.leave()
            self._agent.settle(registration)

    async def watch(self) -> None:
        """Shows and logs for ever how the registrars see us."""
        seen: dict[Registration, Standing] = {}
        while True:
            for trunk, registration in self.by_trunk.items():
                standing = registration.standing
                self._agent.endpoint.service_routes[trunk] = registration.service_route
                metrics.SIP_REGISTERED.labels(trunk).set(standing is Standing.REGISTERED)
                if seen.get(registration) is not standing:
                    log.info(
                        "sip_registration",
                        trunk=trunk,
                        standing=standing.value,
                        status=registration.status,
                    )
            seen = {each: each.standing for each in self.by_trunk.values()}
            await asyncio.sleep(WATCH_EVERY_S)

    def _begin(self, trunk: str, at: RegisterAt) -> None:
        call_id, tag = secrets.token_hex(12), secrets.token_hex(6)
        registration = Registration(self._account(at), call_id, tag, self._agent.now())
        self.by_trunk[trunk] = registration
        self._agent.settle(registration)

    def _take_back(self, trunk: str) -> None:
        registration = self.by_trunk.pop(trunk)
        self._agent.endpoint.service_routes.pop(trunk, None)
        registration.leave()
        self._agent.settle(registration)

    def _account(self, at: RegisterAt) -> Account:
        peer = (at.proxy or at.registrar).peer()
        user = quote(at.username, safe=USER_CHARS)
        contact = self._identity.contact(peer.transport).replace("sip:", f"sip:{user}@")
        of_record = SipUri("sip", user, at.registrar.host, at.registrar.port)
        routes = (loose_route(at.proxy),) if at.proxy is not None else ()
        instance = uuid.uuid5(uuid.NAMESPACE_URL, contact).urn
        return Account(
            at.registrar, peer, of_record, contact, at.credentials, at.expires_s, routes, instance
        )
