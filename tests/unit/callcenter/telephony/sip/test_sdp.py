"""Session descriptions: what is one, and what is left of a strange one."""

import pytest

from callcenter.errors import ProtocolError
from callcenter.telephony.sip import sdp
from callcenter.telephony.sip.sdp import payload_types, rtcp_port, rtpmaps
from tests.unit.callcenter.telephony.sip.conftest import OFFER


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o=- 1 1 IN IP4 192.0.2.1\r\n",
        "v=0\r\nm=audio\r\n",
        "v=0\r\nm=audio 99999 RTP/AVP 0\r\n",
        "v=0\r\nm=audio x RTP/AVP 0\r\n",
        "v=0\r\nc=IN IP9 x\r\n",
        "v=0\r\n" + "m=audio 1 RTP/AVP 0\r\n" * 20,
        "v=0\r\n" + "a=x\r\n" * 10_000,
    ],
)
def test_what_is_no_sdp(text) -> None:
    """A clear error, and limits."""
    with pytest.raises(ProtocolError):
        sdp.parse(text.encode())


def test_what_a_line_says() -> None:
    """Types in order, static ones named without a map, what is shared before what is its own."""
    text = OFFER.replace("t=0 0", "t=0 0\r\na=sendonly") + "a=rtpmap:101 other/16000/2\r\n"
    line = sdp.parse(text.encode()).audio
    assert line is not None
    assert payload_types(line) == [0, 8, 101]
    assert rtpmaps(line)[8] == ("pcma", 8_000, 1)
    assert rtpmaps(line)[101] == ("other", 16_000, 2)
    assert line.direction == "sendrecv"


@pytest.mark.parametrize(
    "extra",
    [
        "a=rtpmap:\u00b2 pcmu/8000\r\n",
        "a=rtpmap:0 pcmu/\u00b2\r\n",
        "a=rtpmap:0 pcmu/8000/\u00b2\r\n",
        "a=rtpmap:0 pcmu/" + "9" * 5_000 + "\r\n",
        "a=rtcp:\u00b2\r\n",
        "a=rtcp:\r\n",
        "a=crypto:\u00b2 AES_CM_128_HMAC_SHA1_80 inline:x\r\n",
    ],
)
def test_digits_that_are_none(extra) -> None:
    """What Unicode calls a digit, or more of them than fit, is passed over."""
    text = OFFER.replace("0 8 101", "0 \u00b2 " + "9" * 5_000)
    line = sdp.parse((text + extra).encode()).audio
    assert line is not None
    assert payload_types(line) == [0]
    assert rtpmaps(line)[0][0] == "pcmu"
    assert rtcp_port(line) == 4_001
