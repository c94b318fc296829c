"""Writes what one end sends inside a dialog, and collects it for its owner (RFC 3261 12.2).

It knows no state of a call: what to answer, and when to ask, is decided by who inherits this.
"""

from __future__ import annotations

from callcenter.telephony.sip.auth import Credentials, proof_header
from callcenter.telephony.sip.call_events import Ask, CallEvent, Output, Respond
from callcenter.telephony.sip.dialog import Dialog
from callcenter.telephony.sip.message import Request, Response, one_line, reply

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, NOTIFY, REFER, PRACK"
SUPPORTED = frozenset({"100rel", "timer"})


class DialogUser:
    """One end of a dialog.

    Attributes:
        dialog: names, route, numbers.
    """

    def __init__(self, dialog: Dialog, credentials: Credentials | None) -> None:
        self.dialog = dialog
        self._credentials = credentials
        self._outputs: list[Output] = []
        self._events: list[CallEvent] = []

    def outputs(self) -> list[Output]:
        """Hands over what must be sent now, in order."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def events(self) -> list[CallEvent]:
        """Hands over what happened."""
        events, self._events = self._events, []
        return events

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

    def _acknowledge(self, invite: Request) -> None:
        number, _ = invite.cseq
        self._ask(self.dialog.ack(number))

    def _ask_with_proof(self, request: Request, response: Response) -> Request | None:
        """Answers a 401 or 407 with the trunk's credentials, once; the request that went out."""
        if response.status not in (401, 407):
            return None
        cnonce = self.dialog.local.param("tag") or ""
        header = proof_header(self._credentials, request, response, cnonce)
        if header is None:
            return None
        again = self.dialog.request(request.method, request.body, request.content_type)
        present = {key for key, _ in again.headers} | {"via", "route"}
        again.headers += [(key, value) for key, value in request.headers if key not in present]
        again.add(*header)
        self._ask(again)
        return again


def reason_header(status: int, code: str) -> tuple[str, str]:
    """Why (RFC 3326)."""
    return "reason", f'SIP;cause={status};text="{one_line(code)[:100]}"'
