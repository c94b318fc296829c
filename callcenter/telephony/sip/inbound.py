"""A call that comes to us: from its INVITE to the ACK of our answer, then as every call.

ringing --answer--> answered --ACK--> confirmed
|--refuse, CANCEL--> ended  |--no ACK in 32 s: BYE--> ended
"""

from __future__ import annotations

from callcenter.telephony.sip import parties
from callcenter.telephony.sip.auth import Credentials
from callcenter.telephony.sip.call import SipCall, State
from callcenter.telephony.sip.call_events import MediaAgreed, Respond
from callcenter.telephony.sip.dialog import Carries, from_invite
from callcenter.telephony.sip.dialog_user import reason_header
from callcenter.telephony.sip.media_plan import LocalMedia
from callcenter.telephony.sip.message import Request
from callcenter.telephony.sip.negotiation import offer_in
from callcenter.telephony.sip.reliable import FIRST_RSEQ, OPTION, Provisional
from callcenter.telephony.sip.text import clean
from callcenter.telephony.sip.uri import Peer

RING_LIMIT_S = 60.0  # an owner that neither answers nor refuses: the call does not stay for ever


class InboundCall(SipCall):
    """One call of somebody else's.

    Attributes:
        invite: that opened it.
    """

    def __init__(
        self,
        invite: Request,
        peer: Peer,
        local_tag: str,
        local_contact: str,
        now: float,
        carries: Carries,
        credentials: Credentials | None = None,
    ) -> None:
        """Takes an INVITE.

        Args:
            invite: judged already.
            peer: where it came from.
            local_tag: ours, fresh.
            local_contact: under which the far end reaches us.
            now: seconds.
            carries: which hops are the far end's.
            credentials: when the far end asks for them.

        Raises:
            BadRequest: it has no Contact, a body that is no SDP, or a session timer too short.
            ProtocolError: a header that is none, or has too many values.
        """
        dialog = from_invite(invite, local_tag, local_contact, peer, carries)
        super().__init__(dialog, invite.tokens("allow"), credentials)
        self.invite = invite
        self._timer.judge(invite)
        parties.check(invite)
        self._offer = offer_in(invite)
        self._began_at = now
        self._ring_until = now + RING_LIMIT_S
        self._provisional: Provisional | None = None  # that waits for its PRACK
        self._hang_up_reason: str | None = None  # wanted before the ACK came
        self._handlers["CANCEL"] = self._on_cancel

    # What the far end wrote leaves here cleaned: nothing behind this door meets a character that it
    # cannot store, send or show.

    @property
    def caller(self) -> str:
        """The caller's number or name by his own word, as it is written: personal data."""
        return parties.caller(self.invite, trusted=False)

    @property
    def called(self) -> str:
        """What was dialled, as it is written: the Request-URI's, which the trunk routes by."""
        return clean(
            self.invite.uri.telephone or self.invite.to.uri.telephone, parties.MAX_NUMBER_CHARS
        )

    @property
    def our_user(self) -> str:
        """The user part under which the caller has reached us."""
        return self.invite.uri.user or self.invite.to.uri.user

    def attributes(self) -> dict[str, str]:
        """What else the INVITE tells of the call; see `parties`: personal data."""
        return parties.attributes(self.invite)

    def media_host(self) -> str | None:
        """The host that the offer wants its audio at, as it was written; None without one."""
        line = self._offer.audio if self._offer is not None else None
        return line.host if line is not None and line.host else None

    # --- what the owner wants ---------------------------------------------------------------------

    def ring(self) -> None:
        """Tells the caller that it rings; reliably if that is required (RFC 3262 3)."""
        if self.state is not State.RINGING or self._provisional is not None:
            return
        if OPTION not in self.invite.tokens("require"):
            self._respond(self.invite, 180)
        elif self._offer is not None:  # else it would have to carry our offer: the answer will
            self._ring_reliably()

    def _ring_reliably(self) -> None:
        response = self._response(self.invite, 180)
        response.add("require", OPTION)
        response.add("rseq", str(FIRST_RSEQ))
        number, _ = self.invite.cseq
        self._provisional = Provisional(response, FIRST_RSEQ, number, self._began_at)
        self._outputs.append(Respond(self.invite, response))

    def check_media(self, local: LocalMedia) -> None:
        """Asks whether an answer will be possible.

        Raises:
            NotAcceptable: no common codec or encryption.
        """
        if self._offer is not None:
            self._media.check(self._offer, local)

    def answer(self, local: LocalMedia, now: float) -> None:
        """Answers with 200.

        Raises:
            NotAcceptable: no common codec or encryption; the call is still ringing.
        """
        if self.state is not State.RINGING:
            return
        if self._offer is not None:
            body = self._media.answer(self._offer, local)
        else:  # the offer is ours; its answer comes with the ACK
            body = self._media.offer(local)
        if self._media.plan is not None:
            self._events.append(MediaAgreed(self._media.plan))
        self.state = State.ANSWERED
        self._stop_repeating()
        self._accept(self.invite, body, now)

    def refuse(self, status: int, code: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Refuses a ringing call; the code says why in a Reason header (RFC 3326)."""
        if self.state is State.RINGING:
            self._respond(self.invite, status, headers=(reason_header(status, code), *headers))
            self._end("refused")

    def hang_up(self, code: str, now: float) -> None:
        """Ends the call; before the ACK it waits for it (RFC 3261 15)."""
        if self.state is State.RINGING:
            self.refuse(480, code)
        elif self.state is State.ANSWERED:
            self._hang_up_reason = code
        else:
            super().hang_up(code, now)

    # --- what comes -------------------------------------------------------------------------------

    def next_timer(self) -> float | None:
        """When `handle_timer` is due."""
        provisional = self._provisional.next_timer() if self._provisional is not None else None
        times = (super().next_timer(), provisional)
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """As every call's; and one that nobody answers is refused."""
        if self._provisional is not None:
            self._await_prack(self._provisional, now)
        if self._ring_until is not None and now >= self._ring_until:
            self._ring_until = None
            self.refuse(480, "nobody_answered")
        super().handle_timer(now)

    def _await_prack(self, waiting: Provisional, now: float) -> None:
        if waiting.given_up(now):
            self.refuse(504, "no_prack")
        elif waiting.is_due(now):
            self._outputs.append(Respond(self.invite, waiting.response))

    def _on_prack(self, request: Request, now: float) -> None:
        """The PRACK of our 180, also behind the answer; an offer in it has no place yet."""
        if self._provisional is None or not self._provisional.acknowledged(request):
            super()._on_prack(request, now)
        elif offer_in(request) is not None:  # RFC 3262 5: only once the first one is answered
            self._respond(request, 488)
        else:
            self._respond(request, 200)

    def _stop_repeating(self) -> None:
        if self._provisional is not None:
            self._provisional.stop()

    def _end(self, reason: str) -> None:
        self._stop_repeating()
        super()._end(reason)

    def _on_ack(self, request: Request, now: float) -> None:
        super()._on_ack(request, now)
        if self._hang_up_reason is not None:
            self.hang_up(self._hang_up_reason, now)

    def _on_cancel(self, request: Request, now: float) -> None:
        del now
        self._respond(request, 200)
        if self.state is State.RINGING:
            self._respond(self.invite, 487)
            self._end("cancelled")
