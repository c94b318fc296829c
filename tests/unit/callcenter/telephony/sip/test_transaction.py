"""Transactions: every timer of RFC 3261 17, and two ends against each other with loss."""

import random

import pytest

from callcenter.telephony.sip.message import Request, Response, parse, reply
from callcenter.telephony.sip.transaction import (
    ClientTransaction,
    ServerTransaction,
    State,
    server_key,
)
from callcenter.telephony.sip.uri import Peer
from tests.unit.callcenter.telephony.sip.conftest import PEER, request

TCP = Peer("tcp", "192.0.2.1", 5060)


def a_request(method: str = "INVITE") -> Request:
    """A parsed request."""
    message = parse(request(method))
    assert isinstance(message, Request)
    return message


def fire_all(transaction, until: float) -> list[float]:
    """Lets time pass; when something was sent."""
    sent = []
    while (due := transaction.next_timer()) is not None and due <= until:
        transaction.handle_timer(due)
        sent += [round(due, 3)] * len(transaction.messages_to_send())
    return sent


def test_an_invite_is_repeated_until_it_rings() -> None:
    """Timer A doubles; B gives up after 32 s."""
    client = ClientTransaction(a_request(), PEER, 0.0)
    assert len(client.messages_to_send()) == 1
    assert fire_all(client, 40.0) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert client.timed_out
    assert client.state is State.TERMINATED


def test_a_request_is_repeated_every_four_seconds_at_most() -> None:
    """Timer E is capped by T2, and after a provisional response it is T2; F gives up."""
    client = ClientTransaction(a_request("BYE"), PEER, 0.0)
    client.messages_to_send()
    assert fire_all(client, 12.0) == [0.5, 1.5, 3.5, 7.5, 11.5]
    client.receive(reply(a_request("BYE"), 100), 12.0)
    assert fire_all(client, 40.0)[0] == 15.5
    assert client.timed_out


def test_a_stream_repeats_nothing() -> None:
    """TCP and TLS repeat by themselves."""
    for method in ("INVITE", "BYE"):
        client = ClientTransaction(a_request(method), TCP, 0.0)
        client.messages_to_send()
        assert fire_all(client, 31.0) == []


def test_a_ringing_invite_waits() -> None:
    """After 180 neither A nor B runs."""
    client = ClientTransaction(a_request(), PEER, 0.0)
    assert client.receive(reply(a_request(), 180), 1.0)
    assert client.next_timer() is None


def test_a_refusal_is_acknowledged_every_time() -> None:
    """The ACK has the INVITE's branch; D keeps the transaction for copies."""
    client = ClientTransaction(a_request(), PEER, 0.0)
    client.messages_to_send()
    refusal = reply(a_request(), 486, to_tag="t")
    assert client.receive(refusal, 1.0)
    (ack,) = client.messages_to_send()
    message = parse(ack)
    assert isinstance(message, Request)
    assert message.method == "ACK"
    assert message.via.branch == "z9hG4bKa1"
    assert message.to.param("tag") == "t"
    assert not client.receive(refusal, 2.0)
    assert client.messages_to_send() == [ack]
    assert fire_all(client, 40.0) == []
    assert client.state is State.TERMINATED
    assert not client.timed_out


def test_copies_of_a_request_get_the_same_answer() -> None:
    """The owner never hears of them."""
    server = ServerTransaction(a_request("OPTIONS"), PEER, 0.0)
    server.receive(a_request("OPTIONS"), 0.1)
    assert server.messages_to_send() == []
    server.respond(reply(server.request, 200), 0.2)
    (answer,) = server.messages_to_send()
    server.receive(a_request("OPTIONS"), 0.7)
    assert server.messages_to_send() == [answer]
    server.respond(reply(server.request, 500), 0.8)
    assert server.messages_to_send() == []
    fire_all(server, 40.0)
    assert server.state is State.TERMINATED


def test_a_refusal_is_repeated_until_its_ack() -> None:
    """G doubles up to T2; the ACK stops it; I lets the transaction go."""
    server = ServerTransaction(a_request(), PEER, 0.0)
    server.respond(reply(server.request, 486), 0.0)
    server.messages_to_send()
    assert fire_all(server, 4.0) == [0.5, 1.5, 3.5]
    server.receive(a_request("ACK"), 4.0)
    assert server.state is State.CONFIRMED
    assert fire_all(server, 20.0) == []
    assert server.state is State.TERMINATED
    assert not server.failed


def test_a_refusal_that_nobody_acknowledges() -> None:
    """H gives up after 32 s."""
    server = ServerTransaction(a_request(), PEER, 0.0)
    server.respond(reply(server.request, 486), 0.0)
    server.messages_to_send()
    assert len(fire_all(server, 33.0)) == 10
    assert server.failed


def test_an_accepted_invite_stays_for_copies() -> None:
    """RFC 6026: a copy gets the 2xx again; the transaction itself repeats nothing."""
    server = ServerTransaction(a_request(), PEER, 0.0)
    server.respond(reply(server.request, 200), 0.0)
    (answer,) = server.messages_to_send()
    server.receive(a_request(), 1.0)
    assert server.messages_to_send() == [answer]
    assert fire_all(server, 31.0) == []
    fire_all(server, 33.0)
    assert server.state is State.TERMINATED


def test_what_nobody_answers_does_not_stay() -> None:
    """A bound on memory."""
    server = ServerTransaction(a_request("INFO"), PEER, 0.0)
    fire_all(server, 100.0)
    assert server.state is State.TERMINATED


def test_keys() -> None:
    """ACK finds its INVITE, CANCEL has a key of its own, RFC 2543 peers are told apart by CSeq."""
    assert server_key(a_request()) == server_key(a_request("ACK"))
    assert server_key(a_request()) != server_key(a_request("CANCEL"))
    old = parse(request(branch="1"))
    newer = parse(request(branch="1", number="2"))
    assert isinstance(old, Request)
    assert isinstance(newer, Request)
    assert server_key(old) != server_key(newer)


@pytest.mark.parametrize("seed", range(8))
def test_two_ends_with_heavy_loss(seed) -> None:
    """Every third message is lost; the answer arrives all the same, once."""
    chance, now = random.Random(seed), 0.0
    client = ClientTransaction(a_request("BYE"), PEER, now)
    server: ServerTransaction | None = None
    news = 0
    while client.state is not State.TERMINATED and now < 60:
        for data in client.messages_to_send():
            if chance.random() < 0.33:
                continue
            message = parse(data)
            assert isinstance(message, Request)
            if server is None:
                server = ServerTransaction(message, PEER, now)
                server.respond(reply(message, 200), now)
            else:
                server.receive(message, now)
        for data in server.messages_to_send() if server else []:
            if chance.random() < 0.33:
                continue
            message = parse(data)
            assert isinstance(message, Response)
            news += client.receive(message, now)
        timers = [t.next_timer() for t in (client, server) if t is not None]
        now = min((t for t in timers if t is not None), default=60.0)
        client.handle_timer(now)
        if server is not None:
            server.handle_timer(now)
    assert news == 1
    assert not client.timed_out
