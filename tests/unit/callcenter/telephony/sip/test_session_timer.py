"""Session timers (RFC 4028)."""

import pytest

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.message import BadRequest, Request, Response, parse, reply
from callcenter.telephony.sip.session_timer import WANTED_S, SessionTimer
from tests.unit.callcenter.telephony.sip.conftest import request


def invite(**headers: str) -> Request:
    """An INVITE with these headers."""
    message = parse(request(**headers))
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize(
    ("headers", "interval_s", "ours", "answer"),
    [
        ({}, None, False, set()),
        ({"Supported": "timer"}, WANTED_S, False, {"session-expires", "require"}),
        (
            {"Supported": "timer", "Session_Expires": "120"},
            120,
            False,
            {"session-expires", "require"},
        ),
        (
            {"Supported": "timer", "Session_Expires": "120;refresher=uas"},
            120,
            True,
            {"session-expires", "require"},
        ),
        ({"Session_Expires": "120"}, 120, True, {"session-expires"}),  # put there by a proxy
    ],
)
def test_who_refreshes_what(headers, interval_s, ours, answer) -> None:
    """The table of RFC 4028 9."""
    timer = SessionTimer()
    names = {name for name, _ in timer.answer(invite(**headers), 0.0)}
    assert (timer.interval_s, timer.we_refresh, names) == (interval_s, ours, answer)


def test_too_short() -> None:
    """422 with our minimum; what is no number is an error."""
    with pytest.raises(BadRequest) as refused:
        SessionTimer().judge(invite(Session_Expires="89"))
    assert refused.value.status == 422
    assert refused.value.headers == (("min-se", "90"),)
    with pytest.raises(ProtocolError):
        SessionTimer().judge(invite(Session_Expires="soon"))


def test_our_refresh_is_due_at_half_time_and_its_failure_ends_the_call() -> None:
    """One refresh; without an answer the session expires before its end."""
    timer = SessionTimer()
    timer.answer(invite(Supported="timer", Session_Expires="120;refresher=uas"), 0.0)
    assert timer.due(59.9) is None
    assert timer.due(60.0) == "refresh"
    assert timer.due(60.0) is None
    assert timer.next_timer() == 120 - 32
    assert timer.due(88.0) == "expired"


def test_a_refresh_that_was_accepted_begins_anew() -> None:
    """With the interval and the refresher that the far end says."""
    timer = SessionTimer()
    timer.answer(invite(Supported="timer", Session_Expires="120;refresher=uas"), 0.0)
    timer.due(60.0)
    response: Response = reply(invite(), 200)
    response.add("session-expires", "200;refresher=uac")
    timer.refreshed(response, 60.0)
    assert timer.next_timer() == 160.0
    timer.refreshed(reply(invite(), 200), 70.0)  # a far end that no longer wants a timer
    assert timer.next_timer() is None
