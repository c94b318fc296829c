"""What the SIP gateway answers by: the trunks file, and the published configuration.

    trunk in the file, with numbers       the file decides its calls
    trunk in the file, without numbers    the file says how it is reached, published routes decide
    trunk published only                  reached as published: addresses, or a name and a secret

It knows no SIP message, and of secrets only where they are.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace

import structlog

from callcenter.gateway.published import PublishedRoutes
from callcenter.gateway.routes import Choice
from callcenter.gateway.trunks import TrunkRoutes
from callcenter.published import documents
from callcenter.published.routing import IncomingCall
from callcenter.telephony.sip.auth import Credentials
from callcenter.telephony.sip.trunk import Trunk

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
        if own is not None and own.answers:
            route = own.find(call.called)
            return () if route is None else (route,)
        found = self._published.plan(call_id, call)
        if not found and call.called.isdecimal():  # trunks that leave the plus out
            found = self._published.plan(call_id, replace(call, called=f"+{call.called}"))
        return found

    def trunks(self) -> list[Trunk]:
        """All trunks that calls may come over now, the file's first."""
        listed = [routes.trunk for routes in self._files.values()]
        fresh = (each for each in self._published.trunks("sip") if each.name not in self._files)
        made = (trunk_of(each, self._secrets) for each in fresh)
        return [*listed, *(trunk for trunk in made if trunk is not None)]


def trunk_of(published: documents.Trunk, secrets: Mapping[str, str]) -> Trunk | None:
    """A published trunk as the endpoint knows it; None, with a log line, if it is not safe.

    With a secret it must log in as its own name; without addresses it has to have one, or every
    stranger could call.
    """
    secret = secrets.get(published.secret_ref or "", "")
    if published.secret_ref and not secret:
        log.error("trunk_left_out", trunk=published.name, missing=published.secret_ref)
        return None
    if not published.addresses and not secret:
        log.error("trunk_left_out", trunk=published.name, missing="addresses or secret_ref")
        return None
    networks = tuple(ipaddress.ip_network(text) for text in published.addresses)
    return Trunk(
        name=published.name,
        networks=networks or EVERYWHERE,
        credentials=Credentials(published.name, secret) if secret else None,
        max_channels=published.max_channels or DEFAULT_CHANNELS,
    )
