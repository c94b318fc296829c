"""The whole of SIP at this end: messages in, messages out, calls as events; sans-IO.

It hands every message to the call it belongs to, lets new calls in and sends what calls want sent.
It knows no socket, no RTP and no agent; whether and how a call is answered is its owner's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.admission import Admission, TurnedAway
from callcenter.telephony.sip.auth import DigestServer
from callcenter.telephony.sip.call import SipCall, State
from callcenter.telephony.sip.call_events import Ask, CallEnded, Output, Repeat, Respond
from callcenter.telephony.sip.dialog_user import ALLOW, SUPPORTED
from callcenter.telephony.sip.endpoint_events import EndpointEvent, IncomingCall, Owner, Turned
from callcenter.telephony.sip.identity import Identity
from callcenter.telephony.sip.inbound import InboundCall
from callcenter.telephony.sip.media_plan import LocalMedia
from callcenter.telephony.sip.message import (
    BadRequest,
    Request,
    Response,
    one_line,
    parse,
    reply,
)
from callcenter.telephony.sip.networks import is_address
from callcenter.telephony.sip.outbound import Dialled, OutboundCall
from callcenter.telephony.sip.registry import Registry
from callcenter.telephony.sip.rules import check
from callcenter.telephony.sip.timers import Timers
from callcenter.telephony.sip.transaction import MAGIC_COOKIE
from callcenter.telephony.sip.transactions import Transactions
from callcenter.telephony.sip.trunk import Trunk, Trunks
from callcenter.telephony.sip.uri import Peer, SipUri, parse_name_addr


class Endpoint:
    """One user agent.

    Args:
        identity: how the far end reaches us.
        trunks: who may call.
        digest: judges credentials.
        new_id: fresh random text for tags and branches.

    Attributes:
        routes: trunk -> Route values for calls of ours, as its registration has found them.
    """

    def __init__(
        self,
        identity: Identity,
        trunks: Trunks,
        digest: DigestServer,
        new_id: Callable[[], str],
    ) -> None:
        self.admission = Admission(trunks, digest)
        self.routes: dict[str, tuple[str, ...]] = {}
        self._identity = identity
        self._new_id = new_id
        self._transactions: Transactions[Owner] = Transactions()
        self._calls = Registry()
        self._trunk_of: dict[SipCall, Trunk] = {}
        self._timers: Timers[Owner] = Timers()
        self._events: list[EndpointEvent] = []

    # --- the sans-IO face -------------------------------------------------------------------------

    def receive(self, data: bytes, peer: Peer, now: float) -> None:
        """Takes one message. Who it is from comes first: a stranger's is not read.

        Raises:
            ProtocolError: it is no SIP message that could be answered; nothing has changed.
        """
        awaited = self._transactions.awaits(data, peer)
        if not (awaited or self.admission.knows(peer)):
            self._events.append(Turned("stranger"))  # no answer: nothing here for scanners
            return
        if not self.admission.has_time_for(peer, lambda: awaited or self._talks_with(peer), now):
            self._turned("flood", peer)
            return
        message = parse(data)
        if isinstance(message, Response):
            self._receive_response(message, peer, now)
        else:
            message.source = peer.host
            self._receive_request(message, peer, now)

    def outgoing(self) -> list[tuple[Peer, bytes]]:
        """Hands over what must be sent, in order."""
        return self._transactions.outgoing()

    def silent(self) -> list[Peer]:
        """Hands over the hops that left a request of ours without an answer."""
        return self._transactions.silent()

    def events(self) -> list[EndpointEvent]:
        """Hands over what happened."""
        events, self._events = self._events, []
        return events

    def next_timer(self) -> float | None:
        """When `handle_timer` is due."""
        times = (self._timers.next_timer(), self._transactions.next_timer())
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Does what is due."""
        for owner, request, response in self._transactions.handle_timer(now):
            self._hand_response(owner, request, response, now)
        for owner in self._timers.pop_due(now):
            owner.handle_timer(now)
            self.settle(owner, now)

    def unreachable(self, peer: Peer, now: float) -> None:
        """No connection to a hop can be made."""
        for owner, request, response in self._transactions.unreachable(peer):
            self._hand_response(owner, request, response, now)

    def settle(self, owner: Owner, now: float) -> None:
        """Sends what an owner wants sent; call it after every command to a call."""
        for output in owner.outputs():
            self._send(output, owner, now)
        if isinstance(owner, SipCall):
            if owner in self._trunk_of:  # a call of ours has its name only once it is answered
                self._calls.add(owner)
            for event in owner.events():
                self._events.append((owner, event))
                if isinstance(event, CallEnded):
                    self._forget(owner)
        self._timers.arm(owner, owner.next_timer())

    def dial(
        self, target: SipUri, user: str, peer: Peer, trunk: Trunk, local: LocalMedia, now: float
    ) -> OutboundCall:
        """Calls somebody; the call's events tell what becomes of it.

        Args:
            target: URI to call.
            user: our name in From.
            peer: the trunk's end, over which the INVITE goes if the trunk has no route.
            trunk: whose channel it uses.
            local: what we offer.
            now: seconds.
        """
        routes = self._routes(trunk, peer)
        if routes:
            peer = parse_name_addr(routes[0]).uri.peer()
        contact = self._identity.contact(peer.transport)
        call_id, tag = self._new_id(), self._new_id()
        identity = self._identity.uri(user)
        carries = partial(trunk.carries, began=peer)
        dialled = Dialled(
            target, identity, contact, peer, call_id, tag, carries, trunk.outbound, routes
        )
        call = OutboundCall(dialled, local, now)
        self._remember(call, trunk)
        self.settle(call, now)
        return call

    def __len__(self) -> int:
        return len(self._trunk_of)

    @property
    def transactions(self) -> int:
        """How many are in memory."""
        return len(self._transactions)

    def uses(self, peer: Peer) -> bool:
        """Whether a call or a registration goes over a connection, which then stays open."""
        return any(owner.uses(peer) for owner in (*self._trunk_of, *self._timers))

    # --- messages ---------------------------------------------------------------------------------

    def _talks_with(self, peer: Peer) -> bool:
        """Whether a call is up with a host."""
        return any(call.dialog.peer.host == peer.host for call in self._trunk_of)

    def _receive_response(self, response: Response, peer: Peer, now: float) -> None:
        asked = self._transactions.asked(response)
        if asked is None:
            return
        owner, at = asked
        heard = _answers(peer, at)
        if isinstance(owner, SipCall) and is_address(at.host):
            heard = owner.hears(peer)
        if not heard:
            self._turned("foreign", peer)
            return
        found = self._transactions.receive_response(response, now)
        if found is not None:
            self._hand_response(*found, response, now)

    def _receive_request(self, request: Request, peer: Peer, now: float) -> None:
        if self._transactions.repeats(request, now):
            return
        call, trunk = self._calls.find(request), self.admission.find(peer)
        foreign = call is not None and not call.hears(peer)
        if trunk is None and (call is None or foreign):
            self._events.append(Turned("stranger"))
            return
        if foreign:
            self._turned("foreign", peer)
        if request.method == "ACK":
            if call is not None and not foreign:
                self._hand_request(call, request, peer, now)
            return
        self._transactions.open(request, peer, now)
        try:
            _judge(request)
            if foreign:  # as if there were no such call
                raise TurnedAway(481, "", ())
            self._dispatch(request, call, peer, now)
        except TurnedAway as away:
            if away.code:
                self._turned(away.code, peer)
            self._refuse(request, away, now)
        except BadRequest as bad:
            self._events.append(Turned("bad_request"))
            self._refuse(request, bad, now)
        except ProtocolError as error:  # a header that was read only now
            self._events.append(Turned("bad_request"))
            self._refuse(request, BadRequest(400, str(error)), now)

    def _turned(self, code: str, peer: Peer) -> None:
        trunk = self.admission.find(peer)
        self._events.append(Turned(code, trunk.name if trunk else ""))

    def _dispatch(self, request: Request, call: SipCall | None, peer: Peer, now: float) -> None:
        if request.method == "CANCEL":
            self._cancel(request, peer, now)
        elif call is not None:
            self._hand_request(call, request, peer, now)
        elif request.to.param("tag") is not None:
            raise BadRequest(481, "")
        elif request.method == "INVITE":
            self._invite(request, peer, now)
        elif request.method == "OPTIONS":
            self._options(request, peer, now)
        else:
            raise BadRequest(405, "", (("allow", ALLOW),))

    def _cancel(self, request: Request, peer: Peer, now: float) -> None:
        invite = self._transactions.invite_of(request)
        call = self._calls.find(invite) if invite is not None else None
        if call is None:
            raise BadRequest(481, "")
        self._hand_request(call, request, peer, now)

    def _options(self, request: Request, peer: Peer, now: float) -> None:
        draining, trunk = self.admission.draining, self.admission.find(peer)
        response = reply(request, 503 if draining else 200, to_tag=self._new_id())
        response.add("allow", ALLOW)
        response.add("accept", "application/sdp")
        response.add("supported", ", ".join(sorted(SUPPORTED)))
        if draining and trunk is not None:
            response.add("retry-after", str(trunk.retry_after_s))
        self._transactions.respond(request, response, now)

    def _invite(self, request: Request, peer: Peer, now: float) -> None:
        trunk = self.admission.find(peer)
        if trunk is None:
            raise BadRequest(403, "")
        if self._calls.has_opened(request):
            raise BadRequest(482, "the same call came twice, over two ways")
        self.admission.judge(request, trunk, peer, self._half_open(trunk), now)
        contact, tag = self._identity.contact(peer.transport), self._new_id()
        carries = partial(trunk.carries, began=peer)
        call = InboundCall(request, peer, tag, contact, now, carries, trunk.outbound)
        self._remember(call, trunk)
        self._transactions.respond(request, reply(request, 100), now)
        self._events.append(IncomingCall(call, trunk))
        self.settle(call, now)

    def _half_open(self, trunk: Trunk) -> int:
        """Calls of a trunk that we have answered, and that nobody has acknowledged."""
        return sum(
            call.state is State.ANSWERED
            for call, of in self._trunk_of.items()
            if of.name == trunk.name
        )

    def _refuse(self, request: Request, bad: BadRequest, now: float) -> None:
        reason = one_line(str(bad))[:100]
        response = reply(request, bad.status, reason, self._new_id())
        for name, value in bad.headers:
            response.add(name, value)
        self._transactions.respond(request, response, now)

    def _hand_request(self, call: SipCall, request: Request, peer: Peer, now: float) -> None:
        call.receive(request, peer, now)
        self.settle(call, now)

    def _hand_response(
        self, owner: Owner, request: Request, response: Response, now: float
    ) -> None:
        try:
            owner.receive_response(request, response, now)
        finally:  # a header that is none ends the reading, not what it has led to before
            self.settle(owner, now)

    # --- sending ----------------------------------------------------------------------------------

    def _send(self, output: Output, owner: Owner, now: float) -> None:
        match output:
            case Respond(request=request, response=response):
                self._transactions.respond(request, response, now)
            case Repeat(data=data, peer=peer):
                self._transactions.send(peer, data)
            case Ask(request=request, peer=peer):
                self._ask(request, peer, owner, now)

    def _ask(self, request: Request, peer: Peer, owner: Owner, now: float) -> None:
        if request.method != "CANCEL":  # which has its INVITE's Via
            via = self._identity.via(peer.transport, MAGIC_COOKIE + self._new_id())
            request.headers.insert(0, ("via", via))
        if request.method == "ACK":
            self._transactions.send(peer, request.encode())
        else:
            self._transactions.ask(request, peer, owner, now)

    # --- calls ------------------------------------------------------------------------------------

    def _routes(self, trunk: Trunk, peer: Peer) -> tuple[str, ...]:
        """Route values for a call of ours: those of the trunk's registration, else its proxy.

        A registrar's Service-Route is text of a message: what it names first must be the trunk's.
        """
        found = self.routes.get(trunk.name, ())
        if not found:
            return trunk.routes()
        hop, proxy = parse_name_addr(found[0]).uri.peer(), trunk.outbound_proxy
        own = proxy is not None and hop.host == proxy.peer().host
        return found if own or trunk.carries(hop, peer) else trunk.routes()

    def _remember(self, call: SipCall, trunk: Trunk) -> None:
        self._trunk_of[call] = trunk
        self.admission.took(trunk)
        self._calls.add(call)

    def _forget(self, call: SipCall) -> None:
        trunk = self._trunk_of.pop(call, None)
        if trunk is not None:
            self.admission.freed(trunk)
            self._calls.remove(call)


def _judge(request: Request) -> None:
    check(request)
    unknown = sorted(request.tokens("require") - SUPPORTED)
    if unknown and request.method != "CANCEL":
        text = one_line(", ".join(unknown))[:200]
        raise BadRequest(420, "Bad Extension", (("unsupported", text),))


def _answers(peer: Peer, asked: Peer) -> bool:
    """Whether a response from there may be to a request that went to `asked`.

    A name that we have asked is one of the configuration's (see `Trunk.carries`). It may have
    several addresses, also such as are none of the trunk's: its response is known by the branch.
    """
    if asked.transport == "tls" and peer.transport != "tls":
        return False
    return peer.host == asked.host or not is_address(asked.host)
