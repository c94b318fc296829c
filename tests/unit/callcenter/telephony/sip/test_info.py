"""Keys by INFO, as phones write them."""

import pytest

from callcenter.telephony.sip.info import key_body, key_in
from callcenter.telephony.sip.message import BadRequest, Request

RELAY, PLAIN = "application/dtmf-relay", "application/dtmf"
NORTEL = "application/vnd.nortelnetworks.digits"


def info(kind: str, body: str, **more: str) -> Request:
    """An INFO."""
    headers = [("content-type", kind)] if kind else []
    headers += [(name.replace("_", "-"), value) for name, value in more.items()]
    return Request(headers, body.encode("latin-1"), "INFO", "sip:a@b")


@pytest.mark.parametrize(
    ("kind", "body", "key"),
    [
        (RELAY, "Signal=5\r\nDuration=160\r\n", "5"),
        (RELAY, "Signal= 5\r\nDuration= 160\r\n", "5"),
        (RELAY, "  SIGNAL = 5 \n", "5"),
        (RELAY, "Duration=160\nSignal=5", "5"),
        (RELAY, "Signal=5\rDuration=160\r", "5"),
        (RELAY, "Signal: 5\r\n", "5"),
        (RELAY, 'Signal="5"', "5"),
        (RELAY, "Signal=10", "*"),
        (RELAY, "Signal=11\r\n", "#"),
        (RELAY, "Signal=12", "A"),
        (RELAY, "Signal=*", "*"),
        (RELAY, "signal=d", "D"),
        (RELAY, "d=5\r\n", "5"),
        ("Application/DTMF-Relay; charset=utf-8", "Signal=5", "5"),
        (PLAIN, "5", "5"),
        (PLAIN, " 5\r\n", "5"),
        (PLAIN, "#", "#"),
        (PLAIN, "11", "#"),
        (PLAIN, "Signal=5\r\nDuration=160", "5"),
        (NORTEL, "p=Digit-Collection\r\ny=Digits\r\ns=success\r\nu=1\r\ni=2\r\nd=4\r\n", "4"),
        (RELAY, "Signal=16", None),
        (RELAY, "Signal=flash\r\n", None),
        (PLAIN, "!", None),
        ("application/hook-flash", "anything", None),
        ("", "", None),
    ],
)
def test_forms(kind, body, key) -> None:
    """Each tells its key; a flash of the hook is heard and does nothing."""
    assert key_in(info(kind, body)) == key


@pytest.mark.parametrize(
    ("kind", "body", "more", "status"),
    [
        (RELAY, "Signal=99", {}, 400),
        (RELAY, "Duration=160", {}, 400),
        (RELAY, "Signal=", {}, 400),
        (PLAIN, "55x", {}, 400),
        (PLAIN, "\u00b2", {}, 400),
        ("application/media_control+xml", "<x/>", {}, 415),
        (RELAY, "Signal=5", {"info_package": "foo"}, 469),
        ("", "", {"info_package": "g.3gpp.mid-call;x=1"}, 469),
    ],
)
def test_what_tells_no_key_is_refused(kind, body, more, status) -> None:
    """Nobody takes for heard what was not understood."""
    with pytest.raises(BadRequest) as refused:
        key_in(info(kind, body, **more))
    assert refused.value.status == status


def test_a_key_of_ours_is_read_as_one() -> None:
    """Both directions speak one form."""
    assert key_in(info(RELAY, key_body("#", 160).decode())) == "#"
