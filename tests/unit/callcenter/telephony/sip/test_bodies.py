"""Bodies of one part and of several."""

import base64

import pytest

from callcenter.telephony.sip.bodies import MAX_BYTES, MAX_PARTS, find
from callcenter.telephony.sip.message import BadRequest, Message

SDP = "v=0\r\ns=-\r\n"
SDP_TYPE = "application/sdp"
ISUP = (
    "Content-Type: application/isup\r\n"
    "Content-Disposition: signal;handling=optional\r\n\r\n\x01\r\n"
)


def message(kind: str, body: str, **more: str) -> Message:
    """A message with a body."""
    headers = [("content-type", kind)] if kind else []
    headers += [(name.replace("_", "-"), value) for name, value in more.items()]
    return Message(headers, body.encode("utf-8", "surrogateescape"))


def parts(*bodies: str, boundary: str = "b1") -> str:
    """A body of several."""
    return "".join(f"--{boundary}\r\n{body}\r\n" for body in bodies) + f"--{boundary}--\r\n"


def sdp_part(*headers: str, body: str = SDP) -> str:
    """One with a description."""
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"Content-Type: Application/SDP\r\n{lines}\r\n{body}"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/sdp", SDP),
        ("Application/SDP ; charset=utf-8", SDP),
        ("multipart/mixed;boundary=b1", parts(sdp_part(), ISUP)),
        ('multipart/mixed; boundary="b1"', parts(ISUP, sdp_part())),
        ('Multipart/Mixed ;\tBOUNDARY = "b 1"', parts(ISUP, sdp_part(), boundary="b 1")),
        ("multipart/related;boundary=b1;type=x", parts(ISUP, sdp_part("Content-ID: <a@b>"))),
        ("multipart/mixed;boundary=b1", "preamble\r\n" + parts(sdp_part()) + "epilogue"),
        (
            "multipart/mixed;boundary=b1",
            parts(
                ISUP,
                "Content-Type: multipart/alternative;boundary=b2\r\n\r\n"
                + parts(sdp_part(), boundary="b2"),
            ),
        ),
        (
            "multipart/mixed;boundary=b1",
            parts(
                sdp_part(
                    "Content-Transfer-Encoding: base64",
                    body=base64.b64encode(SDP.encode()).decode(),
                )
            ),
        ),
        (
            "multipart/mixed;boundary=b1",
            parts(sdp_part("Content-Disposition: Session;handling=Required")),
        ),
        ("multipart/mixed;boundary=b1", parts(sdp_part()).replace("\r\n", "\n")),
    ],
)
def test_the_description_is_found(kind, body) -> None:
    """Alone, within, behind others, nested, encoded; any spelling of the boundary."""
    found = find(message(kind, body), (SDP_TYPE,))
    assert found is not None
    assert found[1].decode().replace("\r\n", "\n").strip() == SDP.replace("\r\n", "\n").strip()


@pytest.mark.parametrize(
    ("kind", "body", "more"),
    [
        ("", "", {}),
        ("application/isup", "\x01", {"content_disposition": "signal; handling=optional"}),
        ("multipart/mixed;boundary=b1", parts(ISUP), {}),
        (
            "multipart/mixed;boundary=b1",
            parts("Content-Type: application/pidf+xml\r\n\r\n<x/>"),
            {},
        ),
        (
            "multipart/mixed;boundary=b1",
            parts(sdp_part("Content-Disposition: early-session;handling=optional")),
            {},
        ),
    ],
)
def test_nothing_that_we_know_and_nothing_that_we_must(kind, body, more) -> None:
    """As if there were no body."""
    assert find(message(kind, body, **more), (SDP_TYPE,)) is None


@pytest.mark.parametrize(
    ("kind", "body", "more", "status"),
    [
        ("application/isup", "\x01", {}, 415),
        ("text/plain", "x", {"content_disposition": "render;handling=required"}, 415),
        ("application/sdp", SDP, {"content_encoding": "gzip"}, 415),
        ("multipart/signed;boundary=b1", parts(sdp_part()), {}, 415),
        (
            "multipart/mixed;boundary=b1",
            parts(ISUP.replace("optional", "required"), sdp_part()),
            {},
            415,
        ),
        (
            "multipart/mixed;boundary=b1",
            parts(sdp_part(), sdp_part('Content-Disposition: early-session;handling="required"')),
            {},
            415,
        ),
        ("multipart/mixed", parts(sdp_part()), {}, 400),
        ("multipart/mixed;boundary=other", parts(sdp_part()), {}, 400),
        ("multipart/mixed;boundary=b1", parts(*[sdp_part()] * (MAX_PARTS + 1)), {}, 413),
        ("multipart/mixed;boundary=b1", parts(*[""] * (2 * MAX_PARTS)), {}, 413),
        ("multipart/mixed;boundary=b1", parts(sdp_part(body="x" * MAX_BYTES)), {}, 413),
        ("multipart/mixed;boundary=b1", parts(sdp_part(body="\n" * 9_000)), {}, 413),
    ],
)
def test_what_is_refused(kind, body, more, status) -> None:
    """What must be understood and is not, what cannot be read, and what would cost too much."""
    with pytest.raises(BadRequest) as refused:
        find(message(kind, body, **more), (SDP_TYPE,))
    assert refused.value.status == status


def test_a_refusal_says_what_would_be_taken() -> None:
    """RFC 3261 8.2.3."""
    with pytest.raises(BadRequest) as refused:
        find(message("application/isup", "x"), (SDP_TYPE,))
    (accept,) = refused.value.headers
    assert accept[0] == "accept"
    assert SDP_TYPE in accept[1]
    assert "multipart/mixed" in accept[1]
