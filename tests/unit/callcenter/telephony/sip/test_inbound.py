"""What an INVITE says of its caller, as everybody behind this door sees it."""

import random

import pytest

from callcenter.gateway.sip import call_name
from callcenter.gateway.sip import incoming as seen
from callcenter.telephony.sip.endpoint_events import IncomingCall
from callcenter.telephony.sip.parties import (
    MAX_ATTRIBUTE_CHARS,
    MAX_ATTRIBUTES,
    MAX_NUMBER_CHARS,
    READ,
)
from callcenter.telephony.sip.trunk import Trunk
from tests.unit.callcenter.telephony.sip.conftest import OFFER, PEER, incoming, request, statuses

ODD = [b"\xff", b"\x00", b"\x1b[31m", b"\xed\xb3\xbf", b"\xe2\x80\xae", b"\x7f", b"\xf4"]


def texts(call) -> list[str]:
    """All that leaves, whoever is believed."""
    known, open_to_all = (seen(call, Trunk("test", (), trust_identity=by)) for by in (True, False))
    told = [known.called, known.caller, open_to_all.caller, call_name(call)]
    return [*told, *known.headers, *known.headers.values()]


@pytest.mark.parametrize("odd", ODD)
def test_odd_bytes_do_not_leave(endpoint, odd) -> None:
    """No lone surrogate, no NUL, no control or direction character; what is left can be stored."""
    data = request(
        body=OFFER,
        uri="sip:1555ODD0100@198.51.100.1",
        From='"ODD" <sip:15ODD55@192.0.2.1>;tag=from1',
        Call_ID="idODD",
        X_Note="a ODD b",
    )
    call = incoming(endpoint, data.replace(b"ODD", odd))
    for text in texts(call):
        assert text.isprintable()
        text.encode()
    assert call.caller not in ("", "1555")  # not the number of somebody else
    assert call.called.startswith("1555")


@pytest.mark.parametrize("odd", [*ODD, b"%00", b"%0d%0a"])
@pytest.mark.parametrize("header", [name for name in READ if name != "privacy"])
def test_odd_bytes_in_what_networks_tell(endpoint, header, odd) -> None:
    """The same for who calls by the network's word, and who sent the call on."""
    named = '"ODD" <sip:15ODD55@192.0.2.1>;reason="uODDk"'
    call = incoming(endpoint, request(body=OFFER, **{header: named}).replace(b"ODD", odd))
    assert any("15" in text and "55" in text for text in call.attributes().values())
    for text in texts(call):
        assert text.isprintable()
        text.encode()


@pytest.mark.parametrize("header", READ)
def test_a_header_of_more_values_than_any_has(endpoint, header) -> None:
    """Refused at once with 400; the call's own task never meets it."""
    endpoint.receive(request(body=OFFER, **{header: "<tel:+1>," * 300}), PEER, 0.0)
    assert statuses(endpoint) == [400]
    assert not any(isinstance(event, IncomingCall) for event in endpoint.events())


def test_plain_text_leaves_as_it_came(endpoint) -> None:
    """Also where it is not ASCII."""
    data = request(
        body=OFFER, From="<sip:+15550142@192.0.2.1>;tag=from1", X_Note="gr\u00fc\u00df dich"
    )
    call = incoming(endpoint, data)
    assert (call.caller, call.called) == ("+15550142", "15550100")
    assert call.attributes() == {"x-note": "gr\u00fc\u00df dich"}


def test_text_without_end(endpoint) -> None:
    """Every piece has a bound, and so has their number."""
    many = "".join(f"X-{number}: y\r\n" for number in range(100))
    data = request(
        body=OFFER,
        uri=f"sip:{'1' * 5_000}@198.51.100.1",
        From=f"<sip:{'2' * 5_000}@192.0.2.1>;tag=from1",
        X_Long="z" * 5_000,
    ).replace(b"CSeq:", many.encode() + b"CSeq:")
    call = incoming(endpoint, data)
    assert (len(call.called), len(call.caller)) == (MAX_NUMBER_CHARS, MAX_NUMBER_CHARS)
    assert len(call.attributes()) == MAX_ATTRIBUTES
    assert max(map(len, call.attributes().values())) <= MAX_ATTRIBUTE_CHARS


def test_random_bytes(endpoint) -> None:
    """A thousand calls with anything in their names."""
    chance = random.Random(3_261)
    for number in range(1_000):
        odd = bytes(chance.choice(b'\x00\x07\x80\xc3\xed\xff 1+<\\"%;=') for _ in range(8))
        data = request(
            body=OFFER, branch=f"z9hG4bK{number}", Call_ID=f"c{number}", X_A="ODD",
            From="<sip:15ODD@192.0.2.1>;tag=from1",
        ).replace(b"ODD", odd)  # fmt: skip
        endpoint.receive(data, PEER, float(number))
        for event in endpoint.events():
            if hasattr(event, "call"):
                assert all(text.isprintable() for text in texts(event.call))
                event.call.refuse(486, "busy")
                endpoint.settle(event.call, float(number))
        endpoint.outgoing()
