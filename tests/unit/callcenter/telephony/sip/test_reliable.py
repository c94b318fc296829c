"""Provisional responses that are acknowledged, in both roles (RFC 3262)."""

import ipaddress

import pytest

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.call import State
from callcenter.telephony.sip.call_events import Answered, CallEnded, MediaAgreed
from callcenter.telephony.sip.message import Request, Response, parse
from callcenter.telephony.sip.reliable import rack
from callcenter.telephony.sip.trunk import Trunk, Trunks
from callcenter.telephony.sip.uri import Peer
from tests.unit.callcenter.telephony.sip.conftest import (
    LOCAL,
    OFFER,
    PEER,
    events_of,
    incoming,
    inside,
    make_endpoint,
    request,
    sent,
    statuses,
)
from tests.unit.callcenter.telephony.sip.test_outbound import answer, dial, events
from tests.unit.callcenter.telephony.sip.test_outbound import sent as requests


def ringing(endpoint, body: str = OFFER, **headers: str):
    """A call that must ring reliably, and our 180."""
    call = incoming(endpoint, request(body=body, Require="100rel", **headers))
    endpoint.outgoing()
    call.ring()
    endpoint.settle(call, 0.0)
    return call, [message for message in sent(endpoint) if isinstance(message, Response)]


def prack(call, value: str, body: str = "") -> bytes:
    """The far end's PRACK."""
    return inside("PRACK", call.dialog.id.local_tag, "2", body, RAck=value)


def test_the_180_comes_again_until_its_prack(endpoint) -> None:
    """With RSeq and Require, at twice the interval each time."""
    call, (first,) = ringing(endpoint)
    assert (first.status, first.tokens("require"), first.text("rseq")) == (180, {"100rel"}, "1")
    assert first.contact is not None
    times = []
    while (due := endpoint.next_timer()) is not None and due < 8.0:
        endpoint.handle_timer(due)
        times += [due] * len(statuses(endpoint))
    assert times == [0.5, 1.5, 3.5, 7.5]
    endpoint.receive(prack(call, "1 1 INVITE"), PEER, 8.0)
    assert statuses(endpoint) == [200]
    endpoint.handle_timer(30.0)
    assert statuses(endpoint) == []
    assert call.state is State.RINGING


@pytest.mark.parametrize(
    ("value", "body", "status"),
    [
        ("2 1 INVITE", "", 481),
        ("1 2 INVITE", "", 481),
        ("1 1 OPTIONS", "", 481),
        ("", "", 400),
        ("1 INVITE", "", 400),
        ("1 1 INVITE", OFFER, 488),
    ],
)
def test_a_prack_that_does_not_fit(endpoint, value, body, status) -> None:
    """Of another response, malformed, or with an offer before the first one is answered."""
    call, _ = ringing(endpoint)
    endpoint.receive(prack(call, value, body), PEER, 0.1)
    assert statuses(endpoint) == [status]


def test_no_prack_at_all(endpoint) -> None:
    """The INVITE is refused (RFC 3262 3)."""
    call, _ = ringing(endpoint)
    while (due := endpoint.next_timer()) is not None and due <= 32.0:
        endpoint.handle_timer(due)
    assert 504 in statuses(endpoint)
    assert CallEnded("refused") in events_of(endpoint, call)


def test_answered_before_the_prack(endpoint) -> None:
    """Nothing is repeated any more, and the PRACK that comes late is answered."""
    call, _ = ringing(endpoint)
    call.answer(LOCAL, 0.1)
    endpoint.settle(call, 0.1)
    assert statuses(endpoint) == [200]
    endpoint.receive(prack(call, "1 1 INVITE"), PEER, 0.2)
    assert statuses(endpoint) == [200]


def test_without_an_offer_it_does_not_ring(endpoint) -> None:
    """The 180 would have to carry ours (RFC 3261 13.2.1); the answer does."""
    call, responses = ringing(endpoint, body="")
    assert responses == []
    call.answer(LOCAL, 0.1)
    endpoint.settle(call, 0.1)
    (answered,) = sent(endpoint)
    assert answered.body.startswith(b"v=0")


def test_nobody_asked_for_it(endpoint) -> None:
    """Supported is no Require; a PRACK for nothing is 481."""
    call = incoming(endpoint, request(body=OFFER, Supported="100rel"))
    endpoint.outgoing()
    call.ring()
    endpoint.settle(call, 0.0)
    (ring,) = sent(endpoint)
    assert ring.get("rseq") is None
    endpoint.receive(prack(call, "1 1 INVITE"), PEER, 0.1)
    assert statuses(endpoint) == [481]


def test_ours_is_acknowledged_in_order(endpoint) -> None:
    """Each reliable response once; the SDP in one of them answers our offer."""
    call, invite = dial(endpoint)
    assert "100rel" in invite.tokens("supported")
    answer(endpoint, invite, 180)
    assert requests(endpoint) == []
    answer(endpoint, invite, 183, body=OFFER, Require="100rel", RSeq="41")
    (first,) = requests(endpoint)
    assert (first.method, first.text("rack"), first.cseq[0]) == ("PRACK", "41 1 INVITE", 2)
    assert first.uri_text == "sip:desk@192.0.2.8:5080"
    answer(endpoint, first, 200)
    for rseq in ("41", "43"):  # again, and out of order
        answer(endpoint, invite, 183, Require="100rel", RSeq=rseq)
    assert requests(endpoint) == []
    answer(endpoint, invite, 180, Require="100rel", RSeq="42")
    (second,) = requests(endpoint)
    assert (second.text("rack"), second.cseq[0]) == ("42 1 INVITE", 3)
    answer(endpoint, second, 481)
    assert call.state is State.RINGING
    answer(endpoint, invite, 200)
    (ack,) = requests(endpoint)
    assert (ack.method, ack.cseq) == ("ACK", (1, "ACK"))
    happened = events(endpoint)
    assert Answered() in happened
    assert any(isinstance(event, MediaAgreed) for event in happened)
    call.hang_up("hangup", 1.0)
    endpoint.settle(call, 1.0)
    (bye,) = requests(endpoint)
    assert bye.cseq == (4, "BYE")


@pytest.mark.parametrize("value", ["", "1 INVITE", "x 1 INVITE", "1 1", "-1 1 INVITE"])
def test_what_is_no_rack(value) -> None:
    """An error that says so."""
    message = parse(request("PRACK", RAck=value))
    assert isinstance(message, Request)
    with pytest.raises(ProtocolError):
        rack(message)


def test_another_trunk_acknowledges_nothing() -> None:
    """481 to its PRACK, and the 180 comes again until the call's own trunk has sent one."""
    networks = {"test": "192.0.2.0/24", "other": "198.51.100.0/24"}
    endpoint = make_endpoint(
        Trunks([Trunk(name, (ipaddress.ip_network(net),)) for name, net in networks.items()])
    )
    call, _ = ringing(endpoint)
    foreign = inside("PRACK", call.dialog.id.local_tag, "2", RAck="1 1 INVITE", branch="z9hG4bKf")
    endpoint.receive(foreign, Peer("udp", "198.51.100.77", 5_060), 0.1)
    assert statuses(endpoint) == [481]
    endpoint.handle_timer(0.5)
    assert statuses(endpoint) == [180]
    endpoint.receive(prack(call, "1 1 INVITE"), PEER, 0.6)
    assert statuses(endpoint) == [200]
