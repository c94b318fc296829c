"""A call that comes to us: from its INVITE to the ACK of our answer, then as every call.

ringing --answer--> answered --ACK--> confirmed
|--refuse, CANCEL--> ended  |--no ACK in 32 s: BYE--> ended
"""

from __future__ import annotations

from callcenter.telephony.sip.auth import Credentials
from callcenter.telephony.sip.call import SipCall, State
from callcenter.telephony.sip.call_events import MediaAgreed
from callcenter.telephony.sip.dialog import from_invite
from callcenter.telephony.sip.dialog_user import reason_header
from callcenter.telephony.sip.media_plan import LocalMedia
from callcenter.telephony.sip.message import Request
from callcenter.telephony.sip.negotiation import offer_in
from callcenter.telephony.sip.uri import Peer

RING_LIMIT_S = 60.0  # an owner that neither answers nor refuses: the call does not stay for ever
MAX_ATTRIBUTES = 32
MAX_ATTRIBUTE_CHARS = 512


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
        credentials: Credentials | None = None,
    ) -> None:
        """Takes an INVITE.

        Raises:
            BadRequest: it has no Contact, a body that is no SDP, or a session timer too short.
        """
        dialog = from_invite(invite, local_tag, local_contact, peer)
        super().__init__(dialog, invite.tokens("allow"), credentials)
        self.invite = invite
        self._timer.judge(invite)
        self._offer = offer_in(invite)
        self._ring_until = now + RING_LIMIT_S
        self._hang_up_reason: str | None = None  # wanted before the ACK came
        self._handlers["CANCEL"] = self._on_cancel

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

    def media_host(self) -> str | None:
        """The host that the offer wants its audio at, as it was written; None without one."""
        line = self._offer.audio if self._offer is not None else None
        return line.host if line is not None and line.host else None

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

    def handle_timer(self, now: float) -> None:
        """As every call's; and one that nobody answers is refused."""
        if self._ring_until is not None and now >= self._ring_until:
            self._ring_until = None
            self.refuse(480, "nobody_answered")
        super().handle_timer(now)

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
