"""URIs, addresses and Via values."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcenter.errors import MessageTooLarge, ProtocolError
from callcenter.telephony.sip.uri import (
    MAX_VALUES,
    NameAddr,
    Peer,
    first_value,
    parse_name_addr,
    parse_params,
    parse_uri,
    parse_via,
    quoted,
    split_unquoted,
    unescape,
)


@pytest.mark.parametrize(
    "text",
    [
        "sip:alice@example.com",
        "sip:+15550100@192.0.2.1:5080;transport=tcp;lr",
        "sips:bob@[2001:db8::1]:5061",
        "sip:192.0.2.1",
        "tel:+15550100;phone-context=example.com",
        "sip:user;par=u%40example.net@example.com",
        "sip:alice@example.com?Replaces=a%3Bb",
    ],
)
def test_what_is_read_is_written(text) -> None:
    """A round trip changes nothing."""
    assert str(parse_uri(text)) == text


def test_parts_of_a_uri() -> None:
    """User, host, port, parameters and where it leads."""
    uri = parse_uri("SIP:Alice@EXAMPLE.com:5080;Transport=TCP;lr")
    assert (uri.user, uri.host, uri.port) == ("Alice", "example.com", 5080)
    assert uri.param("lr") == ""
    assert uri.param("maddr") is None
    assert uri.peer() == Peer("tcp", "example.com", 5080)
    assert parse_uri("sips:a@example.com").peer() == Peer("tls", "example.com", 5061)
    assert parse_uri("sip:a@[::1]").peer() == Peer("udp", "::1", 5060)


@pytest.mark.parametrize(
    "text",
    [
        *("", "http://example.com", "sip:", "sip:a@", "sip:a@b:99999", "sip:a@b:0", "nonsense"),
        *("tel:+15550100@example.com", "tel:1;a=b@c", "sip:@b;x=c@d"),
    ],
)
def test_what_is_no_uri(text) -> None:
    """A clear error."""
    with pytest.raises(ProtocolError):
        parse_uri(text)


def test_addresses() -> None:
    """Display names with anything in quotes; parameters belong to the header without <>."""
    address = parse_name_addr('"A, <B>; \\"C\\"" <sip:a@b;lr>;tag=1;x="y;z"')
    assert address.uri.user == "a"
    assert address.uri.param("lr") == ""
    assert address.param("tag") == "1"
    assert parse_name_addr("sip:a@b;tag=2").param("tag") == "2"
    assert parse_name_addr("<sip:a@b>").tagged("t").param("tag") == "t"
    assert parse_name_addr("<sip:a@b>;tag=k").tagged("t").param("tag") == "k"
    with pytest.raises(ProtocolError):
        parse_name_addr("<sip:a@b")


def test_via_is_stamped_with_where_it_came_from() -> None:
    """RFC 3581 4."""
    via = parse_via("SIP / 2.0 / UDP 10.0.0.1:5070 ;branch=z9hG4bKx;rport")
    stamped = via.stamped(Peer("udp", "203.0.113.7", 40_000))
    assert stamped.params == {"branch": "z9hG4bKx", "rport": "40000", "received": "203.0.113.7"}
    assert stamped.sent_by == via.sent_by == "10.0.0.1:5070"
    plain = parse_via("SIP/2.0/TCP 192.0.2.1;branch=1").stamped(Peer("tcp", "192.0.2.1", 5))
    assert str(plain) == "SIP/2.0/TCP 192.0.2.1;branch=1"


@pytest.mark.parametrize("text", ["", "SIP/2.0/UDP", "SIP/2.0/UDP h:99999;branch=1", "HTTP/1.1 h"])
def test_what_is_no_via(text) -> None:
    """A port over 65535 is an error here, long before a socket sees it."""
    with pytest.raises(ProtocolError):
        parse_via(text)


def test_lists_and_parameters() -> None:
    """Neither quotes nor <> are split."""
    assert split_unquoted('a,"b,c",<d,e>', ",") == ["a", '"b,c"', "<d,e>"]
    assert parse_params(";A=1;b; c = 2 ;") == (("a", "1"), ("b", ""), ("c", "2"))
    assert unescape("a%40b%zz") == "a@b%zz"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ('"Bob \\"B\\"" <sip:a@b>', 'Bob "B"'),
        ('"Bob\\\\" <sip:a@b>', "Bob\\"),
        ('"A, <sip:x@y>; C" <sip:a@b>', "A, <sip:x@y>; C"),
        ("Bob B <sip:a@b>", "Bob B"),
        ("Bob<sip:a@b>", "Bob"),
        ("  Bob,\tJr.  < sip:a@b >".replace("< ", "<").replace(" >", ">"), "Bob,\tJr."),
        ('"Jos\u00e9" <sip:a@b>', "Jos\u00e9"),
        ('"Bob <sip:a@b>', "Bob"),
        ('Bob" <sip:a@b>', "Bob"),
        ('Bob "B" Q <sip:a@b>', 'Bob "B" Q'),
        ('"" <sip:a@b>', ""),
        ('O"Neil <sip:a@b>', 'O"Neil'),
    ],
)
def test_display_names(written, name) -> None:
    """As the sender meant it; written again it is a quoted-string that reads as the same name."""
    address = parse_name_addr(f"{written};tag=1")
    assert (address.display, address.uri.user, address.param("tag")) == (name, "a", "1")
    again = parse_name_addr(str(address))
    assert again == address
    assert str(again).startswith(quoted(name) if name else "<")


def test_quotes_that_leave_it_open_who_is_meant() -> None:
    """Two addresses behind a quote that is never closed (RFC 4475 3.1.2.6)."""
    with pytest.raises(ProtocolError):
        parse_name_addr('"Bob <sip:a@b> <sip:c@d>')


def test_parameters_with_quotes_come_back_with_them() -> None:
    """What needs quotes has them again; a line cannot be ended by one."""
    text = '<sip:a@b>;tag=1;x="y;z \\"q\\"";reason=token'
    assert str(parse_name_addr(text)) == text
    assert quoted("a\r\nb") == '"ab"'


def test_what_cannot_be_written_as_it_was_read_is_left_out() -> None:
    """A quote in a parameter's name, a NUL in a display name."""
    odd = parse_name_addr('"\0" <sip:a@b>;x"y=1;tag=2')
    assert str(odd) == "<sip:a@b>"
    assert str(parse_name_addr("<sip:a@b>;a<b=1;tag=2")) == "<sip:a@b>"
    assert parse_params(";a\\b=1;tag=2") == (("tag", "2"),)


def test_maddr_and_telephone_parameters() -> None:
    """Where a request goes, and what is dialled."""
    assert parse_uri("sip:a@b.example;MADDR=192.0.2.9").peer() == Peer("udp", "192.0.2.9", 5060)
    assert parse_uri("tel:555-0100;phone-context=+1").telephone == "555-0100;phone-context=+1"
    assert str(parse_uri("sip:b.example").over("tcp")) == "sip:b.example;transport=tcp"
    assert str(parse_uri("sip:b.example").over("udp")) == "sip:b.example"
    assert str(parse_uri("sips:b.example").over("tls")) == "sips:b.example"
    assert parse_uri("sip:+1555;npdi@b;user=phone").telephone == "+1555;npdi"


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ('"a,b" <c,d>;x="e,f", g', ['"a,b" <c,d>;x="e,f"', " g"]),
        ('"a\\",b",c', ['"a\\",b"', "c"]),
        ('"never closed, a', ['"never closed, a']),
        ("<never closed, a", ["<never closed, a"]),
        ('<"in >, both", a>,b', ['<"in >, both", a>', "b"]),
        (",<>,", ["", "<>", ""]),
    ],
)
def test_what_a_comma_does_not_split(text, pieces) -> None:
    """Quotes with escapes, angles, quotes in angles; what is never closed goes to the end."""
    assert split_unquoted(text, ",") == pieces
    assert first_value(text) == pieces[0].strip()


@pytest.mark.parametrize("piece", ["a,", "<a>,", '"a",'])
def test_more_values_than_anybody_writes(piece) -> None:
    """An error; the first of them is read all the same."""
    assert len(split_unquoted(piece * (MAX_VALUES - 1), ",")) == MAX_VALUES
    with pytest.raises(MessageTooLarge):
        split_unquoted(piece * MAX_VALUES, ",")
    assert first_value(piece * MAX_VALUES) == piece[:-1]


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_name_and_any_parameter_come_back(name, value) -> None:
    """Whatever stands in them; what could end a line is left out."""
    written = str(NameAddr(parse_uri("sip:a@b"), name, (("tag", "1"), ("x", value))))
    assert "\r" not in written
    assert "\n" not in written
    again = parse_name_addr(written)
    assert (again.uri.user, again.param("tag")) == ("a", "1")
    assert str(again) == str(parse_name_addr(str(again)))


@given(st.text(st.sampled_from('"\\<>;=, sip:a@btg1\t'), max_size=40))
def test_no_text_breaks_the_reader(text) -> None:
    """It is read, or refused with the one error that callers know."""
    with contextlib.suppress(ProtocolError):
        str(parse_name_addr(text))
