"""One SIP call that came to us: from its INVITE to its BYE (RFC 3261 13-15, RFC 3311, 3515, 4028).

Sans-IO: requests and responses in, `outputs()` and `events()` out, `now` an argument. It knows no
transaction, no trunk, no RTP socket, and nothing of what is said.

    ringing --answer--> answered --ACK--> confirmed --hang_up/BYE--> ended
       |--refuse, CANCEL--> ended  |--no ACK in 32 s: BYE--> ended
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, replace

from callcenter.errors import ProtocolError
from callcenter.telephony.sip import sdp
from callcenter.telephony.sip.auth import Credentials, authorize
from callcenter.telephony.sip.dialog import Dialog, from_invite
from callcenter.telephony.sip.message import BadRequest, Request, Response, one_line, reply
from callcenter.telephony.sip.sdp import LocalMedia, MediaPlan, NotAcceptable, Offered
from callcenter.telephony.sip.session_timer import SessionTimer
from callcenter.telephony.sip.transaction import T1_S, T2_S
from callcenter.telephony.sip.uri import Peer

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, NOTIFY, REFER"
SUPPORTED = frozenset({"timer"})
SDP_TYPE = "application/sdp"
GLARE_RETRY_S = 1.0  # RFC 3261 14.1: 0 to 2 s for whoever doesn't own the Call-ID
REFER_TIMEOUT_S = 30.0
RING_LIMIT_S = 60.0  # an owner that neither answers nor refuses: the call does not stay for ever
MAX_ATTRIBUTES = 32
MAX_ATTRIBUTE_CHARS = 512

_SIPFRAG = re.compile(rb"SIP/2\.0 (\d{3})")
_RELAYED = re.compile(r"^\s*signal\s*=\s*([0-9A-D*#]|1[0-5])\s*$", re.IGNORECASE | re.MULTILINE)
_KEYS = "0123456789*#ABCD"  # RFC 4733 table 3

# --- outputs --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer a request, through its transaction."""

    request: Request
    response: Response


@dataclass(frozen=True, slots=True)
class Ask:
    """Send a request, in a transaction of its own (an ACK: in none)."""

    request: Request
    peer: Peer


@dataclass(frozen=True, slots=True)
class Repeat:
    """Send a 2xx once more; no transaction does that (RFC 3261 13.3.1.4)."""

    data: bytes
    peer: Peer


Output = Respond | Ask | Repeat

# --- events ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MediaAgreed:
    """Audio flows, or flows otherwise than before."""

    plan: MediaPlan


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """A key, by INFO."""

    digit: str


@dataclass(frozen=True, slots=True)
class Transferred:
    """What became of a REFER: the status of the far end's new call; 408 when it never told."""

    status: int


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call is over.

    Attributes:
        reason: "hangup", "cancelled", "refused", "no_ack", "session_expired", "lost", "local".
    """

    reason: str


CallEvent = MediaAgreed | DigitPressed | Transferred | CallEnded


class State(enum.Enum):
    """Where a call stands."""

    RINGING = "ringing"
    ANSWERED = "answered"
    CONFIRMED = "confirmed"
    ENDED = "ended"


@dataclass(slots=True)
class _Unacknowledged:
    """A 2xx that is repeated until its ACK comes."""

    cseq: int
    data: bytes
    peer: Peer
    repeat_at: float
    over_at: float
    after_s: float = T1_S


class SipCall:
    """One call.

    Attributes:
        invite: that opened it.
        dialog: names, route, numbers.
        state: where it stands.
        plan: the audio that was agreed last; None before.
    """

    def __init__(
        self,
        invite: Request,
        peer: Peer,
        local_tag: str,
        local_contact: str,
        now: float,
        credentials: Credentials | None = None,
    ) -> None:
        """Takes an INVITE.

        Raises:
            BadRequest: it has no Contact, a body that is no SDP, or a session timer too short.
        """
        self.invite = invite
        self.dialog: Dialog = from_invite(invite, local_tag, local_contact, peer)
        self.state = State.RINGING
        self.plan: MediaPlan | None = None
        self._timer = SessionTimer()
        self._timer.judge(invite)
        self._offer = _offer_in(invite)
        self._credentials = credentials
        self._ring_until = now + RING_LIMIT_S
        self._peer_allows = invite.tokens("allow")
        self._local: LocalMedia | None = None
        self._sdp_version = 1
        self._our_offer: Offered | None = None
        self._unacknowledged: _Unacknowledged | None = None
        self._asking: Request | None = None  # our INVITE or UPDATE under way
        self._ask_again_at: float | None = None
        self._hang_up_reason: str | None = None  # wanted before the ACK came
        self._refer_until: float | None = None
        self._outputs: list[Output] = []
        self._events: list[CallEvent] = []

    # --- what it tells ----------------------------------------------------------------------------

    @property
    def caller(self) -> str:
        """The caller's number or name: personal data."""
        return self.dialog.remote.uri.user

    @property
    def called(self) -> str:
        """The number that was dialled: the Request-URI's, which is what the trunk routes by."""
        return self.invite.uri.user or self.invite.to.uri.user

    def attributes(self) -> dict[str, str]:
        """The INVITE's X- headers, by their names in lower case; bounded."""
        found = [(name, value) for name, value in self.invite.headers if name.startswith("x-")]
        return {name: value[:MAX_ATTRIBUTE_CHARS] for name, value in found[:MAX_ATTRIBUTES]}

    def outputs(self) -> list[Output]:
        """Hands over what must be sent now, in order."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def events(self) -> list[CallEvent]:
        """Hands over what happened."""
        events, self._events = self._events, []
        return events

    def next_timer(self) -> float | None:
        """When `handle_timer` is due."""
        waiting = self._unacknowledged
        times = [self._ask_again_at, self._refer_until]
        if waiting is not None:
            times += [waiting.repeat_at, waiting.over_at]
        elif self.state is State.CONFIRMED:
            times.append(self._timer.next_timer())
        elif self.state is State.RINGING:
            times.append(self._ring_until)
        return min((time for time in times if time is not None), default=None)

    # --- what the owner wants ---------------------------------------------------------------------

    def ring(self) -> None:
        """Tells the caller that it rings."""
        if self.state is State.RINGING:
            self._respond(self.invite, 180)

    def check_media(self, local: LocalMedia) -> None:
        """Asks whether an answer will be possible.

        Raises:
            NotAcceptable: no common codec or encryption.
        """
        if self._offer is not None:
            sdp.answer(self._offer, local, self._sdp_version)

    def answer(self, local: LocalMedia, now: float) -> None:
        """Answers with 200.

        Raises:
            NotAcceptable: no common codec or encryption; the call is still ringing.
        """
        if self.state is not State.RINGING:
            return
        self._local = local
        if self._offer is not None:
            body, self.plan = sdp.answer(self._offer, local, self._sdp_version)
            self._events.append(MediaAgreed(self.plan))
        else:  # the offer is ours; its answer comes with the ACK
            body, self._our_offer = sdp.offer(local, self._sdp_version)
        self.state = State.ANSWERED
        self._accept(self.invite, self.dialog.peer, body, now)

    def refuse(
        self, status: int, code: str, now: float, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Refuses a ringing call; the code says why in a Reason header (RFC 3326)."""
        del now
        if self.state is State.RINGING:
            self._respond(self.invite, status, headers=(_reason(status, code), *headers))
            self._end("refused")

    def hang_up(self, code: str, now: float) -> None:
        """Ends the call; before the ACK it waits for it (RFC 3261 15)."""
        if self.state is State.RINGING:
            self.refuse(480, code, now)
        elif self.state is State.ANSWERED:
            self._hang_up_reason = code
        elif self.state is State.CONFIRMED:
            self._bye(code)
            self._end("local")

    def refer(self, target: str, now: float) -> None:
        """Asks the far end to call somebody else (RFC 3515): a blind transfer.

        Args:
            target: URI of whom to call.
            now: seconds.
        """
        if self.state is not State.CONFIRMED:
            self._events.append(Transferred(481))
            return
        request = self.dialog.request("REFER")
        request.add("refer-to", f"<{target}>")
        request.add("referred-by", f"<{self.dialog.local.uri}>")
        self._refer_until = now + REFER_TIMEOUT_S
        self._ask(request)

    def press(self, digit: str, duration_ms: int = 160) -> None:
        """Sends a key by INFO."""
        if self.state is State.CONFIRMED:
            body = f"Signal={digit}\r\nDuration={duration_ms}\r\n".encode()
            self._ask(self.dialog.request("INFO", body, "application/dtmf-relay"))

    # --- requests that come -----------------------------------------------------------------------

    def receive(self, request: Request, peer: Peer, now: float) -> None:
        """Takes a request inside the dialog, or the CANCEL of its INVITE."""
        handler = {
            "ACK": self._on_ack,
            "BYE": self._on_bye,
            "CANCEL": self._on_cancel,
            "INVITE": self._on_reinvite,
            "UPDATE": self._on_reinvite,
            "INFO": self._on_info,
            "NOTIFY": self._on_notify,
        }.get(request.method)
        try:
            self.dialog.judge(request)
            self.dialog.peer = peer
            if handler is not None:
                handler(request, now)
            elif request.method == "REFER":  # whoever may refer us decides where we call: refused
                self._respond(request, 603, headers=(_reason(603, "refer_not_allowed"),))
            elif request.method == "OPTIONS":
                self._respond(request, 200)
            else:
                self._respond(request, 405)
        except BadRequest as bad:
            self._respond(request, bad.status, str(bad), bad.headers)
        except NotAcceptable as reason:
            self._respond(request, 488, headers=(_reason(488, str(reason)),))
        except ProtocolError as error:  # an SDP or a header that is none
            if request.method != "ACK":
                self._respond(request, 400, str(error))

    def _on_ack(self, request: Request, now: float) -> None:
        number, _ = request.cseq
        if self._unacknowledged is None or number != self._unacknowledged.cseq:
            return
        self._unacknowledged = None
        if self.state is State.ANSWERED:
            self.state = State.CONFIRMED
        if self._hang_up_reason is not None:
            self.hang_up(self._hang_up_reason, now)
        elif self._our_offer is not None:
            self._take_answer(request)

    def _take_answer(self, message: Request | Response) -> None:
        """The answer to an offer of ours; a bad one ends the call."""
        offered, self._our_offer = self._our_offer, None
        try:
            if offered is not None:
                self.plan = offered.answered(sdp.parse(message.body))
                self._events.append(MediaAgreed(self.plan))
        except ProtocolError:  # the far end agreed to nothing: no audio is possible
            self._bye("bad_answer")
            self._end("lost")

    def _on_bye(self, request: Request, now: float) -> None:
        del now
        self._respond(request, 200)
        self._end("hangup")

    def _on_cancel(self, request: Request, now: float) -> None:
        del now
        self._respond(request, 200)
        if self.state is State.RINGING:
            self._respond(self.invite, 487)
            self._end("cancelled")

    def _on_reinvite(self, request: Request, now: float) -> None:
        """A new offer, a hold, a codec change or a refresh (RFC 3261 14.2, RFC 3311 5.2)."""
        if self._asking is not None or self.state is State.RINGING:
            self._respond(request, 491)
            return
        if self._unacknowledged is not None and request.method == "INVITE":
            self._respond(request, 500, headers=(("retry-after", "1"),))
            return
        self._timer.judge(request)
        body, local = b"", self._local
        offer = _offer_in(request)
        self._sdp_version += 1
        if offer is not None and local is not None:
            body, self.plan = sdp.answer(offer, self._same_key(local), self._sdp_version)
            self._events.append(MediaAgreed(self.plan))
        elif request.method == "INVITE" and local is not None:
            body, self._our_offer = sdp.offer(self._same_key(local), self._sdp_version)
        self._accept(request, self.dialog.peer, body, now)

    def _same_key(self, local: LocalMedia) -> LocalMedia:
        """Our SRTP key stays the same over a call, as long as the suite's key length does."""
        key = self.plan.local_key if self.plan is not None else None
        if key is None:
            return local
        fresh = local.new_key
        return replace(local, new_key=lambda size: key.key if size == len(key.key) else fresh(size))

    def _on_info(self, request: Request, now: float) -> None:
        del now
        text = request.body[:256].decode("latin-1")
        digit = None
        if request.content_type == "application/dtmf-relay":
            found = _RELAYED.search(text)
            digit = _key(found[1]) if found else None
        elif request.content_type == "application/dtmf":
            digit = _key(text.strip())
        elif request.body:
            accept = ("accept", "application/dtmf-relay, application/dtmf")
            raise BadRequest(415, "Unsupported Media Type", (accept,))
        if digit is not None:
            self._events.append(DigitPressed(digit))
        self._respond(request, 200)

    def _on_notify(self, request: Request, now: float) -> None:
        """Progress of a REFER of ours (RFC 3515 2.4.4)."""
        del now
        event = request.text("event").partition(";")[0].strip().lower()
        found = _SIPFRAG.match(request.body)
        if event != "refer" or found is None:
            raise BadRequest(481, "No such subscription")
        self._respond(request, 200)
        if int(found[1]) >= 200:
            self._transfer_over(int(found[1]))

    # --- responses that come ----------------------------------------------------------------------

    def receive_response(self, request: Request, response: Response, now: float) -> None:
        """Takes the response to a request of ours; a time-out comes as a 408."""
        if response.status in (401, 407) and self._ask_with_proof(request, response):
            return
        if request.method in ("INVITE", "UPDATE"):
            self._on_refresh_response(request, response, now)
        elif request.method == "REFER" and response.status >= 300:
            self._transfer_over(response.status)
        elif response.status in (408, 481) and request.method != "BYE":
            self._lost()

    def _on_refresh_response(self, request: Request, response: Response, now: float) -> None:
        if response.status < 200:
            return
        if request.method == "INVITE" and response.status < 300:
            number, _ = request.cseq
            self._outputs.append(Ask(self.dialog.ack(number), self.dialog.next_hop()))
        if self._asking is not request:  # a 2xx that came again
            return
        self._asking = None
        if response.status < 300:
            self.dialog.accepted(response)
            self._timer.refreshed(response, now)
            if response.body:
                self._take_answer(response)
        elif response.status == 491:
            self._ask_again_at = now + GLARE_RETRY_S
        elif response.status in (408, 481):
            self._lost()
        self._our_offer = None

    # --- time -------------------------------------------------------------------------------------

    def handle_timer(self, now: float) -> None:
        """Repeats a 2xx, gives up on an ACK, refreshes or ends the session."""
        if self._unacknowledged is not None:
            self._await_ack(self._unacknowledged, now)
        if self.state is State.RINGING and now >= self._ring_until:
            self.refuse(480, "nobody_answered", now)
        if self._refer_until is not None and now >= self._refer_until:
            self._transfer_over(408)
        if self._ask_again_at is not None and now >= self._ask_again_at:
            self._ask_again_at = None
            self._refresh()
        if self.state is State.CONFIRMED and self._unacknowledged is None:
            due = self._timer.due(now)
            if due == "refresh":
                self._refresh()
            elif due == "expired":
                self._bye("session_expired")
                self._end("session_expired")

    def _await_ack(self, waiting: _Unacknowledged, now: float) -> None:
        if now >= waiting.over_at:
            self._unacknowledged = None
            self._bye("no_ack")
            self._end("no_ack")
        elif now >= waiting.repeat_at:
            self._outputs.append(Repeat(waiting.data, waiting.peer))
            waiting.after_s = min(2 * waiting.after_s, T2_S)
            waiting.repeat_at = now + waiting.after_s

    def _refresh(self) -> None:
        if "update" in self._peer_allows or self._local is None:
            request = self.dialog.request("UPDATE")
        else:
            direction = self.plan.direction if self.plan else "sendrecv"
            self._sdp_version += 1
            body, self._our_offer = sdp.offer(
                self._same_key(self._local), self._sdp_version, direction
            )
            request = self.dialog.request("INVITE", body, SDP_TYPE)
            request.add("allow", ALLOW)
        for name, value in self._timer.wish():
            request.add(name, value)
        self._asking = request
        self._ask(request)

    # --- sending ----------------------------------------------------------------------------------

    def _accept(self, request: Request, peer: Peer, body: bytes, now: float) -> None:
        response = self._response(request, 200)
        response.add("supported", ", ".join(sorted(SUPPORTED)))
        for name, value in self._timer.answer(request, now):
            response.add(name, value)
        if body:
            response.add("content-type", SDP_TYPE)
            response.body = body
        self._outputs.append(Respond(request, response))
        if request.method == "INVITE":
            number, _ = request.cseq
            self._unacknowledged = _Unacknowledged(
                number, response.encode(), answer_peer(request, peer), now + T1_S, now + 64 * T1_S
            )

    def _respond(
        self,
        request: Request,
        status: int,
        reason: str = "",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        response = self._response(request, status, one_line(reason)[:100])
        for name, value in headers:
            response.add(name, value)
        self._outputs.append(Respond(request, response))

    def _response(self, request: Request, status: int, reason: str = "") -> Response:
        response = reply(request, status, reason, self.dialog.local.param("tag") or "")
        if status < 300:
            for route in request.listed("record-route"):
                response.add("record-route", route)
            response.add("contact", self.dialog.local_contact)
        if status in (200, 405):
            response.add("allow", ALLOW)
        return response

    def _ask(self, request: Request) -> None:
        self._outputs.append(Ask(request, self.dialog.next_hop()))

    def _ask_with_proof(self, request: Request, response: Response) -> bool:
        """Sends the request again with the trunk's credentials; once."""
        header = "proxy-authorization" if response.status == 407 else "authorization"
        if self._credentials is None or request.get(header) is not None:
            return False
        name = "proxy-authenticate" if response.status == 407 else "www-authenticate"
        challenges = [value for key, value in response.headers if key == name]
        cnonce = self.dialog.local.param("tag") or ""
        proof = authorize(self._credentials, request.method, request.uri_text, challenges, cnonce)
        if proof is None:
            return False
        again = self.dialog.request(request.method, request.body, request.content_type)
        present = {key for key, _ in again.headers} | {"via", "route"}
        again.headers += [(key, value) for key, value in request.headers if key not in present]
        again.add(header, proof)
        if self._asking is request:
            self._asking = again
        self._ask(again)
        return True

    def _bye(self, code: str) -> None:
        request = self.dialog.request("BYE")
        request.add(*_reason(200, code))
        self._ask(request)

    def _transfer_over(self, status: int) -> None:
        if self._refer_until is not None:
            self._refer_until = None
            self._events.append(Transferred(status))

    def _lost(self) -> None:
        if self.state is not State.ENDED:
            self._bye("lost")
            self._end("lost")

    def _end(self, reason: str) -> None:
        if self.state is State.ENDED:
            return
        self.state = State.ENDED
        self._unacknowledged = self._ask_again_at = self._refer_until = None
        self._events.append(CallEnded(reason))


def _offer_in(request: Request) -> sdp.Description | None:
    """The SDP of an INVITE or UPDATE.

    Raises:
        BadRequest: a body of another kind, or an SDP that is none.
    """
    if not request.body.strip():
        return None
    if request.content_type != SDP_TYPE:
        raise BadRequest(415, "Unsupported Media Type", (("accept", SDP_TYPE),))
    try:
        return sdp.parse(request.body)
    except ProtocolError as error:
        raise BadRequest(400, str(error)) from None


def answer_peer(request: Request, peer: Peer) -> Peer:
    """Where responses go: back; without rport to the port that Via names (RFC 3261 18.2.2)."""
    via = request.via
    if peer.reliable or "rport" in via.params:
        return peer
    return Peer(peer.transport, peer.host, via.port or 5060)


def _key(text: str) -> str | None:
    """A key's name; some phones write 10 for * and 11 for #."""
    text = text.upper()
    if text.isdigit() and len(text) == 2 and int(text) < len(_KEYS):
        return _KEYS[int(text)]
    return text if len(text) == 1 and text in _KEYS else None


def _reason(status: int, code: str) -> tuple[str, str]:
    return "reason", f'SIP;cause={status};text="{one_line(code)[:100]}"'
