"""Who may speak: where a message is from, how much a host may ask for, whose call it is for."""

import ipaddress

import pytest

from callcenter.telephony.sip import admission
from callcenter.telephony.sip.auth import Credentials, authorize
from callcenter.telephony.sip.call import State
from callcenter.telephony.sip.endpoint_events import IncomingCall, Turned
from callcenter.telephony.sip.message import Request, Response, parse
from callcenter.telephony.sip.trunk import Trunk, Trunks
from callcenter.telephony.sip.uri import Peer, parse_uri
from tests.unit.callcenter.telephony.sip.conftest import (
    LOCAL,
    OFFER,
    PEER,
    answered,
    incoming,
    inside,
    make_endpoint,
    request,
    response_to,
    sent,
    statuses,
)

STRANGER = Peer("udp", "203.0.113.9", 5_060)
OTHER = Peer("udp", "198.51.100.77", 5_060)


def net(text: str) -> tuple:
    """One network."""
    return (ipaddress.ip_network(text),)


def two_trunks(**changes: object):
    """An endpoint whose second trunk is somebody else's."""
    trunks = [Trunk("test", net("192.0.2.0/24"), **changes), Trunk("other", net("198.51.100.0/24"))]
    return make_endpoint(Trunks(trunks))


def codes(endpoint) -> list[tuple[str, str]]:
    """What was turned away, and whose it was."""
    events = [event for event in endpoint.events() if isinstance(event, Turned)]
    return [(event.code, event.trunk) for event in events]


def test_a_strangers_message_is_not_read(endpoint, monkeypatch) -> None:
    """Whatever is in it: reading is what would cost."""
    monkeypatch.setattr("callcenter.telephony.sip.endpoint.parse", None)
    for data in (request(), b"SIP/2.0 200 OK\r\n\r\n", b"\x00" * 60_000, b""):
        endpoint.receive(data, STRANGER, 0.0)
    assert codes(endpoint) == [("stranger", "")] * 4


def test_a_host_that_sends_without_end(endpoint) -> None:
    """After its burst its messages are dropped unread; a second later it is heard again."""
    trunk = Trunk("slow", net("192.0.2.0/24"), invites_per_s=1.0)
    endpoint, burst = make_endpoint(Trunks([trunk])), 2 * int(admission.LEAST_MESSAGES_PER_S)
    for number in range(burst + 50):
        endpoint.receive(request("OPTIONS", branch=f"z9hG4bK{number}"), PEER, 0.0)
    assert statuses(endpoint) == [200] * burst
    assert codes(endpoint) == [("flood", "slow")] * 50
    endpoint.receive(request("OPTIONS", branch="z9hG4bKlater"), PEER, 1.0)
    endpoint.receive(request("OPTIONS", branch="z9hG4bKelse"), Peer("udp", "192.0.2.2", 1), 0.0)
    assert statuses(endpoint) == [200, 200]


@pytest.mark.parametrize(
    "method", ["BYE", "INFO", "INVITE", "UPDATE", "REFER", "NOTIFY", "OPTIONS", "PRACK"]
)
def test_another_trunk_is_not_heard_in_a_call(method) -> None:
    """481, as if there were no such call; counted, and the call is as it was."""
    endpoint = two_trunks()
    call = answered(endpoint)
    endpoint.receive(inside(method, call.dialog.id.local_tag, "2"), OTHER, 1.0)
    assert statuses(endpoint) == [481]
    assert codes(endpoint) == [("foreign", "other")]
    assert (call.state, call.dialog.peer, call.dialog.remote_cseq) == (State.CONFIRMED, PEER, 1)


def test_another_trunk_neither_acknowledges_nor_cancels() -> None:
    """An ACK gets no answer, a CANCEL finds no INVITE; repeating one makes us repeat nothing."""
    endpoint = two_trunks()
    call = incoming(endpoint)
    endpoint.outgoing()
    endpoint.receive(request("CANCEL"), OTHER, 0.1)
    assert (statuses(endpoint), call.state) == ([481], State.RINGING)
    call.answer(LOCAL, 0.2)
    endpoint.settle(call, 0.2)
    endpoint.outgoing()
    ack = inside("ACK", call.dialog.id.local_tag, "1", branch="z9hG4bKack")
    endpoint.receive(ack, OTHER, 0.3)
    assert (endpoint.outgoing(), call.state) == ([], State.ANSWERED)
    assert ("foreign", "other") in codes(endpoint)
    endpoint.receive(request(body=OFFER), OTHER, 0.4)  # the INVITE again, by who saw it
    assert [peer.host for peer, _ in endpoint.outgoing()] == [OTHER.host]
    endpoint.receive(ack, PEER, 0.5)
    assert call.state is State.CONFIRMED


def test_an_answer_of_somebody_else_counts_nothing() -> None:
    """A response has to come from the trunk that was asked."""
    endpoint = two_trunks()
    call = answered(endpoint)
    call.press("5")
    endpoint.settle(call, 1.0)
    (info,) = [message for message in sent(endpoint) if isinstance(message, Request)]
    endpoint.receive(response_to(info, 481), OTHER, 1.1)
    assert (codes(endpoint), call.state) == ([("foreign", "other")], State.CONFIRMED)
    endpoint.receive(response_to(info, 481), Peer("udp", "192.0.2.200", 5_060), 1.2)
    assert call.state is State.ENDED


def test_a_call_over_tls_hears_nothing_plain() -> None:
    """The same trunk over UDP is as good as anybody who forges its address."""
    trunk = Trunk("test", net("192.0.2.0/24"))
    endpoint = make_endpoint(Trunks([trunk]))
    tls = Peer("tls", "192.0.2.1", 40_000)
    call = incoming(endpoint, request(body=OFFER), peer=tls)
    endpoint.outgoing()
    call.answer(LOCAL, 0.0)
    endpoint.settle(call, 0.0)
    endpoint.outgoing()
    tag = call.dialog.id.local_tag
    for transport in ("udp", "tcp"):
        plain = Peer(transport, "192.0.2.1", 5_060)
        endpoint.receive(inside("BYE", tag, "2", branch=f"z9hG4bK{transport}"), plain, 1.0)
    assert statuses(endpoint) == [481, 481]
    again = Peer("tls", "192.0.2.1", 40_001)  # the trunk has connected anew
    endpoint.receive(inside("ACK", tag, "1", branch="z9hG4bKack"), again, 1.0)
    assert (call.state, call.dialog.peer) == (State.CONFIRMED, again)


def test_a_plain_call_may_go_on_over_tcp(endpoint) -> None:
    """RFC 3261 18.1.1: a large request changes over from UDP."""
    call = answered(endpoint)
    endpoint.receive(inside("BYE", call.dialog.id.local_tag, "2"), Peer("tcp", "192.0.2.1", 7), 1.0)
    assert statuses(endpoint) == [200]


def test_an_open_trunk_has_no_hosts_but_the_calls_own(credentials) -> None:
    """Whoever logs in may call from anywhere; others from anywhere are not heard in his call."""
    trunk = Trunk("open", net("0.0.0.0/0"), credentials=credentials)
    endpoint = make_endpoint(Trunks([trunk]))
    call = logged_in(endpoint, credentials, PEER)
    call.answer(LOCAL, 0.0)
    endpoint.settle(call, 0.0)
    endpoint.outgoing()
    endpoint.receive(inside("BYE", call.dialog.id.local_tag, "2"), OTHER, 1.0)
    assert statuses(endpoint) == [481]
    assert trunk.carries(PEER, PEER)
    assert not trunk.carries(OTHER, PEER)


def logged_in(endpoint, credentials: Credentials, peer: Peer):
    """A new call of a trunk that asks for a login."""
    endpoint.receive(request(body=OFFER), peer, 0.0)
    challenge = sent(endpoint)[-1]
    asked = [value for name, value in challenge.headers if name == "www-authenticate"]
    proof = authorize(credentials, "INVITE", "sip:15550100@198.51.100.1", asked, "own") or ""
    good = request(body=OFFER, branch="z9hG4bKb", number="2", Authorization=proof)
    return incoming(endpoint, good, peer=peer)


def test_all_the_world_together_has_a_rate(credentials, monkeypatch) -> None:
    """An open trunk hears everybody, but not all at once; whoever is in a call is heard."""
    monkeypatch.setattr(admission, "NEWCOMERS_PER_S", 5.0)
    endpoint = make_endpoint(Trunks([Trunk("open", net("0.0.0.0/0"), credentials=credentials)]))
    call = logged_in(endpoint, credentials, PEER)
    endpoint.outgoing()
    for number in range(20):
        data = request("OPTIONS", branch=f"z9hG4bKo{number}")
        endpoint.receive(data, Peer("udp", f"203.0.113.{number}", 5_060), 0.0)
    assert len(statuses(endpoint)) == 8  # ten at once, two of them were the call's
    assert codes(endpoint) == [("flood", "open")] * 12
    endpoint.receive(request("CANCEL", branch="z9hG4bKb", number="2"), PEER, 0.0)
    assert call.state is State.ENDED


def test_the_trunks_own_registrar_is_no_newcomer(credentials, monkeypatch) -> None:
    """Strangers use up the time of strangers: our registrar's connection and answers are heard."""
    monkeypatch.setattr(admission, "NEWCOMERS_PER_S", 0.5)
    names = frozenset({"pbx.example.com"})
    open_to_all = Trunk("open", net("0.0.0.0/0"), credentials=credentials, names=names)
    endpoint = make_endpoint(Trunks([open_to_all]))
    asker = asked_at(endpoint, "203.0.113.9")
    for number in range(3):
        data = request("OPTIONS", branch=f"z9hG4bKo{number}")
        endpoint.receive(data, Peer("udp", f"198.51.100.{number}", 5_060), 0.0)
    assert (statuses(endpoint), asker.heard) == ([200], [])
    registrar = Peer("tcp", "pbx.example.com", 5_060)
    endpoint.receive(request("OPTIONS", branch="z9hG4bKr"), registrar, 0.0)
    assert statuses(endpoint) == [200]
    endpoint.receive(response_to(REGISTER, 200), asker.peer, 0.0)
    assert asker.heard == [200]


def test_who_has_no_login_uses_nothing_of_the_trunk_up(credentials) -> None:
    """A host's own rate bounds its questions; the next caller is let in."""
    trunk = Trunk("open", net("0.0.0.0/0"), credentials=credentials, invites_per_s=2.0)
    endpoint = make_endpoint(Trunks([trunk]))
    for number in range(20):
        data = request(body=OFFER, branch=f"z9hG4bKx{number}", Call_ID=f"x{number}")
        endpoint.receive(data, STRANGER, 0.0)
    assert statuses(endpoint) == [401] * 4 + [503] * 16
    assert codes(endpoint) == [("rate", "open")] * 16
    assert logged_in(endpoint, credentials, PEER).state is State.RINGING


def test_a_long_authorization_is_not_read(credentials) -> None:
    """It counts as none: what it says would cost."""
    endpoint = make_endpoint(credentials=credentials)
    data = request(body=OFFER, Authorization="Digest " + "a" * 12_000)
    endpoint.receive(data, PEER, 0.0)
    assert statuses(endpoint) == [401]


def test_calls_that_nobody_acknowledges_are_bounded() -> None:
    """They hold a slot for 32 s each: beyond the trunk's calls a second, new ones are refused."""
    endpoint = make_endpoint(Trunks([Trunk("test", net("192.0.2.0/24"), invites_per_s=5.0)]))
    calls = []
    for number in range(6):
        data = request(body=OFFER, branch=f"z9hG4bK{number}", Call_ID=f"c{number}")
        endpoint.receive(data, PEER, 0.1 * number)
        for event in endpoint.events():
            if isinstance(event, IncomingCall):
                event.call.answer(LOCAL, 0.1 * number)
                endpoint.settle(event.call, 0.1 * number)
                calls.append(event.call)
    assert len(calls) == 5
    assert statuses(endpoint)[-1] == 503
    ack = inside("ACK", calls[0].dialog.id.local_tag, "1", branch="z9hG4bKa", Call_ID="c0")
    endpoint.receive(ack, PEER, 1.0)
    incoming(endpoint, request(body=OFFER, branch="z9hG4bK7", Call_ID="c7"), 2.0)


def test_a_trunk_that_calls_seldom_may_call() -> None:
    """One call every ten seconds is a rate as well."""
    endpoint = make_endpoint(invites_per_s=0.1)
    incoming(endpoint)
    endpoint.outgoing()
    endpoint.receive(request(body=OFFER, branch="z9hG4bKb", Call_ID="b"), PEER, 5.0)
    assert statuses(endpoint) == [503]
    incoming(endpoint, request(body=OFFER, branch="z9hG4bKc", Call_ID="c"), 10.1)


# --- where requests of ours go --------------------------------------------------------------------


@pytest.mark.parametrize(
    "route",
    ["<sip:203.0.113.66:6379;transport=tcp;lr>", "<sip:203.0.113.66;lr>, <sip:192.0.2.5;lr>"],
)
def test_a_record_route_that_leads_away_is_refused(endpoint, route) -> None:
    """Whoever calls would have us connect to any host and port."""
    endpoint.receive(request(body=OFFER, Record_Route=route), PEER, 0.0)
    (refused,) = sent(endpoint)
    assert (refused.status, "networks of the trunk" in refused.text("reason")) == (403, True)
    assert codes(endpoint) == [("route", "test")]
    assert len(endpoint) == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Record_Route": "<sip:edge.example.com;lr>"},
        {"Record_Route": "<sip:192.0.2.5;transport=tcp;lr>, <sip:203.0.113.66;lr>"},
        {"Record_Route": "<tel:+15550100>"},
        {"Contact": "<sip:x@203.0.113.66:6379;transport=tcp>"},
        {"Contact": "<sip:x@internal.example.com:22;transport=tcp>"},
    ],
)
def test_requests_of_ours_stay_with_the_trunk(headers) -> None:
    """No name is looked up, no Contact elsewhere called: they go to where the call is from."""
    endpoint = make_endpoint(transports=frozenset({"udp"}))
    call = answered(endpoint, **headers)
    call.hang_up("hangup", 1.0)
    endpoint.settle(call, 1.0)
    ((peer, data),) = endpoint.outgoing()
    assert (parse(data).method, peer.host) == ("BYE", PEER.host)


def test_a_name_of_the_trunks_own_is_followed() -> None:
    """Its registrar's, which an admin has written down."""
    trunk = Trunk("test", net("192.0.2.0/24"), names=frozenset({"pbx.example.com"}))
    endpoint = make_endpoint(Trunks([trunk]))
    call = answered(endpoint, Record_Route="<sip:pbx.example.com;lr>")
    call.hang_up("hangup", 1.0)
    endpoint.settle(call, 1.0)
    ((peer, _),) = endpoint.outgoing()
    assert peer == Peer("udp", "pbx.example.com", 5_060)
    assert trunk.serves(Peer("tcp", "pbx.example.com", 5_060))  # over a connection of ours


def test_a_call_over_our_own_connection_to_a_registrar() -> None:
    """We know the registrar by its name: whatever its routes say, the call goes back over it."""
    names = frozenset({"pbx.example.com"})
    endpoint = make_endpoint(Trunks([Trunk("test", net("192.0.2.0/24"), names=names)]))
    ours = Peer("tcp", "pbx.example.com", 5_060)
    data = request(body=OFFER, Record_Route="<sip:203.0.113.66;lr>")
    call = incoming(endpoint, data, peer=ours)
    assert call.dialog.next_hop() == ours
    assert endpoint.uses(ours)
    assert not endpoint.uses(Peer("tcp", "192.0.2.1", 5_060))


def test_what_began_encrypted_is_not_sent_plain() -> None:
    """A Route without TLS, in the trunk's own networks: over the connection that is there."""
    endpoint = make_endpoint(Trunks([Trunk("test", net("192.0.2.0/24"))]))
    tls = Peer("tls", "192.0.2.1", 40_000)
    call = incoming(endpoint, request(body=OFFER, Record_Route="<sip:192.0.2.5;lr>"), peer=tls)
    assert call.dialog.next_hop() == tls


@pytest.mark.parametrize("route", ["nonsense", "<sip:", "<http://a>", "<sip:a:0>"])
def test_a_record_route_that_is_none(endpoint, route) -> None:
    """400 at once: a request of ours could not be sent later."""
    endpoint.receive(request(body=OFFER, Record_Route=route), PEER, 0.0)
    assert statuses(endpoint) == [400]


def test_the_route_of_an_answer_is_not_followed_elsewhere() -> None:
    """A call of ours: its BYE goes to the trunk, whatever the 200 says."""
    trunk = Trunk("test", net("192.0.2.0/24"))
    endpoint = make_endpoint(Trunks([trunk]))
    call = endpoint.dial(parse_uri("sip:1@192.0.2.1"), "me", PEER, trunk, LOCAL, 0.0)
    (invite,) = sent(endpoint)
    evil = {
        "To": "<sip:1@192.0.2.1>;tag=x",
        "Record_Route": "<sip:203.0.113.66:1;transport=tcp;lr>",
    }
    text = response_to(invite, 200, OFFER, Content_Type="application/sdp", **evil)
    endpoint.receive(text.replace(b"to: <sip:1@192.0.2.1>\r\n", b""), PEER, 1.0)
    assert call.state is State.CONFIRMED
    assert [peer for peer, _ in endpoint.outgoing()] == [PEER]  # the ACK


@pytest.mark.parametrize("target", ["sip:1@203.0.113.66:22;transport=tcp", "sips:1@db.internal"])
def test_whom_we_call_for_a_transfer_is_called_over_the_trunk(endpoint, target) -> None:
    """The INVITE goes to where the caller's call came from, whatever its target names."""
    trunk = Trunk("test", net("192.0.2.0/24"))
    endpoint.dial(parse_uri(target), "+1555 \u5e97>", PEER, trunk, LOCAL, 0.0)
    ((peer, data),) = endpoint.outgoing()
    assert peer == PEER
    assert parse(data).from_.uri.user == "+1555%20%E5%BA%97%3E"  # nothing breaks out of the URI


# --- responses of hosts that are no trunk's -------------------------------------------------------


class Asker:
    """Sends one request to a registrar, and hears what comes."""

    def __init__(self, peer: Peer) -> None:
        self.peer, self.heard = peer, []

    def receive_response(self, request, response, now) -> None:
        self.heard.append(response.status)

    def outputs(self) -> list:
        return []

    def next_timer(self) -> None:
        return None


REGISTER = parse(request("REGISTER", Via="SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKours"))


def asked_at(endpoint, host: str) -> Asker:
    """A registrar has our REGISTER."""
    asker = Asker(Peer("udp", host, 5_060))
    endpoint._transactions.ask(REGISTER, asker.peer, asker, 0.0)
    endpoint.outgoing()
    return asker


@pytest.mark.parametrize(
    ("asked", "answers", "heard"),
    [
        ("203.0.113.9", "203.0.113.9", [200]),
        ("203.0.113.9", "203.0.113.10", []),
        ("pbx.example.com", "203.0.113.9", [200]),
    ],
)
def test_only_whom_we_have_asked_may_answer(endpoint, asked, answers, heard) -> None:
    """By its address; a host that we know by name, by the branch that it was sent."""
    asker, peer = asked_at(endpoint, asked), Peer("udp", answers, 5_060)
    guessed = response_to(REGISTER, 200).replace(b"z9hG4bKours", b"z9hG4bKguess")
    endpoint.receive(guessed, peer, 0.1)
    assert asker.heard == []
    endpoint.receive(response_to(REGISTER, 200), peer, 0.1)
    assert asker.heard == heard
    endpoint.handle_timer(100.0)
    endpoint.receive(response_to(REGISTER, 200), peer, 100.0)
    assert codes(endpoint)[-1] == ("stranger", "")  # nothing is asked any more
    assert isinstance(parse(guessed), Response)
