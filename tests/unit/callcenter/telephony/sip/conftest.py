"""SIP messages written as text, and a pair of ends without a network."""

import ipaddress
from itertools import count

import pytest

from callcenter.telephony.sip.auth import Credentials, DigestServer
from callcenter.telephony.sip.endpoint import Endpoint
from callcenter.telephony.sip.identity import Identity
from callcenter.telephony.sip.trunk import Trunk, Trunks
from callcenter.telephony.sip.uri import Peer

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


def make_endpoint(**changes: object) -> Endpoint:
    """An endpoint with one trunk for 192.0.2.0/24."""
    options: dict = {
        "name": "test",
        "networks": (ipaddress.ip_network("192.0.2.0/24"),),
        "invites_per_s": 1_000.0,
        **changes,
    }
    serial = count(1)
    return Endpoint(
        Identity("198.51.100.1", {"udp": 5060, "tcp": 5060}),
        Trunks([Trunk(**options)]),
        DigestServer("callcenter", b"secret"),
        lambda: f"id{next(serial)}",
    )


@pytest.fixture
def endpoint() -> Endpoint:
    """An endpoint with one trunk."""
    return make_endpoint()


@pytest.fixture
def credentials() -> Credentials:
    """A login."""
    return Credentials("alice", "wonderland")
