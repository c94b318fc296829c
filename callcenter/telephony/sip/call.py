"""One SIP call while its dialog lives (RFC 3261 12-15, RFC 3311, 3515, 4028), whoever began it.

Sans-IO: requests and responses in, `outputs()` and `events()` out, `now` an argument. How a call
begins is `inbound`'s and `outbound`'s. It knows no transaction, no trunk, no RTP socket, and
nothing of what is said.

    ringing -> answered --ACK--> confirmed --hang_up/BYE--> ended
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.acknowledgement import Unacknowledged
from callcenter.telephony.sip.auth import Credentials
from callcenter.telephony.sip.call_events import (
    CallEnded,
    DigitPressed,
    MediaAgreed,
    Respond,
    Transferred,
)
from callcenter.telephony.sip.dialog import Dialog
from callcenter.telephony.sip.dialog_user import ALLOW, SUPPORTED, reason_header
from callcenter.telephony.sip.info import RELAY_TYPE, key_body, key_in
from callcenter.telephony.sip.media_plan import MediaPlan, NotAcceptable
from callcenter.telephony.sip.message import BadRequest, Request, Response
from callcenter.telephony.sip.negotiation import Negotiation, answer_in, offer_in
from callcenter.telephony.sip.sdp import SDP_TYPE, Description
from callcenter.telephony.sip.session_timer import SessionTimer
from callcenter.telephony.sip.transaction import answer_peer
from callcenter.telephony.sip.transfer import Transferor
from callcenter.telephony.sip.uri import Peer

REFUSED_RETRY_S = 10.0  # a refresh that was refused; the session may still be saved


class State(enum.Enum):
    """Where a call stands."""

    RINGING = "ringing"
    ANSWERED = "answered"
    CONFIRMED = "confirmed"
    ENDED = "ended"


class SipCall(Transferor):
    """One call.

    Attributes:
        state: where it stands.
    """

    glare_retry_s = 1.0  # RFC 3261 14.1: 0 to 2 s for whoever doesn't own the Call-ID

    def __init__(
        self, dialog: Dialog, peer_allows: set[str], credentials: Credentials | None
    ) -> None:
        super().__init__(dialog, credentials)
        self.state = State.RINGING
        self._peer_allows = peer_allows
        self._media = Negotiation()
        self._timer = SessionTimer()
        self._ring_until: float | None = None
        self._unacknowledged: Unacknowledged | None = None
        self._asking: Request | None = None  # our INVITE or UPDATE under way
        self._ask_again_at: float | None = None
        self._handlers: dict[str, Callable[[Request, float], None]] = {
            "ACK": self._on_ack,
            "BYE": self._on_bye,
            "INVITE": self._on_reinvite,
            "UPDATE": self._on_reinvite,
            "INFO": self._on_info,
            "NOTIFY": self._on_notify,
            "OPTIONS": self._on_options,
            "REFER": self._on_refer,
            "PRACK": self._on_prack,
        }

    # --- what it tells ----------------------------------------------------------------------------

    @property
    def plan(self) -> MediaPlan | None:
        """The audio that was agreed last; None before."""
        return self._media.plan

    def hears(self, peer: Peer) -> bool:
        """Whether a message from there may be the far end's: its trunk, its kind of transport.

        Tags are no secret to whoever listens on the way; an address is one thing more to forge.
        """
        return self.dialog.carries(peer)

    def uses(self, peer: Peer) -> bool:
        """Whether requests of ours go over a connection."""
        return peer in (self.dialog.peer, self.dialog.next_hop())

    def next_timer(self) -> float | None:
        """When `handle_timer` is due."""
        times = [self._ask_again_at, self._transfer_until()]
        if self._unacknowledged is not None:
            times.append(self._unacknowledged.next_timer())
        elif self.state is State.CONFIRMED:
            times.append(self._timer.next_timer())
        elif self.state is State.RINGING:
            times.append(self._ring_until)
        return min((time for time in times if time is not None), default=None)

    # --- what the owner wants ---------------------------------------------------------------------

    def hang_up(self, code: str, now: float) -> None:
        """Ends the call; the code says why in a Reason header (RFC 3326)."""
        del now
        if self.state is State.CONFIRMED:
            self._bye(code)
            self._end("local")

    def refer(self, target: str, now: float, replaced: SipCall | None = None) -> None:
        """Asks the far end to call somebody else: a transfer.

        Args:
            target: URI of whom to call.
            now: seconds.
            replaced: a call of ours with the target that the far end shall take over.
        """
        if self.state is State.CONFIRMED:
            self._ask_to_call(target, replaced.dialog if replaced else None, now)
        else:
            self._events.append(Transferred(481))

    def press(self, digit: str, duration_ms: int = 160) -> None:
        """Sends a key by INFO."""
        if self.state is State.CONFIRMED:
            self._ask(self.dialog.request("INFO", key_body(digit, duration_ms), RELAY_TYPE))

    # --- requests that come -----------------------------------------------------------------------

    def receive(self, request: Request, peer: Peer, now: float) -> None:
        """Takes a request inside the dialog."""
        handler = self._handlers.get(request.method)
        try:
            self.dialog.judge(request)
            self.dialog.peer = peer
            if handler is not None:
                handler(request, now)
            else:
                self._respond(request, 405)
        except BadRequest as bad:
            self._respond(request, bad.status, str(bad), bad.headers)
        except NotAcceptable as reason:
            self._respond(request, 488, headers=(reason_header(488, str(reason)),))
        except ProtocolError as error:  # an SDP or a header that is none
            if request.method != "ACK":
                self._respond(request, 400, str(error))

    def _on_ack(self, request: Request, now: float) -> None:
        del now
        number, _ = request.cseq
        if self._unacknowledged is None or number != self._unacknowledged.cseq:
            return
        self._unacknowledged = None
        if self.state is State.ANSWERED:
            self.state = State.CONFIRMED
        self._take_answer(answer_in(request))

    def _take_answer(self, body: bytes) -> None:
        """The answer to an offer of ours; a bad one ends the call."""
        try:
            plan = self._media.take_answer(body)
        except ProtocolError:  # the far end agreed to nothing: no audio is possible
            self._bye("bad_answer")
            self._end("lost")
            return
        if plan is not None:
            self._events.append(MediaAgreed(plan))

    def _on_bye(self, request: Request, now: float) -> None:
        del now
        self._respond(request, 200)
        self._end("hangup")

    def _on_reinvite(self, request: Request, now: float) -> None:
        """A new offer, a hold, a codec change or a refresh (RFC 3261 14.2, RFC 3311 5.2)."""
        if self._asking is not None or self.state is State.RINGING:
            self._respond(request, 491)
            return
        if self._unacknowledged is not None and request.method == "INVITE":
            self._respond(request, 500, headers=(("retry-after", "1"),))
            return
        self._timer.judge(request)
        body, local, offered = b"", self._media.local, offer_in(request)
        if offered is not None and self._media.waits:  # for the answer to an offer of ours
            self._respond(request, 491)
            return
        if offered is not None and local is not None:
            body = self._answer_offer(offered)
        elif request.method == "INVITE" and local is not None:
            body = self._media.offer(local)
        self._accept(request, body, now)

    def _answer_offer(self, offered: Description) -> bytes:
        if self._media.local is None:
            return b""
        body = self._media.answer(offered, self._media.local)
        if self._media.plan is not None:
            self._events.append(MediaAgreed(self._media.plan))
        return body

    def _on_info(self, request: Request, now: float) -> None:
        del now
        key = key_in(request)
        if key is not None:
            self._events.append(DigitPressed(key))
        self._respond(request, 200)

    def _on_options(self, request: Request, now: float) -> None:
        del now
        self._respond(request, 200)

    def _on_refer(self, request: Request, now: float) -> None:
        """Whoever may refer us decides where we call: refused."""
        del now
        self._respond(request, 603, headers=(reason_header(603, "refer_not_allowed"),))

    def _on_prack(self, request: Request, now: float) -> None:
        """The acknowledgement of a provisional response, which only a ringing call sends."""
        del now
        self._respond(request, 481)

    # --- responses that come ----------------------------------------------------------------------

    def receive_response(self, request: Request, response: Response, now: float) -> None:
        """Takes the response to a request of ours; a time-out comes as a 408."""
        again = self._ask_with_proof(request, response)
        if again is not None:
            self._asking = again if self._asking is request else self._asking
            return
        if request.method in ("INVITE", "UPDATE"):
            self._on_refresh_response(request, response, now)
        elif request.method == "REFER":
            self._on_refer_response(response)
        elif response.status in (408, 481) and request.method != "BYE":
            self._lost()

    def _on_refresh_response(self, request: Request, response: Response, now: float) -> None:
        if response.status < 200:
            return
        if request.method == "INVITE" and response.status < 300:
            self._acknowledge(request)
        if self._asking is not request:  # a 2xx that came again
            return
        self._asking = None
        if response.status < 300:
            self.dialog.accepted(response)
            self._timer.refreshed(response, now)
            if response.body:
                self._take_answer(answer_in(response))
        elif response.status in (408, 481):
            self._lost()
        else:
            self._timer.refused(response)
            glare = response.status == 491
            self._ask_again_at = now + (self.glare_retry_s if glare else REFUSED_RETRY_S)
        self._media.withdraw()

    # --- time -------------------------------------------------------------------------------------

    def handle_timer(self, now: float) -> None:
        """Repeats a 2xx, gives up on an ACK, refreshes or ends the session."""
        if self._unacknowledged is not None:
            self._await_ack(self._unacknowledged, now)
        self._give_transfer_up(now)
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

    def _await_ack(self, waiting: Unacknowledged, now: float) -> None:
        if waiting.given_up(now):
            self._unacknowledged = None
            self._bye("no_ack")
            self._end("no_ack")
        else:
            self._outputs += waiting.due(now)

    def _refresh(self) -> None:
        local = self._media.local
        if "update" in self._peer_allows or local is None:
            request = self.dialog.request("UPDATE")
        else:
            request = self.dialog.request("INVITE", self._media.offer(local), SDP_TYPE)
            request.add("allow", ALLOW)
        for name, value in self._timer.wish():
            request.add(name, value)
        self._asking = request
        self._ask(request)

    # --- sending ----------------------------------------------------------------------------------

    def _accept(self, request: Request, body: bytes, now: float) -> None:
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
            peer = answer_peer(request, self.dialog.peer)
            self._unacknowledged = Unacknowledged(number, response.encode(), peer, now)

    def _bye(self, code: str) -> None:
        request = self.dialog.request("BYE")
        request.add(*reason_header(200, code))
        self._ask(request)

    def _lost(self) -> None:
        if self.state is not State.ENDED:
            self._bye("lost")
            self._end("lost")

    def _end(self, reason: str) -> None:
        if self.state is State.ENDED:
            return
        self.state = State.ENDED
        self._unacknowledged = self._ask_again_at = self._transfer = None
        self._events.append(CallEnded(reason))
