"""What the reception reads and says, without a network."""

import pytest

from callcenter.errors import ProtocolError
from callcenter.gateway.reception import Announcement, open_session, read_announcement
from callcenter.gateway.routes import Route
from personas import library

FORM = {"CallSid": "CA0123", "To": "+15550100", "From": "+15550101", "CallStatus": "ringing"}


def test_an_announcement() -> None:
    """The three fields that matter; a withheld number is no error."""
    assert read_announcement(FORM, "s") == Announcement("CA0123", "+15550100", "+15550101", "s")
    assert read_announcement({"CallSid": "CA1", "To": "+15550100"}, "s").caller == ""
    form = {**FORM, "To": "sip:help@acme.sip.twilio.com;transport=tls", "From": "client:bob"}
    by_address = read_announcement(form, "s")
    assert (by_address.called, by_address.caller) == ("sip:help@acme.sip.twilio.com", "client:bob")


@pytest.mark.parametrize(
    ("field", "value"),
    [("CallSid", ""), ("CallSid", "CA/../1"), ("CallSid", "C" * 65), ("CallSid", "é"), ("To", "")],
)
def test_a_form_of_something_else(field: str, value: str) -> None:
    """A CallSid becomes part of a URL, so it is letters and digits only."""
    with pytest.raises(ProtocolError, match=field):
        read_announcement({**FORM, field: value}, "s")


def test_what_the_worker_is_told() -> None:
    """The rendered persona, and a seed that is the call's own, the same at every attempt."""
    persona = library.load()["bank"].render()
    spec = open_session("CA1", Route(persona, None))
    assert (spec.call_id, spec.persona, spec.voice) == ("CA1", "bank", persona.voice)
    assert spec.prompt_hash == persona.prompt_hash
    assert spec.sampling.text_top_k == persona.sampling.text_top_k
    assert spec == open_session("CA1", Route(persona, None))
    assert spec.seed != open_session("CA2", Route(persona, None)).seed
