"""A dialog: the two ends' names, the route between them, the numbering (RFC 3261 12).

It builds requests inside the dialog and judges those that come; it does not know what a call is,
nor transactions, nor SDP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.message import BadRequest, Request, Response
from callcenter.telephony.sip.uri import NameAddr, Peer, SipUri, parse_name_addr

Carries = Callable[[Peer], bool]  # whether a hop is the far end's, for requests in and out


@dataclass(frozen=True, slots=True)
class DialogId:
    """Names a dialog at this end."""

    call_id: str
    local_tag: str
    remote_tag: str


@dataclass(slots=True)
class Dialog:
    """One dialog.

    Attributes:
        local, remote: From and To of our requests, with tags.
        remote_target: the far end's Contact.
        route_set: Route values of our requests, nearest hop first.
        local_contact: our Contact, as text.
        peer: where the last request of the far end came from; a stream is used again.
        carries: which hops are the far end's. What a message names besides, in Record-Route or
            Contact, is text of somebody else: nothing is sent there.
    """

    call_id: str
    local: NameAddr
    remote: NameAddr
    remote_target: SipUri
    route_set: tuple[str, ...]
    local_contact: str
    peer: Peer
    carries: Carries
    local_cseq: int = 0
    remote_cseq: int = 0
    extra: tuple[tuple[str, str], ...] = field(default=())

    @property
    def id(self) -> DialogId:
        """Its name."""
        local, remote = self.local.param("tag") or "", self.remote.param("tag") or ""
        return DialogId(self.call_id, local, remote)

    def request(self, method: str, body: bytes = b"", content_type: str = "") -> Request:
        """A request with the dialog's headers and the next CSeq; the Via comes later."""
        if method not in ("ACK", "CANCEL"):
            self.local_cseq += 1
        return self._numbered(method, self.local_cseq, body, content_type)

    def ack(self, cseq: int, body: bytes = b"", content_type: str = "") -> Request:
        """The ACK of a 2xx (RFC 3261 13.2.2.4)."""
        return self._numbered("ACK", cseq, body, content_type)

    def judge(self, request: Request) -> None:
        """Takes the number and the target of a request inside the dialog.

        Raises:
            BadRequest: it is older than one that came before (RFC 3261 12.2.2).
        """
        number, method = request.cseq
        if method in ("ACK", "CANCEL"):
            return
        if self.remote_cseq and number <= self.remote_cseq:
            raise BadRequest(500, f"CSeq {number} after {self.remote_cseq}")
        self.remote_cseq = number
        if method in ("INVITE", "UPDATE"):
            self._refresh_target(request)

    def accepted(self, response: Response) -> None:
        """Takes the target of a 2xx to our INVITE or UPDATE."""
        self._refresh_target(response)

    def next_hop(self) -> Peer:
        """Where our requests go: the first route or the target, over the peer's stream if it is it.

        A far end behind NAT writes an address into Contact that nobody reaches; its requests came
        from `peer`, and without a route that is where ours go (RFC 3581, RFC 5626 5.3). They go
        there as well when the route leads to a hop that is none of the far end's: the proxy that
        wrote it is there, and passes them on.
        """
        uri = parse_name_addr(self.route_set[0]).uri if self.route_set else self.remote_target
        if self.peer.reliable and (not self.route_set or uri.host.strip("[]") == self.peer.host):
            return self.peer
        named = uri.peer() if self.route_set else self._behind_nat(uri.peer())
        return named if self.carries(named) else self.peer

    def _behind_nat(self, named: Peer) -> Peer:
        return named if named.host == self.peer.host else self.peer

    def _refresh_target(self, message: Request | Response) -> None:
        try:
            contact = message.contact
        except ProtocolError:  # a Contact that is no SIP address changes nothing
            return
        if contact is not None:
            self.remote_target = contact.uri

    def _numbered(self, method: str, cseq: int, body: bytes, content_type: str) -> Request:
        target, routes = str(self.remote_target), list(self.route_set)
        if routes and parse_name_addr(routes[0]).uri.param("lr") is None:  # a strict router
            routes = [*routes[1:], f"<{target}>"]
            target = str(parse_name_addr(self.route_set[0]).uri)
        headers = [("max-forwards", "70"), ("from", str(self.local)), ("to", str(self.remote))]
        headers += [("call-id", self.call_id), ("cseq", f"{cseq} {method}")]
        headers += [("route", route) for route in routes]
        if method in ("INVITE", "UPDATE", "REFER", "SUBSCRIBE"):
            headers.append(("contact", self.local_contact))
        headers += self.extra
        if body:
            headers.append(("content-type", content_type))
        return Request(headers, body, method, target)


def from_invite(
    invite: Request, local_tag: str, local_contact: str, peer: Peer, carries: Carries
) -> Dialog:
    """The dialog that our answer to an INVITE makes (RFC 3261 12.1.1).

    An INVITE of RFC 2543 may have no Contact: From is where its sender is.
    """
    contact = invite.contact or invite.from_
    number, _ = invite.cseq
    return Dialog(
        call_id=invite.call_id,
        local=invite.to.tagged(local_tag),
        remote=invite.from_,
        remote_target=contact.uri,
        route_set=tuple(invite.listed("record-route")),
        local_contact=local_contact,
        peer=peer,
        carries=carries,
        remote_cseq=number,
    )
