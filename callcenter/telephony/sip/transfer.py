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
from callcenter.telephony.sip.message import BadRequest, Request

REFER_TIMEOUT_S = 30.0

_SIPFRAG = re.compile(rb"SIP/2\.0 ([1-6][0-9]{2})\b")


class Transfer:
    """One REFER under way.

    Attributes:
        until: when it is given up.
    """

    def __init__(self, now: float) -> None:
        self.until = now + REFER_TIMEOUT_S

    def notified(self, request: Request) -> int | None:
        """Takes a NOTIFY; the final status of the far end's new call, None while it is under way.

        A subscription that ends without one counts as 408 (RFC 3515 2.4.7).

        Raises:
            BadRequest: 481, it is not about this.
        """
        found = _SIPFRAG.match(request.body)
        if not _is_refer(request) or found is None:
            raise BadRequest(481, "No such subscription")
        status = int(found[1])
        if status >= 200:
            return status
        state = request.text("subscription-state").partition(";")[0].strip().lower()
        return 408 if state == "terminated" else None


class Transferor(DialogUser):
    """The end of a dialog that sends the other end elsewhere; one transfer at a time."""

    def __init__(self, dialog: Dialog, credentials: Credentials | None) -> None:
        super().__init__(dialog, credentials)
        self._transfer: Transfer | None = None

    def _ask_to_call(self, target: str, replaced: Dialog | None, now: float) -> None:
        self._transfer = Transfer(now)
        self._ask(refer_request(self.dialog, target, replaced))

    def _transfer_until(self) -> float | None:
        return self._transfer.until if self._transfer is not None else None

    def _give_transfer_up(self, now: float) -> None:
        if self._transfer is not None and now >= self._transfer.until:
            self._transfer_over(408)

    def _on_notify(self, request: Request, now: float) -> None:
        """Progress of a REFER of ours (RFC 3515 2.4.4)."""
        del now
        if self._transfer is None:
            raise BadRequest(481, "No such subscription")
        status = self._transfer.notified(request)
        self._respond(request, 200)
        if status is not None:
            self._transfer_over(status)

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
    return request.text("event").partition(";")[0].strip().lower() == "refer"
