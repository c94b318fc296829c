"""The offers and answers of one call, in both directions and over its whole life (RFC 3264).

It keeps what must stay the same between them: the session's version, our SRTP key, an offer of ours
that waits for its answer. It knows no SIP message but as the bearer of a body.
"""

from __future__ import annotations

from dataclasses import replace

from callcenter.errors import ProtocolError
from callcenter.telephony.sip import sdp
from callcenter.telephony.sip.bodies import find
from callcenter.telephony.sip.media_plan import LocalMedia, MediaPlan
from callcenter.telephony.sip.message import BadRequest, Message
from callcenter.telephony.sip.offer_answer import Offered, answer, offer
from callcenter.telephony.sip.sdp import SDP_TYPE, Description, MediaLine


class Negotiation:
    """One call's audio.

    Attributes:
        plan: what was agreed last; None before.
        local: what we offer; None until somebody decides it.
    """

    def __init__(self) -> None:
        self.plan: MediaPlan | None = None
        self.local: LocalMedia | None = None
        self._version = 0
        self._lines: list[MediaLine] = []  # of the far end's last offer
        self._offered: Offered | None = None

    @property
    def waits(self) -> bool:
        """Whether an offer of ours has no answer yet."""
        return self._offered is not None

    def check(self, offered: Description, local: LocalMedia) -> None:
        """Asks whether an answer will be possible.

        Raises:
            NotAcceptable: no common codec or encryption.
        """
        answer(offered, local, self._version)

    def answer(self, offered: Description, local: LocalMedia) -> bytes:
        """Answers an offer; what was agreed is in `plan`.

        Raises:
            NotAcceptable: no common codec or encryption; nothing has changed.
        """
        body, self.plan = answer(offered, self._same_key(local), self._version + 1)
        self.local, self._lines = local, offered.media
        self._version += 1
        return body

    def offer(self, local: LocalMedia) -> bytes:
        """Offers what we have, in the direction that holds now."""
        self.local = local
        self._version += 1
        body, self._offered = offer(self._same_key(local), self._version, self.plan, self._lines)
        return body

    def take_answer(self, body: bytes) -> MediaPlan | None:
        """Takes the answer to our offer; None when there was none.

        Raises:
            ProtocolError: it agrees to nothing, or is no SDP.
        """
        offered, self._offered = self._offered, None
        if offered is not None:
            self.plan = offered.answered(sdp.parse(body))
            return self.plan
        return None

    def withdraw(self) -> None:
        """Our offer got no answer: all stays as it was."""
        self._offered = None

    def _same_key(self, local: LocalMedia) -> LocalMedia:
        return replace(local, key=self.plan.local_key if self.plan is not None else None)


def offer_in(message: Message) -> Description | None:
    """The SDP of an INVITE or UPDATE.

    Raises:
        BadRequest: a body of another kind, or an SDP that is none.
    """
    found = find(message, (SDP_TYPE,))
    if found is None:
        return None
    try:
        return sdp.parse(found[1])
    except ProtocolError as error:
        raise BadRequest(400, str(error)) from None


def answer_in(message: Message) -> bytes:
    """The SDP of a response or an ACK; b"" without one. A part that is not known says nothing."""
    if not message.content_type and message.body.startswith(b"v=0"):  # the header was forgotten
        return message.body
    try:
        found = find(message, (SDP_TYPE,))
    except BadRequest:  # there is nobody to refuse it to
        return b""
    return found[1] if found is not None else b""
