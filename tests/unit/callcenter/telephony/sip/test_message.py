"""Messages: reading and writing."""

import pytest

from callcenter.errors import MessageTooLarge, ProtocolError
from callcenter.telephony.sip.message import (
    Response,
    one_line,
    parse,
    reply,
)
from tests.unit.callcenter.telephony.sip.conftest import request


def test_what_is_read_is_written() -> None:
    """Header values and body come back as they were."""
    data = request(body="v=0\r\n", Subject="gr\u00fc\u00df")
    again = parse(parse(data).encode())
    assert again.text("subject") == "gr\u00fc\u00df"
    assert again.body == b"v=0\r\n"
    assert again.call_id == "call-1@192.0.2.1"


def test_bytes_that_are_no_text_pass_through() -> None:
    """RFC 4475 3.1.1.2: any octet may stand in a header."""
    data = request(Subject="X").replace(b"Subject: X", b"Subject: \xff\xfe")
    assert b"\xff\xfe" in parse(data).encode()


def test_compact_names() -> None:
    """RFC 3261 7.3.3."""
    data = request().replace(b"Call-ID:", b"i:").replace(b"Contact:", b"m:")
    message = parse(data)
    assert message.call_id == "call-1@192.0.2.1"
    assert message.contact is not None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 40,
        b"INVITE sip:a@b SIP/2.0\r\n",  # no end of headers
        b"INVITE sip:a@b SIP/2.0\r\nno colon\r\n\r\n",
        b"INVITE sip:a@b HTTP/1.1\r\n\r\n",
        b"SIP/2.0 20000 OK\r\n\r\n",
        b"SIP/2.0 200 OK\r\nContent-Length: 9\r\n\r\nshort",
    ],
)
def test_what_cannot_be_answered(data) -> None:
    """Dropped, with the reason for the log."""
    with pytest.raises(ProtocolError):
        parse(data)


def test_limits() -> None:
    """Size and number of headers."""
    with pytest.raises(MessageTooLarge):
        parse(b"A" * 70_000)
    with pytest.raises(MessageTooLarge):
        parse(b"OPTIONS sip:a@b SIP/2.0\r\n" + b"X: y\r\n" * 300 + b"\r\n")


def test_a_reply_copies_what_it_must() -> None:
    """Via, From, To with our tag, Call-ID, CSeq."""
    response = reply(parse(request()), 404, to_tag="mine")
    assert isinstance(response, Response)
    assert response.reason == "Not Found"
    assert response.to.param("tag") == "mine"
    assert response.via.branch == "z9hG4bKa1"
    tagged = reply(parse(request(To="<sip:a@b>;tag=theirs")), 200, to_tag="mine")
    assert tagged.to.param("tag") == "theirs"


def test_nothing_breaks_out_of_a_header() -> None:
    """Text from outside that goes into one of our headers."""
    assert one_line('a\r\nEvil: 1"\\') == "aEvil: 1"
