"""Messages: reading, refusing, writing; after the sections of RFC 4475."""

import pytest

from callcenter.errors import MessageTooLarge, ProtocolError
from callcenter.telephony.sip.message import (
    BadRequest,
    Request,
    Response,
    StreamSplitter,
    check,
    one_line,
    parse,
    reply,
)
from tests.unit.callcenter.telephony.sip.conftest import request

# RFC 4475 3.1.1.1, in the same spirit: odd case, folding, compact names, spaces, lists.
TORTUOUS = (
    b"INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\r\n"
    b"TO :\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\r\n"
    b'from   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8\r\n'
    b"MaX-fOrWaRdS: 0068\r\nCall-ID: wsinv.ndaksdj@192.0.2.1\r\nCSeq: 0009\r\n  INVITE\r\n"
    b"Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw\r\ns :\r\n"
    b"NewFangledHeader:   newfangled value\r\n continued newfangled value\r\n"
    b"v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n"
    b" SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239\r\n"
    b'm:"Quoted string \\"\\"" <sip:jdrosen@example.com> ; newparam =\r\n      newvalue ;\r\n'
    b"  secondparam ; q = 0.33\r\nl: 0\r\n\r\n"
)


def test_a_short_tortuous_invite() -> None:
    """RFC 4475 3.1.1.1: legal, if nothing one would write."""
    message = parse(TORTUOUS)
    assert isinstance(message, Request)
    check(message)
    assert message.cseq == (9, "INVITE")
    assert len(message.listed("via")) == 3
    assert message.from_.param("tag") == "98asjd8"
    assert message.contact is not None
    assert message.contact.uri.user == "jdrosen"


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
    ("changes", "status"),
    [
        ({"Call_ID": ""}, 400),
        ({"From": "<sip:a@b>"}, 400),  # no tag
        ({"Contact": ""}, 400),
        ({"Contact": "<http://a@b>"}, 400),
        ({"CSeq": "1 OPTIONS"}, 400),  # RFC 4475 3.1.2.17
        ({"CSeq": "36893488147419103232 INVITE"}, 400),  # 3.1.2.4
        ({"CSeq": "x INVITE"}, 400),
        ({"Max_Forwards": "300"}, 400),
        ({"To": '"Mr. J. User <sip:j.user@example.com>'}, 400),  # 3.1.2.6
        ({"uri": "nobodyKnowsThisScheme:totallyopaquecontent"}, 416),  # 3.3.2
    ],
)
def test_requests_that_are_refused(changes, status) -> None:
    """Each with its status, so that it can be answered."""
    message = parse(request(**changes))
    with pytest.raises(BadRequest) as refused:
        check(message)
    assert refused.value.status == status


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 40,
        b"INVITE sip:a@b SIP/2.0\r\n",  # no end of headers
        b"INVITE  sip:a@b  SIP/2.0\r\n\r\n",  # RFC 4475 3.1.2.9: too many spaces
        b"INVITE sip:a@b; lr SIP/2.0\r\n\r\n",  # 3.1.2.8: a space in the URI
        b"INVITE sip:a@b SIP/7.0\r\n\r\n",  # 3.1.2.16
        b"INVITE sip:a@b SIP/2.0\r\nno colon\r\n\r\n",
        b"INVITE sip:a@b SIP/2.0\r\nContent-Length: -999\r\n\r\n",  # 3.1.2.3
        b"INVITE sip:a@b SIP/2.0\r\nContent-Length: 9999\r\n\r\nshort",  # 3.1.2.2
        b"SIP/2.0 20000 OK\r\n\r\n",
    ],
)
def test_what_cannot_be_answered(data) -> None:
    """Dropped, with the reason for the log."""
    with pytest.raises(ProtocolError):
        parse(data)


def test_a_request_without_via_cannot_be_answered() -> None:
    """There is nobody to answer to."""
    with pytest.raises(ProtocolError):
        check(parse(request(Via="")))


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


def test_a_stream_is_cut_into_messages() -> None:
    """In any pieces, with keep-alives between."""
    first, second = request(body="v=0\r\n"), request("OPTIONS")
    stream = b"\r\n\r\n" + first + b"\r\n" + second
    for size in (1, 7, 4_000):
        splitter, got = StreamSplitter(), []
        for at in range(0, len(stream), size):
            got += splitter.receive(stream[at : at + size])
        assert got == [first, second]
    assert splitter.pings == 1


@pytest.mark.parametrize(
    "data",
    [b"INVITE sip:a@b SIP/2.0\r\n\r\n", b"X" * 70_000, b"A: b\r\nContent-Length: 99999\r\n\r\n"],
)
def test_a_stream_that_cannot_be_cut(data) -> None:
    """Without a length nobody knows where the next message begins."""
    with pytest.raises(ProtocolError):
        StreamSplitter().receive(data)
