"""A REFER of ours and what the far end tells of it, as several PBXs do."""

import pytest

from callcenter.telephony.sip.call_events import Transferred
from callcenter.telephony.sip.message import Request
from callcenter.telephony.sip.transfer import REFER_TIMEOUT_S
from tests.unit.callcenter.telephony.sip.conftest import (
    PEER,
    answered,
    events_of,
    inside,
    response_to,
    sent,
    statuses,
)

ACTIVE, OVER = "active;expires=60", "terminated;reason=noresource"


class Referred:
    """A call whose caller was sent elsewhere; the far end has said 202."""

    def __init__(self, endpoint, status: int = 202, **headers: str) -> None:
        self.endpoint, self.call = endpoint, answered(endpoint)
        self.call.refer("sip:+15550199@192.0.2.1", 1.0)
        endpoint.settle(self.call, 1.0)
        (refer,) = (m for m in sent(endpoint) if isinstance(m, Request) and m.method == "REFER")
        endpoint.receive(response_to(refer, status, **headers), PEER, 1.1)
        self.number = 1

    def notify(self, state: str = "", body: str = "", **headers: str) -> tuple[list[int], list]:
        """The far end's NOTIFY: our answers, and what became of the transfer."""
        self.number += 1
        headers.setdefault("Event", "refer")
        if body:
            headers.setdefault("Content_Type", "message/sipfrag;version=2.0")
        tag = self.call.dialog.id.local_tag
        data = inside("NOTIFY", tag, str(self.number), body, Subscription_State=state, **headers)
        self.endpoint.receive(data, PEER, 2.0)
        told = [event.status for event in self.events() if isinstance(event, Transferred)]
        return statuses(self.endpoint), told

    def events(self) -> list:
        """What happened to the call."""
        return events_of(self.endpoint, self.call)


@pytest.mark.parametrize(
    ("state", "body", "status"),
    [
        (ACTIVE, "", None),
        ("", "", None),
        (ACTIVE, "SIP/2.0 100 Trying\r\n", None),
        (ACTIVE, "SIP/2.0 180", None),
        (ACTIVE, "what is this", None),
        (ACTIVE, "SIP/2.0 200 OK", 200),
        (OVER, "SIP/2.0 200 OK\r\nContact: <sip:a@b>\r\n", 200),
        (OVER, "\r\n SIP/2.0 200 OK", 200),
        (OVER, "sip/2.0\t200 ok\n", 200),
        (OVER, "SIP/2.0 486 Busy Here\r\n", 486),
        (OVER, "SIP/2.0 603", 603),
        (OVER, "", 408),
        ("Terminated", "", 408),
        ("terminated ; reason=timeout", "SIP/2.0 100 Trying", 408),
        (OVER, "what is this", 408),
    ],
)
def test_what_a_notify_says(endpoint, state, body, status) -> None:
    """The sipfrag's status, else the subscription's state; each NOTIFY is answered."""
    answers, told = Referred(endpoint).notify(state, body)
    assert answers == [200]
    assert told == ([] if status is None else [status])


def test_event_names(endpoint) -> None:
    """With an id, in capitals, or left out where the body says it; another event is refused."""
    referred = Referred(endpoint)
    assert referred.notify(ACTIVE, "SIP/2.0 100 Trying", Event="refer;id=2") == ([200], [])
    assert referred.notify(ACTIVE, "SIP/2.0 100 Trying", Event="Refer ; id=2") == ([200], [])
    assert referred.notify(ACTIVE, "SIP/2.0 180 Ringing", Event="") == ([200], [])
    assert referred.notify(ACTIVE, "x", Event="message-summary") == ([489], [])
    assert referred.notify(OVER, "SIP/2.0 200 OK", Event="") == ([200], [200])


def test_what_comes_after_the_end_is_only_taken(endpoint) -> None:
    """A final status in an active subscription, then its end: the transfer is told once."""
    referred = Referred(endpoint)
    assert referred.notify(ACTIVE, "SIP/2.0 200 OK") == ([200], [200])
    assert referred.notify(OVER, "SIP/2.0 200 OK") == ([200], [])
    assert referred.notify(OVER, "SIP/2.0 200 OK") == ([481], [])


@pytest.mark.parametrize("value", ["false", "False ; x=1"])
def test_a_far_end_that_will_not_tell(endpoint, value) -> None:
    """Refer-Sub: false in the 202: consent is all that there will be (RFC 4488)."""
    referred = Referred(endpoint, Refer_Sub=value)
    assert Transferred(202) in referred.events()
    assert referred.notify(OVER, "SIP/2.0 200 OK")[0] == [481]


def test_a_refusal(endpoint) -> None:
    """Is told with its status."""
    assert Transferred(405) in Referred(endpoint, 405).events()


def test_nobody_tells(endpoint) -> None:
    """Given up as a 408; a NOTIFY that comes then is taken."""
    referred = Referred(endpoint)
    endpoint.handle_timer(1.0 + REFER_TIMEOUT_S)
    assert Transferred(408) in referred.events()
    endpoint.outgoing()
    assert referred.notify(OVER, "SIP/2.0 200 OK") == ([200], [])
