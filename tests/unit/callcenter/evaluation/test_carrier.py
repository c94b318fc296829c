"""Twilio's side of the protocol."""

from __future__ import annotations

import base64
import json

import pytest
from twilio.request_validator import RequestValidator
from twilio.twiml.voice_response import Connect, VoiceResponse

from callcenter.errors import ProtocolError, Refused
from callcenter.evaluation.carrier import (
    AgentAudio,
    AgentClear,
    AgentMark,
    Carrier,
    local_url,
    parse_message,
    parse_twiml,
)


@pytest.fixture
def carrier() -> Carrier:
    """A call of a pretended account."""
    return Carrier("secret", "+15005550006", "+15551234567")


def test_signatures_are_those_that_twilios_own_validator_accepts(carrier: Carrier) -> None:
    """For the webhook's form and for the socket, which has none."""
    validator = RequestValidator("secret")
    url, form = "https://phone.example/twilio/voice", carrier.webhook_form()
    assert validator.validate(url, form, carrier.sign(url, form))
    assert not validator.validate(url, {**form, "To": "+1"}, carrier.sign(url, form))
    socket = "wss://phone.example/twilio/media/abc"
    assert validator.validate(socket, {}, carrier.sign(socket))


def test_the_form_names_call_and_numbers(carrier: Carrier) -> None:
    """As an incoming call's webhook does."""
    form = carrier.webhook_form()
    assert (form["From"], form["To"]) == ("+15005550006", "+15551234567")
    assert form["CallSid"].startswith("CA")
    assert len(form["CallSid"]) == 34


def test_messages_have_the_documented_shape(carrier: Carrier) -> None:
    """Sequence numbers count up from `start`; numbers are strings."""
    start = json.loads(carrier.start({"persona": "bank"}))
    assert start["sequenceNumber"] == "1"
    assert start["start"]["mediaFormat"] == {
        "encoding": "audio/x-mulaw",
        "sampleRate": 8000,
        "channels": 1,
    }
    assert start["start"]["customParameters"] == {"persona": "bank"}
    media = json.loads(carrier.media(b"\xff" * 160, 40))
    assert (media["sequenceNumber"], media["media"]["chunk"]) == ("2", "1")
    assert media["media"]["timestamp"] == "40"
    assert base64.b64decode(media["media"]["payload"]) == b"\xff" * 160
    assert json.loads(carrier.dtmf("5"))["dtmf"] == {"track": "inbound_track", "digit": "5"}
    assert json.loads(carrier.mark("m"))["mark"] == {"name": "m"}
    stop = json.loads(carrier.stop())
    assert stop["stop"]["callSid"] == start["start"]["callSid"]
    assert {m["streamSid"] for m in (start, media, stop)} == {carrier.stream_sid}
    assert json.loads(carrier.connected())["event"] == "connected"


def test_twiml_of_twilios_own_builder_is_understood() -> None:
    """URL and parameters of the stream."""
    response = VoiceResponse()
    connect = Connect()
    stream = connect.stream(url="wss://phone.example/twilio/media/one-time")
    stream.parameter(name="persona", value="bank")
    response.append(connect)
    response.say("Goodbye.")
    order = parse_twiml(str(response))
    assert order.url == "wss://phone.example/twilio/media/one-time"
    assert order.parameters == {"persona": "bank"}


def test_twiml_without_a_stream_is_a_refusal_with_its_words() -> None:
    """What the caller would have heard is the reason."""
    with pytest.raises(Refused, match="All lines are busy"):
        parse_twiml("<Response><Say>All lines are busy.</Say><Hangup/></Response>")


def test_what_is_no_xml_breaks_the_protocol() -> None:
    """An HTML error page, for example."""
    with pytest.raises(ProtocolError, match="not TwiML"):
        parse_twiml("Internal Server Error")


def test_messages_of_the_server() -> None:
    """The three kinds that Media Streams takes."""
    payload = base64.b64encode(b"abc").decode()
    media = json.dumps({"event": "media", "streamSid": "MZ", "media": {"payload": payload}})
    assert parse_message(media) == AgentAudio(b"abc")
    assert parse_message('{"event":"mark","mark":{"name":"m1"}}') == AgentMark("m1")
    assert parse_message('{"event":"clear","streamSid":"MZ"}') == AgentClear()


@pytest.mark.parametrize(
    "text",
    [
        b"\x00",
        "hello",
        "[]",
        "7",
        "{}",
        '{"event":"media"}',
        '{"event":"media","media":{"payload":"***"}}',
        '{"event":"media","media":{"payload":null}}',
        '{"event":"transfer"}',
    ],
)
def test_anything_else_breaks_the_protocol(text: str | bytes) -> None:
    """Binary, malformed, unknown."""
    with pytest.raises(ProtocolError, match="the server sent"):
        parse_message(text)


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/twilio/media/t"),
        ("https://staging.example", "wss://staging.example/twilio/media/t"),
    ],
)
def test_the_stream_is_opened_at_the_server_under_test(server: str, expected: str) -> None:
    """Whatever public name it signs with."""
    assert local_url("wss://phone.example/twilio/media/t", server) == expected
