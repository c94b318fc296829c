"""A call of ours: answered, refused, given up, challenged, forked."""

import pytest

from callcenter.telephony.sip.call import State
from callcenter.telephony.sip.call_events import Answered, CallEnded, MediaAgreed, Transferred
from callcenter.telephony.sip.endpoint import Endpoint
from callcenter.telephony.sip.media_plan import LocalMedia
from callcenter.telephony.sip.message import Request, Response, parse
from callcenter.telephony.sip.outbound import ANSWER_LIMIT_S, OutboundCall
from callcenter.telephony.sip.transfer import REFER_TIMEOUT_S
from callcenter.telephony.sip.uri import Peer, parse_uri
from tests.unit.callcenter.telephony.sip.conftest import OFFER, PEER, make_endpoint, request

LOCAL = LocalMedia("198.51.100.1", 10_000, ("pcmu",), "may", 1, bytes)
CHALLENGE = 'Digest realm="pbx", nonce="n", algorithm=MD5, qop="auth"'


def dial(endpoint: Endpoint) -> tuple[OutboundCall, Request]:
    """A call that rings, and its INVITE."""
    trunk = endpoint.admission.find(PEER)
    assert trunk is not None
    target = parse_uri("sip:+15550199@192.0.2.7:5070")
    call = endpoint.dial(target, "agent", PEER, trunk, LOCAL, 0.0)
    (invite,) = sent(endpoint)
    return call, invite


def sent(endpoint: Endpoint) -> list[Request]:
    """The requests that went out."""
    messages = [parse(data) for _, data in endpoint.outgoing()]
    return [message for message in messages if isinstance(message, Request)]


def answer(
    endpoint: Endpoint,
    asked: Request,
    status: int,
    tag: str = "human",
    body: str = "",
    now: float = 0.1,
    **headers: str,
) -> None:
    """The far end's response."""
    names = ("via", "from", "call-id", "cseq")
    kept = [(name, value) for name, value in asked.headers if name in names]
    kept += [("to", f"{asked.text('to')};tag={tag}"), ("contact", "<sip:desk@192.0.2.8:5080>")]
    kept += [(name.replace("_", "-"), value) for name, value in headers.items()]
    kept += [("content-type", "application/sdp")] if body else []
    response = Response(kept, body.encode(), status, "X")
    endpoint.receive(response.encode(), PEER, now)


def events(endpoint: Endpoint) -> list:
    """What happened to calls."""
    return [event[1] for event in endpoint.events() if isinstance(event, tuple)]


def test_it_is_answered(endpoint) -> None:
    """Offer, ACK over the way that was recorded, audio agreed; a BYE of theirs ends it."""
    call, invite = dial(endpoint)
    assert invite.uri_text == "sip:+15550199@192.0.2.7:5070"
    assert invite.from_.uri.user == "agent"
    assert b"m=audio 10000" in invite.body
    answer(endpoint, invite, 180)
    answer(endpoint, invite, 200, body=OFFER, record_route="<sip:b;lr>, <sip:a;lr>")
    (ack,) = sent(endpoint)
    assert (ack.method, ack.cseq, ack.uri_text) == ("ACK", (1, "ACK"), "sip:desk@192.0.2.8:5080")
    assert ack.listed("route") == ["<sip:a;lr>", "<sip:b;lr>"]
    answered, agreed = events(endpoint)
    assert answered == Answered()
    assert isinstance(agreed, MediaAgreed)
    assert call.state is State.CONFIRMED
    bye = request(
        "BYE",
        Call_ID=call.dialog.call_id,
        From="<sip:+15550199@192.0.2.7:5070>;tag=human",
        To=f"<sip:agent@198.51.100.1>;tag={call.dialog.id.local_tag}",
    )
    endpoint.receive(bye, PEER, 1.0)
    assert events(endpoint) == [CallEnded("hangup")]
    assert len(endpoint) == 0


def test_the_answer_again_is_acknowledged_again(endpoint) -> None:
    """Our ACK may get lost (RFC 3261 13.2.2.4)."""
    _, invite = dial(endpoint)
    for _ in range(2):
        answer(endpoint, invite, 200, body=OFFER)
    assert [message.method for message in sent(endpoint)] == ["ACK", "ACK"]
    assert len(events(endpoint)) == 2


def test_a_second_telephone_that_answers_gets_bye(endpoint) -> None:
    """The INVITE was forked; the first answer counts."""
    call, invite = dial(endpoint)
    answer(endpoint, invite, 200, body=OFFER)
    endpoint.outgoing()
    answer(endpoint, invite, 200, tag="other", body=OFFER)
    ack, bye = sent(endpoint)
    assert (ack.method, bye.method) == ("ACK", "BYE")
    assert bye.to.param("tag") == "other"
    assert call.dialog.id.remote_tag == "human"


@pytest.mark.parametrize("status", [302, 404, 486, 603])
def test_it_is_refused(endpoint, status) -> None:
    """The status is told; the channel is free again."""
    call, invite = dial(endpoint)
    answer(endpoint, invite, status)
    assert [message.method for message in sent(endpoint)] == ["ACK"]
    assert events(endpoint) == [CallEnded("refused")]
    assert call.status == status
    assert len(endpoint) == 0


def test_credentials_are_shown_once(credentials) -> None:
    """A 401 to a proven INVITE ends it."""
    endpoint = make_endpoint(outbound=credentials)
    call, invite = dial(endpoint)
    answer(endpoint, invite, 401, www_authenticate=CHALLENGE)
    ack, again = sent(endpoint)
    assert (ack.method, again.method, again.cseq[0]) == ("ACK", "INVITE", 2)
    assert 'username="alice"' in again.text("authorization")
    assert again.body == invite.body
    answer(endpoint, again, 401, www_authenticate=CHALLENGE)
    assert events(endpoint) == [CallEnded("refused")]
    assert call.status == 401


def test_it_is_given_up_by_cancel(endpoint) -> None:
    """Not before something came back (RFC 3261 9.1); an answer that crosses is hung up on."""
    call, invite = dial(endpoint)
    call.hang_up("changed_my_mind", 0.1)
    endpoint.settle(call, 0.1)
    assert sent(endpoint) == []
    answer(endpoint, invite, 100)
    (cancel,) = sent(endpoint)
    assert cancel.method == "CANCEL"
    assert cancel.via.branch == invite.via.branch
    assert cancel.cseq == (1, "CANCEL")
    assert len(endpoint) == 0
    answer(endpoint, invite, 200, body=OFFER)
    assert [message.method for message in sent(endpoint)] == ["ACK", "BYE"]


def test_nobody_answers(endpoint) -> None:
    """It rings for its time, then CANCEL."""
    call, invite = dial(endpoint)
    answer(endpoint, invite, 180)
    endpoint.handle_timer(ANSWER_LIMIT_S)
    assert [message.method for message in sent(endpoint)] == ["CANCEL"]
    assert events(endpoint) == [CallEnded("local")]
    assert call.status == 408


def test_nobody_is_there(endpoint) -> None:
    """Nothing comes back: repeated, then over; nothing stays in memory."""
    call, _ = dial(endpoint)
    while (due := endpoint.next_timer()) is not None:
        endpoint.handle_timer(due)
    assert call.state is State.ENDED
    assert CallEnded("local") in events(endpoint)
    assert (len(endpoint), endpoint.transactions) == (0, 0)


def test_nobody_can_be_connected_to(endpoint) -> None:
    """A transport that fails ends the call at once, as a 503 (RFC 3261 8.1.3.1)."""
    call, _ = dial(endpoint)
    endpoint.unreachable(Peer("tls", "192.0.2.7", 5_061), 0.1)
    assert events(endpoint) == []
    endpoint.unreachable(PEER, 0.1)
    assert events(endpoint) == [CallEnded("refused")]
    assert call.status == 503
    assert (len(endpoint), endpoint.transactions) == (0, 0)


@pytest.mark.parametrize("body", ["", OFFER.replace("audio 4000", "audio 0"), "v=1\r\n"])
def test_an_answer_without_audio(endpoint, body) -> None:
    """Acknowledged and hung up."""
    call, invite = dial(endpoint)
    answer(endpoint, invite, 200, body=body)
    assert [message.method for message in sent(endpoint)] == ["ACK", "BYE"]
    assert call.state is State.ENDED


def test_a_call_is_handed_over_to_another(endpoint) -> None:
    """REFER names the call as its other end knows it (RFC 3891 3); NOTIFY tells the end."""
    call, invite = dial(endpoint)
    answer(endpoint, invite, 200, body=OFFER)
    reached, invite = dial_again(endpoint)
    answer(endpoint, invite, 200, tag="a b", body=OFFER)
    endpoint.outgoing()
    events(endpoint)
    call.refer("sip:unused@x", 1.0, reached)
    endpoint.settle(call, 1.0)
    (refer,) = sent(endpoint)
    names = reached.dialog.id
    assert refer.text("refer-to") == (
        f"<sip:desk@192.0.2.8:5080?Replaces={names.call_id}%3Bto-tag%3Da%20b"
        f"%3Bfrom-tag%3D{names.local_tag}&Require=replaces>"
    )
    answer(endpoint, refer, 202)
    for number, (body, state) in enumerate(
        [("SIP/2.0 180 Ringing", "active"), ("SIP/2.0 200 OK", "terminated")], start=1
    ):
        endpoint.receive(notify(call, number, body, state), PEER, 2.0)
    assert events(endpoint) == [Transferred(200)]


def test_a_subscription_that_ends_without_a_word(endpoint) -> None:
    """It counts as a time-out; a NOTIFY about nothing is 481."""
    call, invite = dial(endpoint)
    answer(endpoint, invite, 200, body=OFFER)
    endpoint.outgoing()
    events(endpoint)
    endpoint.receive(notify(call, 1, "SIP/2.0 200 OK", "active"), PEER, 1.0)
    (refused,) = [parse(data) for _, data in endpoint.outgoing()]
    assert isinstance(refused, Response)
    assert refused.status == 481
    call.refer("sip:+15550111@192.0.2.7", 1.0)
    endpoint.settle(call, 1.0)
    assert sent(endpoint)[0].text("refer-to") == "<sip:+15550111@192.0.2.7>"
    endpoint.receive(notify(call, 2, "SIP/2.0 100 Trying", "terminated"), PEER, 2.0)
    assert events(endpoint) == [Transferred(408)]


@pytest.mark.parametrize("status", [302, 404, 486, 503, 603])
@pytest.mark.parametrize("told_by", ["response", "notify"])
def test_a_transfer_that_fails(endpoint, status, told_by) -> None:
    """Refused at once, or later by whom the far end called; the call goes on."""
    call, invite = dial(endpoint)
    answer(endpoint, invite, 200, body=OFFER)
    endpoint.outgoing()
    events(endpoint)
    call.refer("sip:+15550111@192.0.2.7", 1.0)
    endpoint.settle(call, 1.0)
    (refer,) = sent(endpoint)
    if told_by == "response":
        answer(endpoint, refer, status)
    else:
        answer(endpoint, refer, 202)
        endpoint.receive(notify(call, 1, f"SIP/2.0 {status} No", "terminated"), PEER, 2.0)
    assert events(endpoint) == [Transferred(status)]
    assert call.state is State.CONFIRMED


def test_a_transfer_of_which_nothing_is_heard(endpoint) -> None:
    """Given up after its time."""
    call, invite = dial(endpoint)
    answer(endpoint, invite, 200, body=OFFER)
    events(endpoint)
    call.refer("sip:+15550111@192.0.2.7", 1.0)
    endpoint.settle(call, 1.0)
    answer(endpoint, sent(endpoint)[-1], 202)
    endpoint.handle_timer(1.0 + REFER_TIMEOUT_S)
    assert events(endpoint) == [Transferred(408)]


def test_who_owns_the_call_id_waits_longer_after_a_glare(endpoint) -> None:
    """So that both do not meet again (RFC 3261 14.1)."""
    call, invite = dial(endpoint)
    answer(endpoint, invite, 200, body=OFFER, session_expires="90;refresher=uac", allow="UPDATE")
    endpoint.outgoing()
    endpoint.handle_timer(45.2)
    answer(endpoint, sent(endpoint)[0], 491, now=45.3)
    assert call.next_timer() == pytest.approx(48.3)


def dial_again(endpoint: Endpoint) -> tuple[OutboundCall, Request]:
    """Another call, behind what the first has sent."""
    endpoint.outgoing()
    return dial(endpoint)


def notify(call: OutboundCall, number: int, body: str, state: str) -> bytes:
    """Progress of a transfer, as the far end of a call tells it."""
    names = call.dialog.id
    return request(
        "NOTIFY",
        body + "\r\n",
        number=str(number),
        branch=f"z9hG4bKn{number}",
        Call_ID=names.call_id,
        From=f"<sip:+15550199@192.0.2.7:5070>;tag={names.remote_tag}",
        To=f"<sip:agent@198.51.100.1>;tag={names.local_tag}",
        Event="refer",
        Subscription_State=state,
        Content_Type="message/sipfrag",
    )


def test_by_the_trunks_routes() -> None:
    """As the registration found them, else the outbound proxy; the first says where it goes."""
    endpoint = make_endpoint(outbound_proxy=parse_uri("sip:edge.example.com:5080;transport=tcp"))
    trunk = endpoint.admission.find(PEER)
    assert trunk is not None
    proxy = trunk.routes()
    assert proxy == ("<sip:edge.example.com:5080;transport=tcp;lr>",)
    endpoint.routes["test"] = (*proxy, "<sip:orig@s.example.com;lr>")
    target = parse_uri("sip:+15550199@192.0.2.7:5070")
    endpoint.dial(target, "agent", PEER, trunk, LOCAL, 0.0)
    ((peer, data),) = endpoint.outgoing()
    assert peer == Peer("tcp", "edge.example.com", 5080)
    invite = parse(data)
    assert isinstance(invite, Request)
    assert invite.uri_text == "sip:+15550199@192.0.2.7:5070"
    assert invite.listed("route") == [
        "<sip:edge.example.com:5080;transport=tcp;lr>",
        "<sip:orig@s.example.com;lr>",
    ]
    assert invite.via.transport == "tcp"
    assert "transport=tcp" in invite.text("contact")


def test_a_hop_that_leaves_a_request_unanswered_is_told(endpoint) -> None:
    """Whoever looks names up tries another address then; told once."""
    dial(endpoint)
    while (due := endpoint.next_timer()) is not None and due <= 33.0:
        endpoint.handle_timer(due)
    assert endpoint.silent() == [PEER]
    assert endpoint.silent() == []
