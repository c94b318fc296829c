"""What is refused whatever it wants, and with which status."""

import pytest

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.message import BadRequest, parse
from callcenter.telephony.sip.rules import check
from tests.unit.callcenter.telephony.sip.conftest import request


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
        ({"Max_Forwards": "\u00b2"}, 400),  # a digit to Unicode, no number
        ({"Max_Forwards": "9" * 5_000}, 400),  # more digits than int() takes
        ({"To": '"Mr. J. User <sip:j.user@example.com> <sip:j@example.net>'}, 400),  # 3.1.2.6
        ({"uri": "nobodyKnowsThisScheme:totallyopaquecontent"}, 416),  # 3.3.2
    ],
)
def test_requests_that_are_refused(changes, status) -> None:
    """Each with its status, so that it can be answered."""
    message = parse(request(**changes))
    with pytest.raises(BadRequest) as refused:
        check(message)
    assert refused.value.status == status


def test_a_request_without_via_cannot_be_answered() -> None:
    """There is nobody to answer to."""
    with pytest.raises(ProtocolError):
        check(parse(request(Via="")))
