"""Keeps the SIP gateway registered where its trunks want it, also as they change.

It knows no trunks file and no board; what a registration sends is `sip.registration`'s business.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import quote

import structlog

from callcenter import metrics
from callcenter.gateway.trunks import RegisterAt
from callcenter.telephony.sip.identity import Identity
from callcenter.telephony.sip.registration import Account, Registration, Standing
from callcenter.telephony.sip.resolver import Resolver
from callcenter.telephony.sip.trunk import loose_route
from callcenter.telephony.sip.ua import UserAgent
from callcenter.telephony.sip.uri import Peer, SipUri

WATCH_EVERY_S = 1.0
USER_CHARS = "-_.!~*'()&=+$,;?/"  # RFC 3261 25.1: they stand in a URI's user part as they are

log = structlog.get_logger(__name__)


class Registrations:
    """All registrations of a gateway.

    Args:
        agent: sends what they want sent.
        identity: how registrars reach us.
        resolver: says over which transport a registrar wants to be reached, where its URI does not.

    Attributes:
        by_trunk: those that are wanted now and whose registrar has been looked up.
    """

    def __init__(self, agent: UserAgent, identity: Identity, resolver: Resolver) -> None:
        self.by_trunk: dict[str, Registration] = {}
        self._resolver = resolver
        self._hops: dict[str, Peer] = {}
        self._looking: set[asyncio.Task[None]] = set()
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
            with suppress(KeyError):  # it was never shown
                metrics.SIP_REGISTERED.remove(trunk)
        for trunk, at in wanted.items():
            old = before.get(trunk)
            if old is None or trunk not in self.by_trunk:
                self._begin(trunk, at)
            elif _place(old) != _place(at):
                self._take_back(trunk)
                self._begin(trunk, at)
            elif old != at:
                account = self._account(at, self._hops[trunk])
                self.by_trunk[trunk].change(account, self._agent.now())
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
                self._agent.endpoint.routes[trunk] = registration.routes
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
        """Registers, at once where the URI says all that is needed."""
        hop = _first_hop(at).peer()
        if hop.srv:
            task = asyncio.create_task(self._look_up_and_register(trunk, at))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)
        else:
            self._register(trunk, at, hop)

    async def _look_up_and_register(self, trunk: str, at: RegisterAt) -> None:
        hop = await self._resolver.hop(_first_hop(at))
        still_wanted = not self._left and self._wanted.get(trunk) == at
        if still_wanted and trunk not in self.by_trunk:
            self._register(trunk, at, hop)

    def _register(self, trunk: str, at: RegisterAt, hop: Peer) -> None:
        call_id, tag = secrets.token_hex(12), secrets.token_hex(6)
        registration = Registration(self._account(at, hop), call_id, tag, self._agent.now())
        self.by_trunk[trunk], self._hops[trunk] = registration, hop
        self._agent.settle(registration)

    def _take_back(self, trunk: str) -> None:
        registration = self.by_trunk.pop(trunk, None)
        if registration is None:  # its registrar is being looked up
            return
        self._agent.endpoint.routes.pop(trunk, None)
        registration.leave()
        self._agent.settle(registration)

    def _account(self, at: RegisterAt, hop: Peer) -> Account:
        user = quote(at.username, safe=USER_CHARS)
        contact = self._identity.contact(hop.transport).replace("sip:", f"sip:{user}@")
        of_record = SipUri("sip", user, at.registrar.host, at.registrar.port)
        routes = (loose_route(at.proxy.over(hop.transport)),) if at.proxy is not None else ()
        instance = uuid.uuid5(uuid.NAMESPACE_URL, contact).urn
        return Account(
            at.registrar, hop, of_record, contact, at.credentials, at.expires_s, routes, instance
        )


def _first_hop(at: RegisterAt) -> SipUri:
    return at.proxy or at.registrar


def _place(at: RegisterAt) -> tuple[SipUri, str, SipUri | None]:
    """What makes it another registration when it changes."""
    return at.registrar, at.username, at.proxy
