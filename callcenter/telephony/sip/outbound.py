"""A call of ours: from our INVITE to the ACK of its answer, then as every call (RFC 3261 13.2).

    ringing --2xx, ACK--> confirmed
       |--3xx-6xx, nobody in 30 s, hang_up: CANCEL--> ended

One INVITE may be answered by several (RFC 3261 13.2.2.4): the first is taken, the others get BYE.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.auth import Credentials
from callcenter.telephony.sip.call import SipCall, State
from callcenter.telephony.sip.call_events import Answered, Ask
from callcenter.telephony.sip.dialog import Carries, Dialog
from callcenter.telephony.sip.dialog_user import ALLOW, SUPPORTED, reason_header
from callcenter.telephony.sip.media_plan import LocalMedia
from callcenter.telephony.sip.message import Request, Response
from callcenter.telephony.sip.negotiation import answer_in
from callcenter.telephony.sip.reliable import rseq
from callcenter.telephony.sip.sdp import SDP_TYPE
from callcenter.telephony.sip.uri import NameAddr, Peer, SipUri

ANSWER_LIMIT_S = 30.0
MAX_EARLY = 8  # branches of a fork whose provisional responses are acknowledged


@dataclass(slots=True)
class _Early:
    """A branch of a fork that has rung reliably.

    Attributes:
        dialog: its own.
        rseq: of the last response that was acknowledged.
        answer: the SDP that came with one of them: it answers our offer (RFC 3262 5).
    """

    dialog: Dialog
    rseq: int
    answer: bytes = b""


@dataclass(frozen=True, slots=True)
class Dialled:
    """Whom to call, as whom, over which way.

    Attributes:
        target: URI to call.
        identity: ours, in From.
        contact: under which we are reached, as text.
        peer: where the INVITE goes unless the target is at the same host.
        call_id, tag: fresh and random.
        carries: which hops are the far end's.
        credentials: when the far end asks for them.
        routes: Route values that the INVITE begins with; the first one is where it goes.
    """

    target: SipUri
    identity: SipUri
    contact: str
    peer: Peer
    call_id: str
    tag: str
    carries: Carries
    credentials: Credentials | None = None
    routes: tuple[str, ...] = ()


class OutboundCall(SipCall):
    """One call of ours; the INVITE goes out with its first `outputs()`.

    Attributes:
        status: of the response that ended or answered it; 0 before.
    """

    glare_retry_s = 3.0  # RFC 3261 14.1: 2.1 to 4 s for the owner of the Call-ID

    def __init__(self, dialled: Dialled, local: LocalMedia, now: float) -> None:
        super().__init__(_dialog(dialled), set(), dialled.credentials)
        self.status = 0
        self._ring_until = now + ANSWER_LIMIT_S
        self._rings = False  # a provisional response came
        self._given_up = False
        self._cancelled = False
        self._early: dict[str, _Early] = {}
        self._invite = self.dialog.request("INVITE", self._media.offer(local), SDP_TYPE)
        self._invite.add("allow", ALLOW)
        self._invite.add("supported", ", ".join(sorted(SUPPORTED)))
        self._ask(self._invite)

    def hang_up(self, code: str, now: float) -> None:
        """Ends the call; while it rings by CANCEL."""
        if self.state is State.RINGING:
            self._give_up()
        else:
            super().hang_up(code, now)

    def handle_timer(self, now: float) -> None:
        """As every call's; and one that nobody answers is given up."""
        if self.state is State.RINGING and self._ring_until and now >= self._ring_until:
            self.status = 408
            self._give_up()
        super().handle_timer(now)

    def receive_response(self, request: Request, response: Response, now: float) -> None:
        """Takes the response to a request of ours; a time-out comes as a 408."""
        if request is not self._invite:
            if request.method != "PRACK":  # whose failure is the INVITE's to tell
                super().receive_response(request, response, now)
        elif response.status < 200:
            self._rings = True
            self._cancel_if_due()
            self._acknowledge_provisional(response)
        elif response.status < 300:
            self._on_answer(response, now)
        elif self.state is State.RINGING and not self._prove(response):
            self.status = response.status
            self._end("refused")

    def _give_up(self) -> None:
        """A CANCEL may go out only after a provisional response (RFC 3261 9.1)."""
        self._given_up = True
        self._cancel_if_due()
        self._end("local")

    def _cancel_if_due(self) -> None:
        if not (self._rings and self._given_up) or self._cancelled:
            return
        self._cancelled = True
        invite = self._invite
        number, _ = invite.cseq
        names = ("via", "from", "to", "call-id", "route")
        headers = [(name, value) for name, value in invite.headers if name in names]
        headers += [("max-forwards", "70"), ("cseq", f"{number} CANCEL")]
        cancel = Request(headers, b"", "CANCEL", invite.uri_text)
        self._outputs.append(Ask(cancel, self.dialog.next_hop()))

    def _acknowledge_provisional(self, response: Response) -> None:
        """Answers a reliable response by PRACK, each once and in order (RFC 3262 4)."""
        number, tag = rseq(response), response.to.param("tag") or ""
        if number is None or self.state is not State.RINGING:
            return
        early = self._early.get(tag)
        try:
            if early is None and len(self._early) < MAX_EARLY:
                early = self._early[tag] = _Early(_answered(self.dialog, response), number - 1)
        except ProtocolError:  # without tag or Contact nobody knows where a PRACK would go
            return
        if early is None or number != early.rseq + 1:
            return
        early.rseq, early.answer = number, early.answer or answer_in(response)
        prack = early.dialog.request("PRACK")
        invite_cseq, _ = self._invite.cseq
        prack.add("rack", f"{number} {invite_cseq} INVITE")
        self._outputs.append(Ask(prack, early.dialog.next_hop()))

    def _prove(self, response: Response) -> bool:
        again = self._ask_with_proof(self._invite, response)
        self._invite = again or self._invite
        return again is not None

    def _on_answer(self, response: Response, now: float) -> None:
        try:
            answered, allows = _answered(self.dialog, response), response.tokens("allow")
        except ProtocolError:  # a 2xx without Contact or tag: there is nobody to acknowledge it to
            self._end("lost")
            return
        if self.state is State.RINGING:
            early = self._early.get(answered.id.remote_tag)
            if early is not None:
                answered.local_cseq = early.dialog.local_cseq
            self.status, self.dialog, self.state = response.status, answered, State.CONFIRMED
            self._peer_allows = allows
            self._acknowledge(self._invite)
            self._events.append(Answered())
            self._timer.refreshed(response, now)
            answer = early.answer if early is not None else b""
            self._take_answer(answer or answer_in(response))
        elif answered.id == self.dialog.id:  # the answer again
            self._acknowledge(self._invite)
        else:
            self._leave(answered)

    def _leave(self, answered: Dialog) -> None:
        """An answer that comes too late, or from another branch of a fork."""
        number, _ = self._invite.cseq
        self._outputs.append(Ask(answered.ack(number), answered.next_hop()))
        bye = answered.request("BYE")
        bye.add(*reason_header(200, "not_wanted"))
        self._outputs.append(Ask(bye, answered.next_hop()))


def _dialog(dialled: Dialled) -> Dialog:
    """What is known before anybody answers."""
    return Dialog(
        call_id=dialled.call_id,
        local=NameAddr(dialled.identity).tagged(dialled.tag),
        remote=NameAddr(dialled.target),
        remote_target=dialled.target,
        route_set=dialled.routes,
        local_contact=dialled.contact,
        peer=dialled.peer,
        carries=dialled.carries,
    )


def _answered(dialog: Dialog, response: Response) -> Dialog:
    """The dialog that a 2xx makes (RFC 3261 12.1.2).

    Raises:
        ProtocolError: it has no tag, no usable Contact, or a route that is none.
    """
    contact = response.contact
    if contact is None or not response.to.param("tag"):
        raise ProtocolError("a 2xx needs a Contact and a tag in To")
    _ = response.record_routes  # each one an address, or no request of ours could follow them
    routes = tuple(reversed(response.listed("record-route")))
    return replace(dialog, remote=response.to, remote_target=contact.uri, route_set=routes)
