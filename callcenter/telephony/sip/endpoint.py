"""The whole of SIP at this end: messages in, messages out, calls as events; sans-IO.

It holds the transactions and the calls, decides who may call (trunks, digest, rates, channels) and
hands every message to whom it belongs. Bounded in everything that a stranger can make grow. It
knows no socket, no RTP and no agent; whether and how a call is answered is its owner's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.auth import DigestServer
from callcenter.telephony.sip.call import (
    ALLOW,
    SUPPORTED,
    Ask,
    CallEnded,
    CallEvent,
    Output,
    Repeat,
    Respond,
    SipCall,
    answer_peer,
)
from callcenter.telephony.sip.message import (
    BadRequest,
    Request,
    Response,
    check,
    one_line,
    parse,
    reply,
)
from callcenter.telephony.sip.timers import Timers
from callcenter.telephony.sip.transaction import (
    MAGIC_COOKIE,
    ClientTransaction,
    Key,
    ServerTransaction,
    State,
    server_key,
    timeout_response,
)
from callcenter.telephony.sip.trunk import RateLimit, Trunk, Trunks
from callcenter.telephony.sip.uri import DEFAULT_PORTS, Peer, Via, bracketed

MAX_TRANSACTIONS = 20_000
MAX_CALLS = 2_000


@dataclass(frozen=True, slots=True)
class Identity:
    """How the far end reaches us.

    Attributes:
        host: advertised address.
        ports: transport -> advertised port.
    """

    host: str
    ports: dict[str, int]

    def contact(self, transport: str) -> str:
        """Our Contact on a transport."""
        suffix = "" if transport == "udp" else f";transport={transport}"
        return f"<sip:{bracketed(self.host)}:{self._port(transport)}{suffix}>"

    def via(self, transport: str, branch: str) -> str:
        """Our Via on a transport."""
        params = {"branch": branch, "rport": ""}
        return str(Via(transport, bracketed(self.host), self._port(transport), params))

    def _port(self, transport: str) -> int:
        return self.ports.get(transport, DEFAULT_PORTS.get(transport, 5060))


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """An INVITE that may come in; it rings until its owner answers or refuses."""

    call: SipCall
    trunk: Trunk


@dataclass(frozen=True, slots=True)
class Turned:
    """A request was turned away before it became a call.

    Attributes:
        code: short, stable: "stranger", "unauthorized", "rate", "channels", "draining",
            "bad_request".
        trunk: its name; "" for a stranger.
    """

    code: str
    trunk: str = ""


EndpointEvent = IncomingCall | Turned | tuple[SipCall, CallEvent]


class Owner(Protocol):
    """Whoever sends requests of its own: a call, a registration."""

    def __hash__(self) -> int: ...

    def outputs(self) -> list[Output]:
        """What must be sent now."""
        ...

    def receive_response(self, request: Request, response: Response, now: float) -> None:
        """The response to a request of its own."""
        ...

    def next_timer(self) -> float | None:
        """When `handle_timer` is due."""
        ...

    def handle_timer(self, now: float) -> None:
        """Its time has come."""
        ...


class Endpoint:
    """One user agent.

    Args:
        identity: how the far end reaches us.
        trunks: who may call.
        digest: judges credentials.
        new_id: fresh random text for tags and branches.
    """

    def __init__(
        self,
        identity: Identity,
        trunks: Trunks,
        digest: DigestServer,
        new_id: Callable[[], str],
    ) -> None:
        self.draining = False
        self._identity = identity
        self._trunks = trunks
        self._digest = digest
        self._new_id = new_id
        self._servers: dict[Key, ServerTransaction] = {}
        self._clients: dict[Key, tuple[ClientTransaction, Owner]] = {}
        self._calls: dict[tuple[str, str, str], SipCall] = {}
        self._trunk_of: dict[SipCall, Trunk] = {}
        self._channels: Counter[str] = Counter()
        self._rates: dict[str, RateLimit] = {}
        self._timers: Timers[ServerTransaction | ClientTransaction | Owner] = Timers()
        self._outgoing: list[tuple[Peer, bytes]] = []
        self._events: list[EndpointEvent] = []

    # --- the sans-IO face -------------------------------------------------------------------------

    def receive(self, data: bytes, peer: Peer, now: float) -> None:
        """Takes one message.

        Raises:
            ProtocolError: it is no SIP message that could be answered; nothing has changed.
        """
        message = parse(data)
        if isinstance(message, Response):
            self._receive_response(message, now)
        else:
            self._receive_request(message, peer, now)

    def outgoing(self) -> list[tuple[Peer, bytes]]:
        """Hands over what must be sent, in order."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def events(self) -> list[EndpointEvent]:
        """Hands over what happened."""
        events, self._events = self._events, []
        return events

    def next_timer(self) -> float | None:
        """When `handle_timer` is due."""
        return self._timers.next_timer()

    def handle_timer(self, now: float) -> None:
        """Does what is due."""
        for thing in self._timers.pop_due(now):
            thing.handle_timer(now)
            if isinstance(thing, ServerTransaction):
                self._tend_server(thing)
            elif isinstance(thing, ClientTransaction):
                self._tend_client(thing, now)
            else:
                self.settle(thing, now)

    def settle(self, owner: Owner, now: float) -> None:
        """Sends what an owner wants sent; call it after every command to a call."""
        for output in owner.outputs():
            self._send(output, owner, now)
        if isinstance(owner, SipCall):
            for event in owner.events():
                self._events.append((owner, event))
                if isinstance(event, CallEnded):
                    self._forget(owner)
        self._timers.arm(owner, owner.next_timer())

    def __len__(self) -> int:
        return len(self._trunk_of)

    @property
    def transactions(self) -> int:
        """How many are in memory."""
        return len(self._servers) + len(self._clients)

    # --- requests ---------------------------------------------------------------------------------

    def _receive_request(self, request: Request, peer: Peer, now: float) -> None:
        key = server_key(request)
        known = self._servers.get(key)
        if known is not None:
            known.receive(request, now)
            self._tend_server(known)
            if request.method != "ACK" or known.state is not State.ACCEPTED:
                return
        call = self._call_of(request)
        if request.method == "ACK":
            if call is not None:
                call.receive(request, peer, now)
                self.settle(call, now)
            return
        if call is None and self._trunks.find(peer) is None:
            self._events.append(Turned("stranger"))  # no answer: nothing here for scanners
            return
        if len(self._servers) >= MAX_TRANSACTIONS:
            raise ProtocolError(f"more than {MAX_TRANSACTIONS} transactions are under way")
        transaction = self._open(key, request, peer, now)
        try:
            self._judge(request)
            self._dispatch(request, call, peer, now)
        except BadRequest as bad:
            self._events.append(Turned("bad_request"))
            self._refuse(transaction, bad.status, str(bad), now, bad.headers)

    def _open(self, key: Key, request: Request, peer: Peer, now: float) -> ServerTransaction:
        """A transaction whose responses carry where the request really came from."""
        back = answer_peer(request, peer)
        first, *others = request.listed("via")
        del first
        vias = [("via", str(request.via.stamped(peer)))] + [("via", via) for via in others]
        request.headers = vias + [(n, v) for n, v in request.headers if n != "via"]
        transaction = ServerTransaction(request, back, now)
        self._servers[key] = transaction
        self._tend_server(transaction)
        return transaction

    def _judge(self, request: Request) -> None:
        check(request)
        unknown = sorted(request.tokens("require") - SUPPORTED)
        if unknown and request.method != "CANCEL":
            text = one_line(", ".join(unknown))[:200]
            raise BadRequest(420, "Bad Extension", (("unsupported", text),))

    def _dispatch(self, request: Request, call: SipCall | None, peer: Peer, now: float) -> None:
        if request.method == "CANCEL":
            self._cancel(request, peer, now)
        elif call is not None:
            call.receive(request, peer, now)
            self.settle(call, now)
        elif request.to.param("tag") is not None:
            raise BadRequest(481, "")
        elif request.method == "INVITE":
            self._invite(request, peer, now)
        elif request.method == "OPTIONS":
            self._options(request, now)
        else:
            raise BadRequest(405, "", (("allow", ALLOW),))

    def _cancel(self, request: Request, peer: Peer, now: float) -> None:
        """A CANCEL has its INVITE's branch (RFC 3261 9.2)."""
        own = server_key(request)
        invite = self._servers.get(Key(own.branch, own.sent_by, own.call_id, "INVITE"))
        call = self._call_of(invite.request) if invite is not None else None
        if call is None:
            raise BadRequest(481, "")
        call.receive(request, peer, now)
        self.settle(call, now)

    def _options(self, request: Request, now: float) -> None:
        response = reply(request, 503 if self.draining else 200, to_tag=self._new_id())
        response.add("allow", ALLOW)
        response.add("accept", "application/sdp")
        response.add("supported", ", ".join(sorted(SUPPORTED)))
        if self.draining:
            response.add("retry-after", "30")
        self._respond(request, response, now)

    def _invite(self, request: Request, peer: Peer, now: float) -> None:
        trunk = self._trunks.find(peer)
        if trunk is None:
            raise BadRequest(403, "")
        if not self._allowed(request, trunk, now):
            return
        call = SipCall(
            request,
            peer,
            self._new_id(),
            self._identity.contact(peer.transport),
            now,
            trunk.outbound,
        )
        self._calls[self._name(request, call.dialog.id.local_tag)] = call
        self._calls[self._name(request, "")] = call  # for a copy over another way, and CANCEL
        self._trunk_of[call] = trunk
        self._channels[trunk.name] += 1
        self._respond(request, reply(request, 100), now)
        self._events.append(IncomingCall(call, trunk))
        self.settle(call, now)

    def _allowed(self, request: Request, trunk: Trunk, now: float) -> bool:
        """Whether a new call may come in; if not it has been answered."""
        if self._name(request, "") in self._calls:
            raise BadRequest(482, "the same call came twice, over two ways")
        rate = self._rates.get(trunk.name)
        if rate is None:
            rate = RateLimit(trunk.invites_per_s, 2 * trunk.invites_per_s)
            self._rates[trunk.name] = rate
        if not rate.take(now):
            return self._turn_away(request, trunk, "rate", now)
        if trunk.credentials is not None:
            verdict = self._digest.verify(
                "INVITE", request.get("authorization"), trunk.credentials, now
            )
            if verdict is not None:
                return self._challenge(request, trunk, verdict, now)
        if self.draining:
            return self._turn_away(request, trunk, "draining", now)
        full = self._channels[trunk.name] >= trunk.max_channels
        if full or len(self._trunk_of) >= MAX_CALLS:
            return self._turn_away(request, trunk, "channels", now)
        return True

    def _challenge(self, request: Request, trunk: Trunk, verdict: str, now: float) -> bool:
        response = reply(request, 401, to_tag=self._new_id())
        for challenge in self._digest.challenges(now, stale=verdict == "stale"):
            response.add("www-authenticate", challenge)
        self._respond(request, response, now)
        if verdict != "missing":
            self._events.append(Turned("unauthorized", trunk.name))
        return False

    def _turn_away(self, request: Request, trunk: Trunk, code: str, now: float) -> bool:
        status = trunk.no_capacity_status
        response = reply(request, status, to_tag=self._new_id())
        response.add("retry-after", str(trunk.retry_after_s))
        response.add("reason", f'SIP;cause={status};text="{code}"')
        self._respond(request, response, now)
        self._events.append(Turned(code, trunk.name))
        return False

    def _refuse(
        self,
        transaction: ServerTransaction,
        status: int,
        reason: str,
        now: float,
        headers: tuple[tuple[str, str], ...],
    ) -> None:
        response = reply(transaction.request, status, one_line(reason)[:100], self._new_id())
        for name, value in headers:
            response.add(name, value)
        transaction.respond(response, now)
        self._tend_server(transaction)

    # --- responses --------------------------------------------------------------------------------

    def _receive_response(self, response: Response, now: float) -> None:
        via, (_, method) = response.via, response.cseq
        key = Key(via.branch, "", response.call_id, method)
        found = self._clients.get(key)
        if found is None:  # a stray, or a copy after the end
            return
        transaction, owner = found
        news = transaction.receive(response, now)
        self._tend_client(transaction, now)
        if news:
            owner.receive_response(transaction.request, response, now)
            self.settle(owner, now)

    # --- sending ----------------------------------------------------------------------------------

    def _send(self, output: Output, owner: Owner, now: float) -> None:
        match output:
            case Respond(request=request, response=response):
                self._respond(request, response, now)
            case Repeat(data=data, peer=peer):
                self._outgoing.append((peer, data))
            case Ask(request=request, peer=peer):
                self._ask(request, peer, owner, now)

    def _respond(self, request: Request, response: Response, now: float) -> None:
        transaction = self._servers.get(server_key(request))
        if transaction is not None:
            transaction.respond(response, now)
            self._tend_server(transaction)

    def _ask(self, request: Request, peer: Peer, owner: Owner, now: float) -> None:
        branch = MAGIC_COOKIE + self._new_id()
        request.headers.insert(0, ("via", self._identity.via(peer.transport, branch)))
        if request.method == "ACK":
            self._outgoing.append((peer, request.encode()))
            return
        transaction = ClientTransaction(request, peer, now)
        self._clients[Key(branch, "", request.call_id, request.method)] = (transaction, owner)
        self._tend_client(transaction, now)

    def _tend_server(self, transaction: ServerTransaction) -> None:
        self._flush(transaction)
        if transaction.state is State.TERMINATED:
            self._timers.arm(transaction, None)
            self._servers.pop(server_key(transaction.request), None)

    def _tend_client(self, transaction: ClientTransaction, now: float) -> None:
        self._flush(transaction)
        if transaction.state is not State.TERMINATED:
            return
        self._timers.arm(transaction, None)
        request = transaction.request
        found = self._clients.pop(
            Key(request.via.branch, "", request.call_id, request.method), None
        )
        if found is not None and transaction.timed_out:
            found[1].receive_response(request, timeout_response(request), now)
            self.settle(found[1], now)

    def _flush(self, transaction: ServerTransaction | ClientTransaction) -> None:
        self._outgoing += [(transaction.peer, data) for data in transaction.messages_to_send()]
        self._timers.arm(transaction, transaction.next_timer())

    # --- calls ------------------------------------------------------------------------------------

    def _call_of(self, request: Request) -> SipCall | None:
        try:
            tag = request.to.param("tag") or ""
            name = self._name(request, tag)
        except ProtocolError:  # `check` will say what is wrong with it
            return None
        if not tag and request.method not in ("ACK", "CANCEL", "INVITE"):
            return None
        call = self._calls.get(name)
        if not tag and request.method == "INVITE" and call is not None:
            same = request.via.branch == call.invite.via.branch
            return call if same else None
        return call

    def _name(self, request: Request, local_tag: str) -> tuple[str, str, str]:
        return request.call_id, request.from_.param("tag") or "", local_tag

    def _forget(self, call: SipCall) -> None:
        trunk = self._trunk_of.pop(call, None)
        if trunk is None:
            return
        self._channels[trunk.name] -= 1
        self._calls.pop(self._name(call.invite, call.dialog.id.local_tag), None)
        self._calls.pop(self._name(call.invite, ""), None)
