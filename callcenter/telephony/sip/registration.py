"""Keeps us registered at a PBX (RFC 3261 10.2): REGISTER, digest, refresh, back-off.

Sans-IO, in the form that an endpoint's owner has. It knows one registrar and one contact.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.auth import Credentials, proof_header
from callcenter.telephony.sip.call_events import Ask, Output
from callcenter.telephony.sip.message import Request, Response
from callcenter.telephony.sip.uri import NameAddr, Peer, SipUri, parse_name_addr, whole_number

FIRST_RETRY_S = 2.0
LONGEST_RETRY_S = 300.0
LONGEST_EXPIRES_S = 86_400
LEAST_GRANTED_S = 10.0
MAX_ROUTES = 8
NEVER_S = 2**32 - 1  # RFC 3261 20.19


class Standing(enum.Enum):
    """How the registrar sees us."""

    UNKNOWN = "unknown"
    REGISTERED = "registered"
    REFUSED = "refused"  # wrong credentials, or unwanted: tried again all the same
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Account:
    """Whom to register where.

    Attributes:
        registrar: URI of the registrar, such as sip:pbx.example.com.
        peer: where its requests go.
        identity: our address of record.
        contact: under which we are reached.
        credentials: when it asks.
        expires_s: asked for.
        routes: Route values of its requests; the first is where they go.
        instance: URN that names this gateway for good (RFC 5626 4.1); "" for none.
    """

    registrar: SipUri
    peer: Peer
    identity: SipUri
    contact: str
    credentials: Credentials
    expires_s: int = 300
    routes: tuple[str, ...] = ()
    instance: str = ""


class Registration:
    """One registration, refreshed until `leave`.

    Attributes:
        standing: how the registrar saw us last.
        status: of its last final response.
        service_route: Route values for calls of ours by this registrar (RFC 3608).
    """

    def __init__(self, account: Account, call_id: str, tag: str, now: float) -> None:
        self.standing = Standing.UNKNOWN
        self.status = 0
        self.service_route: tuple[str, ...] = ()
        self._account = account
        self._call_id = call_id
        self._tag = tag
        self._cseq = 0
        self._failures = 0
        self._tried_proof = False
        self._leaving = False
        self._at: float | None = now
        self._outputs: list[Output] = []

    @property
    def routes(self) -> tuple[str, ...]:
        """Route values for calls of ours: the proxy's, then those that the registrar gave."""
        return (*self._account.routes, *self.service_route)

    def outputs(self) -> list[Output]:
        """Hands over what must be sent."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def uses(self, peer: Peer) -> bool:
        """Whether its requests go over a connection; calls to it come over the same."""
        return peer == self._account.peer

    def next_timer(self) -> float | None:
        """When the next REGISTER is due."""
        return self._at

    def handle_timer(self, now: float) -> None:
        """Registers, or registers again."""
        if self._at is not None and now >= self._at:
            self._at = None
            self._tried_proof = False
            self._register(())

    def change(self, account: Account, now: float) -> None:
        """Registers anew under other terms, such as a password; registrar and contact stay."""
        self._account, self._failures, self._at = account, 0, now

    def leave(self) -> None:
        """Takes the registration back."""
        self._leaving, self._at, self._tried_proof = True, None, False
        if self.standing is Standing.REGISTERED:
            self._register(())

    def receive_response(self, request: Request, response: Response, now: float) -> None:
        """Takes the registrar's answer; a time-out comes as a 408."""
        if response.status < 200:
            return
        self.status = response.status
        if response.status in (401, 407) and not self._tried_proof:
            self._prove(request, response, now)
        elif response.status == 423:
            least = response.text("min-expires").partition(";")[0].strip()
            self._longer(whole_number(least, LONGEST_EXPIRES_S) or 0, now)
        elif response.status < 300:
            self._registered(response, now)
        else:
            away = response.status in (408, 503)
            self._failed(Standing.UNREACHABLE if away else Standing.REFUSED, response, now)

    def _register(self, extra: tuple[tuple[str, str], ...]) -> None:
        account = self._account
        self._cseq += 1
        address = NameAddr(account.identity)
        expires_s = 0 if self._leaving else account.expires_s
        headers = [("max-forwards", "70"), ("from", str(address.tagged(self._tag)))]
        headers += [("to", str(address)), ("call-id", self._call_id)]
        instance = f';+sip.instance="<{account.instance}>"' if account.instance else ""
        headers += [("cseq", f"{self._cseq} REGISTER"), ("contact", account.contact + instance)]
        headers += [("route", route) for route in account.routes]
        headers += [("expires", str(expires_s)), ("supported", "path"), *extra]
        request = Request(headers, b"", "REGISTER", str(account.registrar))
        self._outputs.append(Ask(request, account.peer))

    def _prove(self, request: Request, response: Response, now: float) -> None:
        self._tried_proof = True
        header = proof_header(self._account.credentials, request, response, self._tag)
        if header is None:  # an algorithm that we don't have
            self._failed(Standing.REFUSED, response, now)
            return
        self._register((header,))

    def _registered(self, response: Response, now: float) -> None:
        if self._leaving:
            self.standing = Standing.UNKNOWN
            return
        self.standing, self._failures = Standing.REGISTERED, 0
        self.service_route = _service_route(response)
        granted_s = _granted_s(response, self._account)
        self._at = now + max(granted_s - 30.0, granted_s / 2)

    def _longer(self, least_s: int, now: float) -> None:
        from_s = self._account.expires_s
        if least_s <= from_s:
            self._at = now + LONGEST_RETRY_S
            return
        self._account = replace(self._account, expires_s=least_s)
        self._tried_proof = False
        self._register(())

    def _failed(self, standing: Standing, response: Response, now: float) -> None:
        self.standing = standing
        retry_s = min(FIRST_RETRY_S * 2.0**self._failures, LONGEST_RETRY_S)
        self._failures = min(self._failures + 1, 16)
        after = response.text("retry-after").partition(";")[0].partition("(")[0].strip()
        retry_s = max(retry_s, whole_number(after, LONGEST_EXPIRES_S) or 0.0)
        self._at = None if self._leaving else now + retry_s


def _service_route(response: Response) -> tuple[str, ...]:
    """Route values that can be used; with one that cannot, none: half a way leads nowhere."""
    routes = response.listed("service-route")
    try:
        usable = len(routes) <= MAX_ROUTES and all(parse_name_addr(route).uri for route in routes)
    except ProtocolError:  # the registrar's mistake: calls go without its routes
        usable = False
    return tuple(routes) if usable else ()


def _granted_s(response: Response, account: Account) -> float:
    """What the registrar grants: our Contact's expires, else the Expires header.

    Registrars write Contacts their own way: without the default port, in other letters, with the
    address that a NAT gave us. Ours is the one most like what we sent; of several that are equally
    like it the shortest counts, so that a REGISTER may come early, but never late.
    """
    header_s = whole_number(response.text("expires").partition(";")[0].strip(), NEVER_S)
    default_s = float(account.expires_s if header_s is None else header_s)
    bindings = list[tuple[int, float]]()
    for text in response.listed("contact"):
        try:
            contact = parse_name_addr(text)
        except ProtocolError:  # somebody else's binding of a form we don't know
            continue
        expires_s = whole_number(contact.param("expires") or "", NEVER_S)
        granted_s = default_s if expires_s is None else float(expires_s)
        bindings.append((_likeness(contact, account), granted_s))
    best = max((likeness for likeness, _ in bindings), default=0)
    if best == 0 and len(bindings) != 1:  # no binding is known to be ours
        return max(LEAST_GRANTED_S, default_s)
    least_s = min(granted_s for likeness, granted_s in bindings if likeness == best)
    return max(LEAST_GRANTED_S, least_s)


def _likeness(contact: NameAddr, account: Account) -> int:
    """How surely a binding is ours: by instance, by address, by user; 0 for by nothing."""
    ours, theirs = parse_name_addr(account.contact).uri, contact.uri
    instance = (contact.param("+sip.instance") or "").strip("<>").lower()
    if account.instance and instance == account.instance.lower():
        return 3
    addresses = [(uri.user, uri.peer().host, uri.peer().port) for uri in (ours, theirs)]
    if addresses[0] == addresses[1]:
        return 2
    return int(bool(ours.user) and ours.user == theirs.user)
