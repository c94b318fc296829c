"""Every section of RFC 4475: what is answered, and that nothing else happens."""

import contextlib

import pytest

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.endpoint_events import IncomingCall
from callcenter.telephony.sip.message import Response, parse
from tests.unit.callcenter.telephony.sip.conftest import PEER
from tests.unit.callcenter.telephony.sip.torture import CALL, TORTURES


def test_all_49_are_here() -> None:
    """Each once."""
    assert len({torture.section for torture in TORTURES}) == len(TORTURES) == 49


@pytest.mark.parametrize("torture", TORTURES, ids=lambda torture: torture.section)
def test_it_gets_the_right_answer(endpoint, torture) -> None:
    """One response, or none; a call only where one is asked for."""
    with contextlib.suppress(ProtocolError):
        endpoint.receive(torture.data, PEER, 0.0)
    answers = [parse(data) for _, data in endpoint.outgoing()]
    statuses = [answer.status for answer in answers if isinstance(answer, Response)]
    assert statuses == ([] if torture.answer is None else [torture.answer])
    rings = any(isinstance(event, IncomingCall) for event in endpoint.events())
    assert rings is (torture.answer == CALL)


def test_all_of_them_leave_nothing_behind(endpoint) -> None:
    """Sent one after the other, in time every call and transaction is gone."""
    for torture in TORTURES:
        with contextlib.suppress(ProtocolError):
            endpoint.receive(torture.data, PEER, 0.0)
    while (due := endpoint.next_timer()) is not None and due < 200:
        endpoint.handle_timer(due)
    assert len(endpoint) == 0
    assert endpoint.transactions == 0
