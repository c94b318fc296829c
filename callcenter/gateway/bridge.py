"""What the SIP gateway answers by: the trunks file, and the published configuration.

    trunk in the file, with numbers       the file decides its calls
    trunk in the file, without numbers    the file says how it is reached, published routes decide
    trunk published only                  reached as published: addresses, login, codecs, registrar

It knows no SIP message, and of secrets only where they are.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace

import structlog

from callcenter.gateway.published import PublishedRoutes
from callcenter.gateway.routes import Choice
from callcenter.gateway.trunks import RegisterAt, TrunkRoutes, names_of
from callcenter.published import number as numbers
from callcenter.published import trunk
from callcenter.published.routing import IncomingCall
from callcenter.telephony.sip.auth import Credentials
from callcenter.telephony.sip.trunk import Trunk
from callcenter.telephony.sip.uri import SipUri, parse_uri

EVERYWHERE = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
DEFAULT_CHANNELS = 100

log = structlog.get_logger(__name__)


class SipRoutes:
    """Trunks, and routes of their calls.

    Args:
        files: the trunks file's, by name; they come first.
        published: the newest configuration.
        secrets: variable -> secret, such as the environment.
    """

    def __init__(
        self,
        files: Mapping[str, TrunkRoutes],
        published: PublishedRoutes,
        secrets: Mapping[str, str],
    ) -> None:
        self._files = files
        self._published = published
        self._secrets = secrets

    def plan(self, call_id: str, call: IncomingCall) -> tuple[Choice, ...]:
        """What to do with a call: the first choice that works counts; none refuses it."""
        own = self._files.get(call.trunk)
        if own is None:
            return self._published.plan(call_id, call)
        if own.answers:
            route = own.find(call.called)
            return () if route is None else (route,)
        prefixes = own.trunk.international_prefixes
        called, caller = (numbers.canonical(text, prefixes) for text in (call.called, call.caller))
        return self._published.plan(call_id, replace(call, called=called, caller=caller))

    def lines(self) -> list[TrunkRoutes]:
        """All trunks that calls may come over now, the file's first."""
        fresh = (each for each in self._published.trunks("sip") if each.name not in self._files)
        made = (line_of(each, self._secrets) for each in fresh)
        return [*self._files.values(), *(line for line in made if line is not None)]


def carriers_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that a published trunk may name as its secret: TRUNK_... and no others.

    A login's digest goes to whatever host the trunk names: neither LINK_SECRET nor anything else
    that happens to stand in the environment may leave by it.
    """
    return {
        name: value for name, value in environment.items() if name.startswith(trunk.SECRETS_PREFIX)
    }


def line_of(published: trunk.Trunk, secrets: Mapping[str, str]) -> TrunkRoutes | None:
    """A published trunk as the gateway knows it; None, with a log line, if it is not safe.

    With a secret the far end must log in; without addresses there has to be one, or every stranger
    could call.
    """
    sip = published.sip or trunk.SipOptions()
    registrar = sip.registrar
    missing = [name for name in published.secret_refs().values() if not secrets.get(name)]
    if not published.addresses and published.secret_ref is None:
        missing.append("addresses or secret_ref")
    if missing:
        log.error("trunk_left_out", trunk=published.name, missing=missing)
        return None
    proxy = parse_uri(sip.outbound_proxy) if sip.outbound_proxy else None
    register_at = _register_at(registrar, proxy, secrets) if registrar else None
    networks = tuple(ipaddress.ip_network(text) for text in published.addresses)
    login = None
    if published.secret_ref is not None:
        login = Credentials(sip.username or published.name, secrets[published.secret_ref])
    made = Trunk(
        name=published.name,
        networks=networks or EVERYWHERE,
        credentials=login,
        outbound=register_at.credentials if register_at else None,
        transports=frozenset(sip.transports),
        srtp=sip.srtp,
        codecs=tuple(sip.codecs),
        max_channels=published.max_channels or DEFAULT_CHANNELS,
        international_prefixes=tuple(sip.international_prefixes),
        outbound_proxy=proxy,
        trust_identity=sip.trust_identity,
        names=names_of(register_at, proxy),
    )
    return TrunkRoutes(made, {}, None, register_at)


def _register_at(
    registrar: trunk.Registrar, proxy: SipUri | None, secrets: Mapping[str, str]
) -> RegisterAt:
    name = registrar.auth_username or registrar.username
    login = Credentials(name, secrets[registrar.secret_ref])
    uri = parse_uri(registrar.uri)
    return RegisterAt(uri, login, registrar.expires_s, registrar.username, proxy)
