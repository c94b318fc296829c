"""Registration: proof, refresh, back-off, leaving."""

from dataclasses import replace

import pytest

from callcenter.telephony.sip.auth import parse_digest
from callcenter.telephony.sip.call_events import Ask
from callcenter.telephony.sip.message import Request, Response, reply
from callcenter.telephony.sip.registration import Account, Registration, Standing
from callcenter.telephony.sip.uri import Peer, parse_uri

CONTACT = "<sip:alice@198.51.100.1:5060>"


@pytest.fixture
def registration(credentials) -> Registration:
    """Due at once."""
    registrar = parse_uri("sip:pbx.example.com")
    account = Account(
        registrar,
        Peer("udp", "192.0.2.1", 5060),
        parse_uri("sip:alice@pbx.example.com"),
        CONTACT,
        credentials,
    )
    return Registration(account, "call", "tag", 0.0)


def asked(registration: Registration) -> Request:
    """The one REGISTER that went out."""
    (output,) = registration.outputs()
    assert isinstance(output, Ask)
    output.request.headers.insert(0, ("via", "SIP/2.0/UDP x;branch=z9hG4bK1"))
    return output.request


def answer(registration, request, status: int, now: float = 0.0, **headers: str) -> None:
    """The registrar's response."""
    response: Response = reply(request, status)
    for name, value in headers.items():
        response.add(name.replace("_", "-"), value)
    registration.receive_response(request, response, now)


CHALLENGE = 'Digest realm="pbx", nonce="n", algorithm=SHA-256, qop="auth"'


def test_challenged_and_registered(registration) -> None:
    """The second REGISTER proves the password with the next CSeq; the refresh comes in time."""
    registration.handle_timer(0.0)
    first = asked(registration)
    answer(registration, first, 401, www_authenticate=CHALLENGE)
    second = asked(registration)
    assert second.cseq == (2, "REGISTER")
    values = parse_digest(second.text("authorization"))
    assert values is not None
    assert values["username"] == "alice"
    other = "<sip:bob@203.0.113.1>;expires=9"
    answer(registration, second, 200, 1.0, contact=f"{other}, {CONTACT};expires=120")
    assert registration.standing is Standing.REGISTERED
    assert registration.next_timer() == pytest.approx(1.0 + 90.0)
    registration.handle_timer(91.0)
    refresh = asked(registration)
    assert refresh.cseq == (3, "REGISTER")
    newer = CHALLENGE.replace('"n"', '"m"') + ", stale=true"
    answer(registration, refresh, 401, 91.0, www_authenticate=newer)
    assert 'nonce="m"' in asked(registration).text("authorization")


def test_a_wrong_password_is_not_hammered(registration) -> None:
    """One proof a try; the tries come further and further apart, up to five minutes."""
    now, waits = 0.0, []
    for _ in range(10):
        registration.handle_timer(now)
        answer(registration, asked(registration), 401, now, www_authenticate=CHALLENGE)
        answer(registration, asked(registration), 401, now, www_authenticate=CHALLENGE)
        assert registration.outputs() == []
        waits.append(registration.next_timer() - now)
        now = registration.next_timer()
    assert registration.standing is Standing.REFUSED
    assert waits[:3] == [2.0, 4.0, 8.0]
    assert waits[-1] == 300.0


@pytest.mark.parametrize(("status", "standing"), [(408, "unreachable"), (403, "refused")])
def test_other_failures(registration, status, standing) -> None:
    """Tried again, not before Retry-After."""
    registration.handle_timer(0.0)
    answer(registration, asked(registration), status, retry_after="60")
    assert registration.standing.value == standing
    assert registration.next_timer() == 60.0


def test_a_challenge_of_an_unknown_kind(registration) -> None:
    """Refused, without an answer."""
    registration.handle_timer(0.0)
    answer(registration, asked(registration), 401, www_authenticate="Negotiate x")
    assert registration.standing is Standing.REFUSED
    assert registration.outputs() == []


def test_a_longer_interval_is_accepted(registration) -> None:
    """423 with Min-Expires (RFC 3261 10.3)."""
    registration.handle_timer(0.0)
    answer(registration, asked(registration), 423, min_expires="3600")
    assert asked(registration).text("expires") == "3600"


def test_leaving(registration) -> None:
    """Expires 0, also through a challenge, and then nothing more."""
    registration.handle_timer(0.0)
    answer(registration, asked(registration), 200, expires="300")
    registration.leave()
    first = asked(registration)
    assert first.text("expires") == "0"
    answer(registration, first, 401, www_authenticate=CHALLENGE)
    second = asked(registration)
    assert second.text("expires") == "0"
    answer(registration, second, 200)
    assert registration.standing is Standing.UNKNOWN
    assert registration.next_timer() is None


def test_other_terms_for_the_same_binding(registration, credentials) -> None:
    """Registers at once with the new password, under the same Call-ID and the next CSeq."""
    registration.handle_timer(0.0)
    answer(registration, asked(registration), 403, 1.0)
    account = registration._account
    registration.change(replace(account, credentials=replace(credentials, password="new")), 1.0)
    assert registration.next_timer() == 1.0
    registration.handle_timer(1.0)
    first = asked(registration)
    assert (first.cseq, first.text("call-id")) == ((2, "REGISTER"), "call")
    answer(registration, first, 401, 1.0, www_authenticate=CHALLENGE)
    answer(registration, asked(registration), 200, 1.0)
    assert registration.standing is Standing.REGISTERED


URN = "urn:uuid:00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("contacts", "granted_s"),
    [
        ("<sip:alice@198.51.100.1:5060>;expires=60", 60),
        ("<sip:alice@198.51.100.1>;expires=60", 60),
        ('<SIP:alice@198.51.100.1>;Expires="60"', 60),
        ("<sip:alice@198.51.100.1:5060;transport=UDP>;q=0.5;expires=60", 60),
        ("<sip:alice@203.0.113.9:41234>;expires=60", 60),
        ("sip:bob@203.0.113.9:41234;expires=60", 60),  # the only one there is
        ("<sip:bob@203.0.113.9>;expires=20, <sip:alice@203.0.113.9:41234>;expires=60", 60),
        ("<sip:alice@203.0.113.9>;expires=20, <sip:alice@198.51.100.1>;expires=60", 60),
        ("<sip:alice@203.0.113.8>;expires=60, <sip:alice@203.0.113.9>;expires=90", 60),
        (f'<sip:x@y>;+sip.instance="<{URN}>";expires=60, {CONTACT};expires=20', 60),
        (f'<sip:x@y>;+SIP.INSTANCE="<{URN.upper()}>";expires=60, <sip:z@y>', 60),
        ("<sip:bob@203.0.113.8>;expires=20, <sip:carol@203.0.113.9>;expires=30", 120),
        ("nonsense", 120),
        ("<sip:alice@198.51.100.1:5060>", 120),
        ("<sip:alice@198.51.100.1:5060>;expires=1", 10),
    ],
)
def test_a_registrar_that_writes_our_contact_its_own_way(registration, contacts, granted_s) -> None:
    """Ours by instance, address, user, or as the only one; else the Expires header counts."""
    registration._account = replace(registration._account, instance=URN)
    registration.handle_timer(0.0)
    first = asked(registration)
    assert first.text("contact") == f'{CONTACT};+sip.instance="<{URN}>"'
    answer(registration, first, 200, 1.0, contact=contacts, expires="120")
    due = 1.0 + max(granted_s - 30.0, granted_s / 2)
    assert registration.next_timer() == pytest.approx(due)


def test_by_a_proxy_and_with_a_service_route(registration) -> None:
    """REGISTER goes over the proxy (RFC 3261 8.1.2); calls of ours as the registrar says."""
    registration._account = replace(registration._account, routes=("<sip:edge.example.com;lr>",))
    registration.handle_timer(0.0)
    first = asked(registration)
    assert first.listed("route") == ["<sip:edge.example.com;lr>"]
    assert first.uri_text == "sip:pbx.example.com"
    assert "path" in first.tokens("supported")
    routes = "<sip:orig@s.example.com;lr>, <sip:t.example.com;lr>"
    answer(registration, first, 200, service_route=routes)
    assert registration.service_route == ("<sip:orig@s.example.com;lr>", "<sip:t.example.com;lr>")
    assert registration.routes == ("<sip:edge.example.com;lr>", *registration.service_route)
    registration.handle_timer(registration.next_timer())
    answer(registration, asked(registration), 200, service_route="<nonsense>")
    assert registration.service_route == ()
