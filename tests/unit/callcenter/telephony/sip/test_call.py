"""A call whose dialog lives: offers, keys by INFO, timers, glare, and how it ends."""

import pytest

from callcenter.telephony.sip.call import State
from callcenter.telephony.sip.call_events import CallEnded, DigitPressed
from callcenter.telephony.sip.message import Request, Response, parse
from callcenter.telephony.sip.uri import Peer
from tests.unit.callcenter.telephony.sip.conftest import (
    LOCAL,
    OFFER,
    PEER,
    answered,
    events_of,
    incoming,
    inside,
    request,
    response_to,
    sent,
    statuses,
)


def test_a_2xx_is_repeated_until_its_ack_and_then_given_up(endpoint) -> None:
    """Also by us, not by the transaction (RFC 3261 13.3.1.4); then BYE."""
    call = incoming(endpoint)
    call.answer(LOCAL, 0.0)
    endpoint.settle(call, 0.0)
    endpoint.outgoing()
    messages = []
    while (due := endpoint.next_timer()) is not None and due <= 32.5:
        endpoint.handle_timer(due)
        messages += sent(endpoint)
    repeated = [message for message in messages if isinstance(message, Response)]
    assert len(repeated) == 10
    assert any(isinstance(m, Request) and m.method == "BYE" for m in messages)
    assert CallEnded("no_ack") in events_of(endpoint, call)


def test_info_digits(endpoint) -> None:
    """Both body types; anything else is 415."""
    call = answered(endpoint)
    tag = call.dialog.id.local_tag
    bodies = [
        ("Signal=5\r\nDuration=160\r\n", "application/dtmf-relay"),
        ("#", "application/dtmf"),
        ("Signal=10", "application/dtmf-relay"),
        ("Signal=99", "application/dtmf-relay"),
        ("\u00b2\u00b2", "application/dtmf"),  # digits to Unicode, and no key
        ("<xml/>", "application/xml"),
    ]
    for number, (body, kind) in enumerate(bodies, start=2):
        endpoint.receive(inside("INFO", tag, str(number), body, Content_Type=kind), PEER, 1.0)
    assert events_of(endpoint, call) == [DigitPressed("5"), DigitPressed("#"), DigitPressed("*")]
    assert statuses(endpoint) == [200, 200, 200, 400, 400, 415]


def test_an_old_cseq_is_refused(endpoint) -> None:
    """RFC 3261 12.2.2."""
    call = answered(endpoint)
    tag = call.dialog.id.local_tag
    endpoint.receive(inside("OPTIONS", tag, "9"), PEER, 1.0)
    endpoint.receive(inside("OPTIONS", tag, "5"), PEER, 1.0)
    assert statuses(endpoint) == [200, 500]


def test_inbound_refer_is_declined(endpoint) -> None:
    """Nobody makes us call somebody."""
    call = answered(endpoint)
    data = inside("REFER", call.dialog.id.local_tag, "2", Refer_To="<sip:premium@example.com>")
    endpoint.receive(data, PEER, 1.0)
    assert statuses(endpoint) == [603]


def test_a_reinvite_that_offers_nothing_acceptable(endpoint) -> None:
    """488; the call goes on as it was."""
    call = answered(endpoint)
    plan = call.plan
    g729 = OFFER.replace("0 8 101", "18").replace("a=rtpmap:101 telephone-event/8000\r\n", "")
    endpoint.receive(inside("INVITE", call.dialog.id.local_tag, "2", g729), PEER, 1.0)
    assert statuses(endpoint) == [488]
    assert call.plan is plan
    assert call.state is State.CONFIRMED


def test_the_session_timer_ends_a_dead_call(endpoint) -> None:
    """The far end promised to refresh and did not (RFC 4028 10)."""
    call = answered(endpoint, Supported="timer", Session_Expires="90;refresher=uac")
    while (due := endpoint.next_timer()) is not None and due < 95:
        endpoint.handle_timer(due)
    assert CallEnded("session_expired") in events_of(endpoint, call)
    assert any(isinstance(m, Request) and m.method == "BYE" for m in sent(endpoint))


@pytest.mark.parametrize(("allow", "method"), [("INVITE, UPDATE", "UPDATE"), ("INVITE", "INVITE")])
def test_we_refresh_when_it_is_ours(endpoint, allow, method) -> None:
    """With UPDATE when the far end has it; a glare is tried again; a 200 keeps the call."""
    call = answered(endpoint, Supported="timer", Session_Expires="90;refresher=uas", Allow=allow)
    endpoint.handle_timer(45.0)
    (refresh,) = [m for m in sent(endpoint) if isinstance(m, Request)]
    assert refresh.method == method
    glare = response_to(refresh, 491)
    endpoint.receive(glare, PEER, 45.1)
    endpoint.outgoing()
    endpoint.handle_timer(46.2)
    (again,) = [m for m in sent(endpoint) if isinstance(m, Request)]
    assert again.cseq[0] > refresh.cseq[0]
    body = OFFER if method == "INVITE" else ""
    endpoint.receive(response_to(again, 200, body), PEER, 46.3)
    acks = [m for m in sent(endpoint) if isinstance(m, Request) and m.method == "ACK"]
    assert len(acks) == (method == "INVITE")
    assert call.state is State.CONFIRMED
    endpoint.handle_timer(80.0)
    assert call.state is State.CONFIRMED


def test_a_glare_with_our_own_offer(endpoint) -> None:
    """Their re-INVITE meets ours: 491 (RFC 3261 14.2)."""
    call = answered(endpoint, Supported="timer", Session_Expires="90;refresher=uas")
    endpoint.handle_timer(45.0)
    endpoint.outgoing()
    endpoint.receive(inside("INVITE", call.dialog.id.local_tag, "2", OFFER), PEER, 45.0)
    assert statuses(endpoint) == [491]


def test_a_hangup_before_the_ack_waits_for_it(endpoint) -> None:
    """RFC 3261 15: no BYE before the ACK."""
    call = incoming(endpoint)
    call.answer(LOCAL, 0.0)
    call.hang_up("hangup", 0.0)
    endpoint.settle(call, 0.0)
    assert not any(isinstance(m, Request) for m in sent(endpoint))
    endpoint.receive(inside("ACK", call.dialog.id.local_tag, "1", branch="z9hG4bKk"), PEER, 0.1)
    assert [m.method for m in sent(endpoint) if isinstance(m, Request)] == ["BYE"]


def test_the_route_of_a_proxy_is_kept(endpoint) -> None:
    """Record-Route becomes Route, in order, and the next hop (RFC 3261 12.1.1)."""
    data = request(body=OFFER, Record_Route="<sip:192.0.2.5;lr>, <sip:192.0.2.6;lr>")
    call = incoming(endpoint, data)
    call.answer(LOCAL, 0.0)
    endpoint.settle(call, 0.0)
    endpoint.receive(inside("ACK", call.dialog.id.local_tag, "1", branch="z9hG4bKk"), PEER, 0.1)
    endpoint.outgoing()
    call.hang_up("hangup", 1.0)
    endpoint.settle(call, 1.0)
    ((peer, data),) = endpoint.outgoing()
    bye = parse(data)
    assert peer == Peer("udp", "192.0.2.5", 5_060)
    assert bye.listed("route") == ["<sip:192.0.2.5;lr>", "<sip:192.0.2.6;lr>"]


def test_an_offer_while_ours_waits_for_its_answer(endpoint) -> None:
    """The INVITE had none, so the 200 offers: an UPDATE with another is 491 (RFC 3311 5.2)."""
    call = incoming(endpoint, request())
    call.answer(LOCAL, 0.0)
    endpoint.settle(call, 0.0)
    endpoint.outgoing()
    endpoint.receive(inside("UPDATE", call.dialog.id.local_tag, "2", OFFER), PEER, 0.1)
    assert statuses(endpoint) == [491]
    assert call.plan is None


@pytest.mark.parametrize(("status", "interval"), [(422, "200"), (500, "90"), (488, "90")])
def test_a_refresh_that_is_refused_is_tried_again(endpoint, status, interval) -> None:
    """With the interval that a 422 wants; a 200 to it saves the session."""
    call = answered(endpoint, Supported="timer", Session_Expires="90;refresher=uas", Allow="UPDATE")
    endpoint.handle_timer(45.0)
    (refresh,) = sent(endpoint)
    endpoint.receive(response_to(refresh, status, Min_SE="200"), PEER, 45.1)
    endpoint.handle_timer(55.2)
    (again,) = sent(endpoint)
    assert again.text("session-expires") == f"{interval};refresher=uac"
    endpoint.receive(response_to(again, 200), PEER, 55.3)
    endpoint.handle_timer(75.0)
    assert call.state is State.CONFIRMED
