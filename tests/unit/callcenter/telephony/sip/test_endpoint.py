"""The endpoint: who may call, what becomes of each message, and what a stranger can make grow."""

import contextlib
import ipaddress
import random

import pytest

from callcenter.errors import ProtocolError
from callcenter.telephony.sip import transactions
from callcenter.telephony.sip.auth import authorize
from callcenter.telephony.sip.call import State
from callcenter.telephony.sip.call_events import CallEnded, MediaAgreed
from callcenter.telephony.sip.endpoint_events import Turned
from callcenter.telephony.sip.trunk import Trunk, Trunks
from callcenter.telephony.sip.uri import Peer
from tests.unit.callcenter.telephony.sip.conftest import (
    LOCAL,
    OFFER,
    PEER,
    answered,
    events_of,
    incoming,
    inside,
    make_endpoint,
    request,
    sent,
    statuses,
)


def test_an_invite_rings_and_is_answered(endpoint) -> None:
    """100, 180, 200 with SDP, ACK, BYE."""
    call = incoming(endpoint)
    call.ring()
    call.answer(LOCAL, 0.0)
    endpoint.settle(call, 0.0)
    messages = sent(endpoint)
    assert [message.status for message in messages] == [100, 180, 200]
    assert b"m=audio 10000" in messages[2].body
    assert "rport=5060" in messages[2].text("via")
    endpoint.receive(inside("ACK", call.dialog.id.local_tag, "1", branch="z9hG4bKx"), PEER, 0.1)
    assert call.state is State.CONFIRMED
    endpoint.receive(inside("BYE", call.dialog.id.local_tag, "2"), PEER, 1.0)
    assert statuses(endpoint) == [200]
    happened = events_of(endpoint, call)
    assert isinstance(happened[0], MediaAgreed)
    assert happened[-1] == CallEnded("hangup")
    assert len(endpoint) == 0


def test_strangers_get_no_answer(endpoint) -> None:
    """Nothing comes back, nothing is kept, the event is counted."""
    for method in ("INVITE", "OPTIONS", "REGISTER"):
        endpoint.receive(request(method), Peer("udp", "203.0.113.9", 5060), 0.0)
    assert endpoint.outgoing() == []
    assert endpoint.events() == [Turned("stranger")] * 3
    assert endpoint.transactions == 0


@pytest.mark.parametrize("method", ["BYE", "INFO", "INVITE", "ACK", "CANCEL"])
def test_a_stranger_who_knows_the_tags_gets_no_further(endpoint, method) -> None:
    """Names are no secret to whoever listens: a call hears its trunk and its own far end alone."""
    call = incoming(endpoint)
    call.answer(LOCAL, 0.0)
    endpoint.settle(call, 0.0)
    endpoint.outgoing()
    endpoint.events()
    tag = "" if method == "CANCEL" else call.dialog.id.local_tag
    data = inside(method, tag, "1" if method in ("ACK", "CANCEL") else "2", branch="z9hG4bKs")
    endpoint.receive(data, Peer("udp", "203.0.113.9", 5060), 1.0)
    assert endpoint.outgoing() == []
    assert endpoint.events() == [Turned("stranger")]
    assert (call.state, call.dialog.peer) == (State.ANSWERED, PEER)


def test_the_far_end_of_a_call_outlives_its_trunk() -> None:
    """A trunk is taken out of the configuration: calls that are up are still ended by BYE."""
    trunks = Trunks([Trunk("test", (ipaddress.ip_network("192.0.2.0/24"),))])
    endpoint = make_endpoint(trunks)
    call = answered(endpoint, Contact="<sip:caller@192.0.2.9>")
    trunks.replace([])
    tag = call.dialog.id.local_tag
    endpoint.receive(inside("OPTIONS", tag, "2"), Peer("udp", "192.0.2.9", 5060), 1.0)
    endpoint.receive(inside("BYE", tag, "3"), PEER, 1.0)
    assert statuses(endpoint) == [200, 200]
    assert call.state is State.ENDED


def test_digest_is_asked_and_judged(credentials) -> None:
    """401 with both algorithms; the right proof lets the call in, a wrong one does not."""
    endpoint = make_endpoint(credentials=credentials)
    endpoint.receive(request(body=OFFER), PEER, 0.0)
    (challenge,) = sent(endpoint)
    assert challenge.status == 401
    asked = [value for name, value in challenge.headers if name == "www-authenticate"]
    assert len(asked) == 2
    uri = "sip:15550100@198.51.100.1"
    proof = authorize(credentials, "INVITE", uri, asked, "own")
    good = request(body=OFFER, branch="z9hG4bKb", number="2", Authorization=proof or "")
    replay = request(
        body=OFFER, branch="z9hG4bKc", number="3", Authorization=proof or "", Call_ID="other"
    )
    incoming(endpoint, good)
    endpoint.outgoing()
    endpoint.receive(replay, PEER, 0.0)
    assert statuses(endpoint) == [401]
    assert Turned("unauthorized", "test") in endpoint.events()
    old = authorize(credentials, "INVITE", uri, asked, "own", 2)
    late = request(body=OFFER, branch="z9hG4bKd", number="4", Authorization=old or "", Call_ID="d")
    endpoint.receive(late, PEER, 100.0)
    (stale,) = sent(endpoint)
    assert "stale=true" in stale.text("www-authenticate")
    assert endpoint.events() == []  # nobody was turned away: the next nonce will do


def test_channels_rate_and_draining() -> None:
    """Each with its reason and Retry-After; the status is the trunk's."""
    endpoint = make_endpoint(max_channels=1, no_capacity_status=486, retry_after_s=7)
    incoming(endpoint)
    endpoint.outgoing()
    endpoint.receive(request(branch="z9hG4bKb", Call_ID="second"), PEER, 0.0)
    (refused,) = sent(endpoint)
    assert refused.status == 486
    assert refused.text("retry-after") == "7"
    assert refused.text("reason") == 'SIP;cause=486;text="channels"'
    endpoint.admission.draining = True
    endpoint.receive(request(branch="z9hG4bKc", Call_ID="third"), PEER, 0.0)
    endpoint.receive(request("OPTIONS", branch="z9hG4bKd"), PEER, 0.0)
    draining, options = sent(endpoint)
    assert (draining.status, options.status) == (486, 503)
    assert options.text("retry-after") == "7"
    codes = [event.code for event in endpoint.events() if isinstance(event, Turned)]
    assert codes == ["channels", "draining"]
    slow = make_endpoint(invites_per_s=1.0)
    for number in range(4):
        data = request(branch=f"z9hG4bK{number}", Call_ID=f"c{number}")
        slow.receive(data, PEER, 0.0)
    assert statuses(slow).count(503) == 2


def test_a_channel_comes_back_with_the_end_of_the_call() -> None:
    """However it ended."""
    endpoint = make_endpoint(max_channels=1)
    for number in range(3):
        call = incoming(
            endpoint, request(body=OFFER, branch=f"z9hG4bK{number}", Call_ID=f"{number}")
        )
        call.refuse(486, "busy")
        endpoint.settle(call, 0.0)
    assert len(endpoint) == 0


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("INVITE", Contact=""), 400),
        (request("INVITE", Require="resource-priority"), 420),
        (request("INVITE", "junk", Content_Type="text/plain"), 415),
        (request("INVITE", "v=1\r\n", Content_Type="application/sdp"), 400),
        (request("INVITE", Session_Expires="30"), 422),
        (request("BYE", To="<sip:a@b>;tag=unknown"), 481),
        (request("CANCEL"), 481),
        (request("SUBSCRIBE"), 405),
        (request("INVITE", CSeq="5 BYE"), 400),
        (request("INVITE", uri="foo:bar"), 416),
        (request("OPTIONS"), 200),
    ],
)
def test_answers_without_a_call(endpoint, data, status) -> None:
    """Each is answered, none becomes a call."""
    endpoint.receive(data, PEER, 0.0)
    assert statuses(endpoint) == [status]
    assert len(endpoint) == 0


def test_a_port_that_is_none_is_dropped(endpoint) -> None:
    """It can neither be answered nor does it harm."""
    with pytest.raises(ProtocolError):
        endpoint.receive(request(Via="SIP/2.0/UDP 192.0.2.1:99999;branch=z9hG4bK1"), PEER, 0.0)
    assert endpoint.transactions == 0


def test_without_rport_the_answer_goes_to_the_port_of_via(endpoint) -> None:
    """RFC 3261 18.2.2; but always to the host that it came from."""
    via = "SIP/2.0/UDP 10.0.0.1:5090;branch=z9hG4bK1"
    endpoint.receive(request("OPTIONS", Via=via), PEER, 0.0)
    ((peer, _),) = endpoint.outgoing()
    assert peer == Peer("udp", "192.0.2.1", 5_090)


def test_the_same_call_over_two_ways(endpoint) -> None:
    """A forked copy that arrives as well is a merged request (RFC 3261 8.2.2.2)."""
    incoming(endpoint)
    endpoint.outgoing()
    endpoint.receive(request(body=OFFER, branch="z9hG4bKother"), PEER, 0.0)
    assert statuses(endpoint) == [482]


def test_a_flood_of_half_open_calls_is_bounded(endpoint, monkeypatch) -> None:
    """Transactions have a limit, and all of them go away by themselves."""
    monkeypatch.setattr(transactions, "MAX_TRANSACTIONS", 300)
    dropped = 0
    for number in range(1_000):
        data = request(body=OFFER, branch=f"z9hG4bK{number}", Call_ID=f"c{number}")
        try:
            endpoint.receive(data, PEER, 0.0)
        except ProtocolError:
            dropped += 1
    assert len(endpoint) == 100  # the trunk's channels
    assert dropped == 700
    while (due := endpoint.next_timer()) is not None and due < 200:
        endpoint.handle_timer(due)
    assert len(endpoint) == 0
    assert endpoint.transactions == 0


@pytest.mark.timeout(60)
def test_twenty_thousand_mutated_messages(endpoint) -> None:
    """Nothing but ProtocolError ever comes out, and a call that is up keeps up."""
    call = answered(endpoint)
    tag = call.dialog.id.local_tag
    seeds = [
        request(body=OFFER),
        request("OPTIONS"),
        request("CANCEL"),
        inside("INFO", tag, "3", "Signal=5\r\n", Content_Type="application/dtmf-relay"),
        inside("INVITE", tag, "4", OFFER),
        inside("NOTIFY", tag, "5", "SIP/2.0 200 OK\r\n", Event="refer"),
        inside("UPDATE", tag, "6", OFFER, Session_Expires="900;refresher=uac"),
    ]
    chance, now = random.Random(4_475), 1.0
    for _ in range(20_000):
        data = mutated(chance.choice(seeds), chance)
        if tag.encode() in data and (b"BYE" in data or b"CANCEL" in data):
            continue
        now += 0.001
        with contextlib.suppress(ProtocolError):
            endpoint.receive(data, PEER, now)
        due = endpoint.next_timer()
        if due is not None and due <= now:
            endpoint.handle_timer(now)
        endpoint.outgoing()
        endpoint.events()
    assert call.state is State.CONFIRMED
    assert endpoint.transactions < 20_000
    endpoint.receive(inside("BYE", tag, str(2**31 - 1)), call.dialog.peer, now)
    assert call.state is State.ENDED


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A few random changes: bytes, cuts, repeated lines, huge numbers."""
    for _ in range(chance.randint(1, 4)):
        kind, at = chance.randrange(6), chance.randrange(len(data))
        if kind == 0:
            data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + data[at + chance.randint(1, 30) :]
        elif kind == 2:
            data = data[:at] + chance.randbytes(chance.randint(1, 20)) + data[at:]
        elif kind == 3:
            lines = data.split(b"\r\n")
            lines.insert(chance.randrange(len(lines)), chance.choice(lines))
            data = b"\r\n".join(lines)
        elif kind == 4:
            data = data.replace(b"1", str(chance.randrange(10**12)).encode(), 1)
        else:
            lines = data.split(b"\r\n")
            chance.shuffle(lines)
            data = b"\r\n".join([lines[0], *lines[1:]])
        if not data:
            return b"\r\n"
    return data
