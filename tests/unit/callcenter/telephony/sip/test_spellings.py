"""Requests as others write them: compact, folded, in capitals, with space wherever it may stand."""

import pytest

from callcenter.telephony.sip.call import State
from callcenter.telephony.sip.message import Request, Response, parse
from callcenter.telephony.sip.names import COMPACT
from callcenter.telephony.sip.session_timer import SessionTimer
from callcenter.telephony.sip.uri import Peer
from tests.unit.callcenter.telephony.sip.conftest import (
    LOCAL,
    OFFER,
    PEER,
    incoming,
    inside,
    make_endpoint,
    request,
    sent,
)

ODD = (
    "INVITE SIP:15550100@198.51.100.1:5060;TRANSPORT=UDP SIP/2.0\r\n"
    "v :\r\n SIP / 2.0 / udp\r\n\t192.0.2.1 : 5060 ;BRANCH=z9hG4bKodd ; RPORT\r\n"
    'F:"A \\"q\\", B" <SIP:caller@EXAMPLE.com> ;TAG= from1\r\n'
    "t  : <sip:15550100@198.51.100.1>\r\n"
    "i:odd-call\r\n"
    "CSEQ:\t 7 \t INVITE\r\n"
    "m: <sip:caller@192.0.2.1:5060;Transport=UDP;OB> ; Expires=60\r\n"
    "mAx-FoRwArDs :70\r\n"
    "k:TIMER ,\r\n 100rel\r\n"
    "x: 1800 ;REFRESHER=UAS\r\n"
    "Record-Route: <sip:192.0.2.1:5060;LR=on>,\r\n <sip:192.0.2.2;lr>\r\n"
    "c : Application / SDP\r\n".replace(" / ", "/")
    + "l: {length}\r\n\r\n{body}"
)


def test_an_invite_in_every_odd_way(endpoint) -> None:
    """It is one call like any other: answered, acknowledged, and ended by our BYE."""
    body = OFFER.replace("IN IP4", "in ip4").replace(
        "a=rtpmap:101 telephone", "a=RTPMAP:101 TELEPHONE"
    )
    call = incoming(endpoint, ODD.format(length=len(body), body=body).encode())
    call.answer(LOCAL, 0.0)
    endpoint.settle(call, 0.0)
    answered = [message for message in sent(endpoint) if isinstance(message, Response)][-1]
    assert (answered.status, answered.cseq) == (200, (7, "INVITE"))
    assert answered.text("session-expires") == "1800;refresher=uas"
    assert call.dialog.remote.display == 'A "q", B'
    assert call.dialog.remote.param("tag") == "from1"
    assert call.plan is not None
    assert call.plan.dtmf_type == 101
    assert len(call.dialog.route_set) == 2
    ack = ODD.replace("INVITE", "ACK").replace("z9hG4bKodd", "z9hG4bKack")
    ack = ack.replace("100.1>", f"100.1>;Tag={call.dialog.id.local_tag}", 1)
    endpoint.receive(ack.format(length=0, body="").encode(), PEER, 0.1)
    assert call.state is State.CONFIRMED
    call.hang_up("hangup", 1.0)
    endpoint.settle(call, 1.0)
    (bye,) = sent(endpoint)
    assert isinstance(bye, Request)
    assert bye.text("to") == '"A \\"q\\", B" <sip:caller@example.com>;tag=from1'
    assert bye.listed("route") == ["<sip:192.0.2.1:5060;LR=on>", "<sip:192.0.2.2;lr>"]


def test_a_display_name_that_looks_like_a_tag(endpoint) -> None:
    """Our tag is added all the same."""
    endpoint.receive(request("OPTIONS", To='";tag=x" <sip:15550100@198.51.100.1>'), PEER, 0.0)
    (answer,) = sent(endpoint)
    assert answer.to.param("tag") is not None


@pytest.mark.parametrize(
    ("uri", "contact", "host"),
    [
        ("sip:15550100@[2001:db8::9]", "<sip:caller@[2001:DB8::1]:5060>", "2001:db8::1"),
        ("sips:15550100@198.51.100.1", "<sips:caller@192.0.2.1>", "192.0.2.1"),
        ("tel:+1-555-0100", "sip:caller@192.0.2.1", "192.0.2.1"),
    ],
)
def test_addresses_of_every_kind(endpoint, uri, contact, host) -> None:
    """IPv6 in brackets, sips, tel; a Contact without angle brackets."""
    call = incoming(endpoint, request(body=OFFER, uri=uri, Contact=contact))
    assert call.dialog.remote_target.peer().host == host


@pytest.mark.parametrize("name", sorted(set(COMPACT) - {"c", "l", "v", "f", "t", "i"}))
def test_compact_names(name) -> None:
    """Each is the long one."""
    message = parse(request("OPTIONS").replace(b"Max-Forwards", name.encode()))
    assert message.get(COMPACT[name]) is not None


def test_the_refresher_in_capitals() -> None:
    """Is who it is (RFC 4028 9)."""
    message = parse(request(Session_Expires="90;Refresher=UAS", Supported="Timer"))
    assert isinstance(message, Request)
    timer = SessionTimer()
    assert ("session-expires", "90;refresher=uas") in timer.answer(message, 0.0)
    assert timer.we_refresh


@pytest.mark.parametrize(
    ("routes", "uri", "listed", "hop"),
    [
        (
            "<sip:edge.example.com;transport=tcp;lr>",
            "sip:caller@192.0.2.1:5060",
            ["<sip:edge.example.com;transport=tcp;lr>"],
            Peer("tcp", "edge.example.com", 5060),
        ),
        (
            "<sip:edge.example.com:5070;transport=tcp;LR>, <sip:core.example.com;lr>",
            "sip:caller@192.0.2.1:5060",
            ["<sip:edge.example.com:5070;transport=tcp;LR>", "<sip:core.example.com;lr>"],
            Peer("tcp", "edge.example.com", 5070),
        ),
        (  # RFC 3261 12.2.1.1: a strict router has its own name in the Request-URI
            "<sip:old.example.com;transport=tcp>, <sip:core.example.com;lr>",
            "sip:old.example.com;transport=tcp",
            ["<sip:core.example.com;lr>", "<sip:caller@192.0.2.1:5060>"],
            Peer("tcp", "old.example.com", 5060),
        ),
    ],
)
def test_routes_by_name(routes, uri, listed, hop) -> None:
    """Loose and strict, to names of the trunk; the transport looks them up beside the calls."""
    endpoint = make_endpoint(names=frozenset({"edge.example.com", "old.example.com"}))
    call = incoming(endpoint, request(body=OFFER, Record_Route=routes))
    call.answer(LOCAL, 0.0)
    endpoint.settle(call, 0.0)
    tag = call.dialog.id.local_tag
    endpoint.receive(inside("ACK", tag, "1", branch="z9hG4bKack"), PEER, 0.1)
    endpoint.outgoing()
    call.hang_up("hangup", 1.0)
    endpoint.settle(call, 1.0)
    ((peer, data),) = endpoint.outgoing()
    bye = parse(data)
    assert isinstance(bye, Request)
    assert (peer, bye.uri_text, bye.listed("route")) == (hop, uri, listed)
