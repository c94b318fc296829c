"""Which call a request belongs to: calls by their dialogs' names (RFC 3261 12). Knows no trunk."""

from __future__ import annotations

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.call import SipCall
from callcenter.telephony.sip.inbound import InboundCall
from callcenter.telephony.sip.message import Request

Name = tuple[str, str, str]  # Call-ID, their tag, our tag


class Registry:
    """All calls of one endpoint."""

    def __init__(self) -> None:
        self._calls: dict[Name, SipCall] = {}

    def add(self, call: SipCall) -> None:
        """Takes a call in; once more when its dialog has got its name."""
        for name in _names(call):
            self._calls[name] = call

    def remove(self, call: SipCall) -> None:
        """Forgets a call."""
        for name in _names(call):
            self._calls.pop(name, None)

    def find(self, request: Request) -> SipCall | None:
        """The call that a request is for; None for one that opens a call, or belongs to none."""
        try:
            tag = request.to.param("tag") or ""
            call = self._calls.get(_name(request, tag))
        except ProtocolError:  # a header that is none: whoever judges the request will say so
            return None
        if tag or request.method in ("ACK", "CANCEL"):
            return call
        if request.method != "INVITE" or not isinstance(call, InboundCall):
            return None
        return call if request.via.branch == call.invite.via.branch else None

    def has_opened(self, invite: Request) -> bool:
        """Whether a call was opened by the same INVITE, perhaps over another way."""
        return _name(invite, "") in self._calls


def _name(request: Request, local_tag: str) -> Name:
    return request.call_id, request.from_.param("tag") or "", local_tag


def _names(call: SipCall) -> list[Name]:
    """Under which names its requests come; without our tag for CANCEL and copies of the INVITE."""
    names = call.dialog.id
    whole = (names.call_id, names.remote_tag, names.local_tag)
    if isinstance(call, InboundCall):
        return [whole, (names.call_id, names.remote_tag, "")]
    return [whole] if names.remote_tag else []
