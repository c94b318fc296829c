"""SIP messages written as text, and a pair of ends without a network."""

import ipaddress
from itertools import count

import pytest

from callcenter.telephony.sip.auth import Credentials, DigestServer
from callcenter.telephony.sip.call import State
from callcenter.telephony.sip.endpoint import Endpoint
from callcenter.telephony.sip.endpoint_events import IncomingCall
from callcenter.telephony.sip.identity import Identity
from callcenter.telephony.sip.inbound import InboundCall
from callcenter.telephony.sip.media_plan import LocalMedia
from callcenter.telephony.sip.message import Request, Response, parse
from callcenter.telephony.sip.trunk import Trunk, Trunks
from callcenter.telephony.sip.uri import Peer

LOCAL = LocalMedia("198.51.100.1", 10_000, ("pcmu", "pcma"), "may", 1, bytes)
PEER = Peer("udp", "192.0.2.1", 5060)
OFFER = (
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
)


def request(method: str = "INVITE", body: str = "", **changes: str) -> bytes:
    """A request as bytes; keyword arguments replace headers, "" leaves one out."""
    branch = changes.pop("branch", "z9hG4bKa1")
    uri = changes.pop("uri", "sip:15550100@198.51.100.1")
    number = changes.pop("number", "1")
    headers = {
        "Via": f"SIP/2.0/UDP 192.0.2.1:5060;branch={branch};rport",
        "Max-Forwards": "70",
        "From": "<sip:caller@192.0.2.1>;tag=from1",
        "To": "<sip:15550100@198.51.100.1>",
        "Call-ID": "call-1@192.0.2.1",
        "CSeq": f"{number} {method}",
        "Contact": "<sip:caller@192.0.2.1:5060>",
    }
    if body.startswith("v=0"):
        headers["Content-Type"] = "application/sdp"
    for name, value in changes.items():
        headers[name.replace("_", "-")] = value
    lines = [f"{method} {uri} SIP/2.0"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value]
    lines += [f"Content-Length: {len(body)}", "", body]
    return "\r\n".join(lines).encode()


def make_endpoint(trunks: Trunks | None = None, **changes: object) -> Endpoint:
    """An endpoint with one trunk for 192.0.2.0/24, or with others."""
    options: dict = {
        "name": "test",
        "networks": (ipaddress.ip_network("192.0.2.0/24"),),
        "invites_per_s": 1_000.0,
        **changes,
    }
    serial = count(1)
    return Endpoint(
        Identity("198.51.100.1", {"udp": 5060, "tcp": 5060}),
        trunks or Trunks([Trunk(**options)]),
        DigestServer("callcenter", b"secret"),
        lambda: f"id{next(serial)}",
    )


def sent(endpoint) -> list[Request | Response]:
    """What went out."""
    return [parse(data) for _, data in endpoint.outgoing()]


def statuses(endpoint) -> list[int]:
    """The statuses of the responses that went out."""
    return [message.status for message in sent(endpoint) if isinstance(message, Response)]


def incoming(endpoint, data: bytes = b"", now: float = 0.0, peer: Peer = PEER) -> InboundCall:
    """Lets an INVITE come in."""
    endpoint.receive(data or request(body=OFFER), peer, now)
    calls = [event.call for event in endpoint.events() if isinstance(event, IncomingCall)]
    assert len(calls) == 1
    return calls[0]


def answered(endpoint, now: float = 0.0, **headers: str) -> InboundCall:
    """A call that is up."""
    call = incoming(endpoint, request(body=OFFER, **headers), now)
    call.answer(LOCAL, now)
    endpoint.settle(call, now)
    tag = call.dialog.id.local_tag
    endpoint.receive(inside("ACK", tag, number="1", branch="z9hG4bKack"), PEER, now)
    endpoint.outgoing()
    endpoint.events()
    assert call.state is State.CONFIRMED
    return call


def inside(method: str, tag: str, number: str, body: str = "", **headers: str) -> bytes:
    """A request inside the call."""
    headers.setdefault("branch", f"z9hG4bK{method}{number}")
    to = f"<sip:15550100@198.51.100.1>;tag={tag}"
    return request(method, body, number=number, To=to, **headers)


def events_of(endpoint, call) -> list:
    """What happened to a call."""
    return [
        event[1] for event in endpoint.events() if isinstance(event, tuple) and event[0] is call
    ]


def response_to(message: Request, status: int, body: str = "", **headers: str) -> bytes:
    """The far end's response to a request of ours."""
    lines = [f"SIP/2.0 {status} X"]
    lines += [
        f"{name}: {value}"
        for name, value in message.headers
        if name in ("via", "from", "to", "call-id", "cseq")
    ]
    lines += ["Session-Expires: 90;refresher=uac", "Contact: <sip:caller@192.0.2.1>"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", body]
    return "\r\n".join(lines).encode()


@pytest.fixture
def endpoint() -> Endpoint:
    """An endpoint with one trunk."""
    return make_endpoint()


@pytest.fixture
def credentials() -> Credentials:
    """A login."""
    return Credentials("alice", "wonderland")
