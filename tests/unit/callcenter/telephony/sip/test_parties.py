"""Who calls, by whose word, and what is kept back."""

import pytest

from callcenter.telephony.sip.message import Request, parse
from callcenter.telephony.sip.parties import (
    ANONYMOUS,
    MAX_ATTRIBUTE_CHARS,
    MAX_ATTRIBUTES,
    attributes,
    caller,
)
from tests.unit.callcenter.telephony.sip.conftest import request

PAI = {"P_Asserted_Identity": '"Bob, B" <sip:+15550123@carrier.example>, <tel:+15550124>'}
RPID = {"Remote_Party_ID": "<sip:+15550125@carrier.example>;party=calling;screen=yes;privacy=off"}


def invite(**headers: str) -> Request:
    """An INVITE from `caller`."""
    message = parse(request(**headers))
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize(
    ("headers", "trusted", "who"),
    [
        ({}, False, "caller"),
        ({}, True, "caller"),
        (PAI, False, "caller"),
        (PAI, True, "+15550123"),
        (RPID, True, "+15550125"),
        ({**RPID, **PAI}, True, "+15550123"),
        ({"P_Asserted_Identity": "nonsense"}, True, "caller"),
        ({"P_Asserted_Identity": "<tel:+1-555-0124;ext=7>"}, True, "+1-555-0124;ext=7"),
        ({"From": '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1', **PAI}, True, "+15550123"),
        ({"From": "<sip:client:alice@example.com>;tag=1"}, False, "client:alice"),
        ({"Privacy": "none", **PAI}, True, "+15550123"),
        ({"Privacy": "id", **PAI}, True, ANONYMOUS),
        ({"Privacy": "id", **PAI}, False, ANONYMOUS),
        ({"Privacy": "User;critical"}, True, ANONYMOUS),
        ({"Privacy": "header, id"}, True, ANONYMOUS),
        ({"Privacy": "history", **PAI}, True, "+15550123"),
        ({"Remote_Party_ID": "<sip:+15550125@c.example>;privacy=full"}, True, ANONYMOUS),
    ],
)
def test_who_calls(headers, trusted, who) -> None:
    """The network's word on a trunk that is trusted; nobody's if the caller wants it so."""
    assert caller(invite(**headers), trusted=trusted) == who


def test_what_else_is_told() -> None:
    """Numbers of the first of each, why the call was sent on, the far end's own headers."""
    found = attributes(
        invite(
            **PAI,
            **RPID,
            Diversion="<sip:+15550130@c.example>;reason=User-Busy;counter=1, <tel:+15550131>",
            History_Info="<sip:+15550140@c.example>;index=1, <sip:x@y?Reason=SIP>;index=1.1",
            X_Customer="4711",
            Privacy="none",
        )
    )
    assert found == {
        "privacy": "none",
        "p-asserted-identity": "+15550123",
        "remote-party-id": "+15550125",
        "diversion": "+15550130",
        "diversion-reason": "user-busy",
        "history-info": "+15550140",
        "x-customer": "4711",
    }


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ({"Privacy": "id", **PAI, "Diversion": "<tel:+15550130>"}, {"diversion"}),
        ({"Privacy": "history", **PAI, "Diversion": "<tel:+1>"}, {"p-asserted-identity"}),
        ({"Diversion": "<tel:+15550130>;privacy=full"}, set()),
        ({"History_Info": "<sip:a@b?Privacy=history>;index=1"}, set()),
        ({"Diversion": "nonsense", "History_Info": "<"}, set()),
    ],
)
def test_what_is_kept_back(headers, kept) -> None:
    """Each party may ask for itself; what cannot be read is as not there."""
    found = attributes(invite(**headers)).keys()
    assert found - {"privacy", "diversion-reason"} == kept


def test_attributes_are_bounded() -> None:
    """However many and however long."""
    many = {f"X_{number}": "y" * 700 for number in range(40)}
    found = attributes(invite(**many))
    assert len(found) == MAX_ATTRIBUTES
    assert {len(value) for value in found.values()} == {MAX_ATTRIBUTE_CHARS}
