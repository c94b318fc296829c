"""A transfer by REFER: what asks for it and what tells how it went (RFC 3515, RFC 3891, RFC 5589).

    blind      Refer-To: <number>                      the far end calls the number
    attended   Refer-To: <target?Replaces=our call>    the far end takes over a call that we have

Knows REFER and what follows it; nothing else of a call.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from callcenter.telephony.sip.auth import Credentials
from callcenter.telephony.sip.call_events import Transferred
from callcenter.telephony.sip.dialog import Dialog
from callcenter.telephony.sip.dialog_user import DialogUser
from callcenter.telephony.sip.message import BadRequest, Request, Response

REFER_TIMEOUT_S = 30.0
MAX_SIPFRAG_BYTES = 256  # its first line is what counts

_SIPFRAG = re.compile(rb"\s*SIP\s*/\s*2\.0[ \t]+([1-6][0-9]{2})\b", re.IGNORECASE)


class Transfer:
    """One REFER under way.

    Attributes:
        until: when it is given up.
    """

    def __init__(self, now: float) -> None:
        self.until = now + REFER_TIMEOUT_S

    def notified(self, request: Request) -> int | None:
        """Takes a NOTIFY; the final status of the far end's new call, None while it is under way.

        A body that tells no status, or none at all, says nothing; the subscription's state then
        does: one that ends without a final status counts as 408 (RFC 3515 2.4.7).
        """
        found = _SIPFRAG.match(request.body[:MAX_SIPFRAG_BYTES])
        status = int(found[1]) if found is not None else 0
        if status >= 200:
            return status
        return 408 if _state(request) == "terminated" else None


class Transferor(DialogUser):
    """The end of a dialog that sends the other end elsewhere; one transfer at a time."""

    def __init__(self, dialog: Dialog, credentials: Credentials | None) -> None:
        super().__init__(dialog, credentials)
        self._transfer: Transfer | None = None
        self._subscribed = False  # the far end may still tell how a REFER goes

    def _ask_to_call(self, target: str, replaced: Dialog | None, now: float) -> None:
        self._transfer, self._subscribed = Transfer(now), True
        self._ask(refer_request(self.dialog, target, replaced))

    def _transfer_until(self) -> float | None:
        return self._transfer.until if self._transfer is not None else None

    def _give_transfer_up(self, now: float) -> None:
        if self._transfer is not None and now >= self._transfer.until:
            self._transfer_over(408)

    def _on_notify(self, request: Request, now: float) -> None:
        """Progress of a REFER of ours (RFC 3515 2.4.4); what comes after the end is only taken.

        Raises:
            BadRequest: 489, about something else; 481, nothing was asked for.
        """
        del now
        if not _is_refer(request):
            raise BadRequest(489, "Bad Event", (("allow-events", "refer"),))
        if not self._subscribed:
            raise BadRequest(481, "No such subscription")
        self._subscribed = _state(request) != "terminated"
        status = self._transfer.notified(request) if self._transfer is not None else None
        self._respond(request, 200)
        if status is not None:
            self._transfer_over(status)

    def _on_refer_response(self, response: Response) -> None:
        """A refusal; or a consent of one who will not tell how it goes (RFC 4488 4)."""
        silent = response.text("refer-sub").partition(";")[0].strip().lower() == "false"
        if response.status >= 300 or (response.status >= 200 and silent):
            self._subscribed = False
            self._transfer_over(response.status)

    def _transfer_over(self, status: int) -> None:
        if self._transfer is not None:
            self._transfer = None
            self._events.append(Transferred(status))


def refer_request(dialog: Dialog, target: str, replaced: Dialog | None) -> Request:
    """The REFER of a dialog.

    Args:
        dialog: over which it is sent.
        target: URI of whom to call; with `replaced` its Contact is taken instead.
        replaced: a dialog of ours with the target, to be taken over; None for a blind transfer.
    """
    request = dialog.request("REFER")
    if replaced is not None:
        target = f"{replaced.remote_target}?Replaces={replaces(replaced)}&Require=replaces"
    request.add("refer-to", f"<{target}>")
    request.add("referred-by", f"<{dialog.local.uri}>")
    return request


def replaces(dialog: Dialog) -> str:
    """A dialog as its other end names it (RFC 3891 3), escaped for a URI's header part."""
    names = dialog.id
    text = f"{names.call_id};to-tag={names.remote_tag};from-tag={names.local_tag}"
    return quote(text, safe="")


def _is_refer(request: Request) -> bool:
    """Whether it is about a REFER; some PBXs leave Event out and send the sipfrag alone."""
    event = request.text("event").partition(";")[0].strip().lower()
    return event == "refer" or (not event and request.content_type == "message/sipfrag")


def _state(request: Request) -> str:
    return request.text("subscription-state").partition(";")[0].strip().lower()
