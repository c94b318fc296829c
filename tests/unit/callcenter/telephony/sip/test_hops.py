"""Where calls of ours go, and whose answers count: hosts of the configuration, none of a message.

A name that the trunk is configured with may have any address; a name or an address that only a
message names is followed within the trunk alone.
"""

import ipaddress

import pytest

from callcenter.telephony.sip.call import State
from callcenter.telephony.sip.endpoint import Endpoint
from callcenter.telephony.sip.endpoint_events import Turned
from callcenter.telephony.sip.message import Request
from callcenter.telephony.sip.trunk import Trunk
from callcenter.telephony.sip.uri import Peer, parse_uri
from tests.unit.callcenter.telephony.sip.conftest import (
    LOCAL,
    OFFER,
    PEER,
    make_endpoint,
    response_to,
    sent,
)

NETWORKS = (ipaddress.ip_network("192.0.2.0/24"),)
ELSEWHERE = Peer("udp", "203.0.113.66", 5_060)
EDGE = parse_uri("sip:edge.example.com")


def trunk(**changes) -> Trunk:
    """One with a registrar that is known by its name."""
    return Trunk("test", NETWORKS, names=frozenset({"registrar.example.com"}), **changes)


def dialled(endpoint: Endpoint, of: Trunk) -> tuple[Peer, bytes]:
    """A call of ours: where its INVITE goes, and the INVITE."""
    endpoint.dial(parse_uri("sip:+15550199@192.0.2.7"), "agent", PEER, of, LOCAL, 0.0)
    ((peer, data),) = endpoint.outgoing()
    return peer, data


@pytest.mark.parametrize(
    ("route", "host"),
    [
        ("<sip:192.0.2.9;lr>", "192.0.2.9"),
        ("<sip:registrar.example.com;lr>", "registrar.example.com"),
        ("<sip:203.0.113.66;lr>", PEER.host),
        ("<sip:db.internal:5432;transport=tcp;lr>", PEER.host),
        ("<sip:192.0.2.9;maddr=203.0.113.66;lr>", PEER.host),
    ],
)
def test_a_service_route_leads_nowhere_but_to_the_trunk(route, host) -> None:
    """It is the text of a registrar's answer."""
    endpoint = make_endpoint()
    endpoint.routes["test"] = (route,)
    peer, data = dialled(endpoint, trunk())
    assert peer.host == host
    assert (b"\r\nRoute: " in data) == (host != PEER.host)


def test_behind_the_proxy_a_service_route_is_the_proxys_matter() -> None:
    """The configured proxy is where the call goes, whatever comes next; without it the proxy's."""
    endpoint, of = make_endpoint(), trunk(outbound_proxy=EDGE)
    endpoint.routes["test"] = (*of.routes(), "<sip:203.0.113.66;lr>")
    assert dialled(endpoint, of)[0].host == EDGE.host
    endpoint.routes["test"] = ("<sip:203.0.113.66;lr>",)
    assert dialled(endpoint, of)[0].host == EDGE.host


def test_an_answer_from_an_address_of_the_proxys_name() -> None:
    """It has the branch that only who got the INVITE knows; without it nothing is read."""
    endpoint = make_endpoint()
    of = trunk(outbound_proxy=EDGE)
    call = endpoint.dial(parse_uri("sip:+15550199@192.0.2.7"), "agent", PEER, of, LOCAL, 0.0)
    (invite,) = sent(endpoint)
    assert isinstance(invite, Request)
    text = response_to(invite, 200, OFFER, Content_Type="application/sdp")
    answer = text.replace(b"\r\nfrom:", b"\r\nFrom:").replace(
        invite.text("to").encode() + b"\r\n", invite.text("to").encode() + b";tag=x\r\n", 1
    )
    endpoint.receive(answer.replace(invite.via.branch.encode(), b"z9hG4bKguess"), ELSEWHERE, 0.1)
    assert Turned("stranger") in endpoint.events()
    assert call.state is State.RINGING
    endpoint.receive(answer, ELSEWHERE, 0.2)
    assert call.state is State.CONFIRMED
    assert [peer.host for peer, _ in endpoint.outgoing()] == [EDGE.host]  # the ACK, by the name


def test_an_answer_to_a_request_to_an_address_comes_from_the_trunk() -> None:
    """Another host that has seen the branch is not heard."""
    endpoint = make_endpoint()
    call = endpoint.dial(parse_uri("sip:+15550199@192.0.2.7"), "me", PEER, trunk(), LOCAL, 0.0)
    (invite,) = sent(endpoint)
    assert isinstance(invite, Request)
    endpoint.receive(response_to(invite, 486), ELSEWHERE, 0.1)
    assert call.state is State.RINGING
    endpoint.receive(response_to(invite, 486), PEER, 0.2)
    assert call.state is State.ENDED
