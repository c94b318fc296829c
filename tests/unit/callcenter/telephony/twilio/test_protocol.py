"""Media Streams messages, both ways."""

import base64
import json

import pytest

from callcenter.errors import MessageTooLarge, ProtocolError
from callcenter.telephony.twilio import protocol
from callcenter.telephony.twilio.protocol import (
    Connected,
    Dtmf,
    Mark,
    Media,
    Receiver,
    Start,
    Stop,
    Unknown,
)

CONNECTED = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
START = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": "MZ1",
    "start": {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"persona": "bank"},
    },
}
MEDIA = {
    "event": "media",
    "sequenceNumber": "4",
    "streamSid": "MZ1",
    "media": {"track": "inbound", "chunk": "2", "timestamp": "25", "payload": "f39/"},
}
DTMF = {"event": "dtmf", "streamSid": "MZ1", "dtmf": {"track": "inbound_track", "digit": "#"}}
MARK = {"event": "mark", "streamSid": "MZ1", "mark": {"name": "g0-1"}}
STOP = {"event": "stop", "streamSid": "MZ1", "stop": {"accountSid": "AC1", "callSid": "CA1"}}


def receive(*messages: dict, limit: int = 16_384) -> list:
    """What a fresh receiver makes of messages."""
    receiver = Receiver(limit)
    return [receiver.receive(json.dumps(message)) for message in messages]


def changed(message: dict, path: str, value: object) -> dict:
    """A copy with one field changed; the path's parts are joined by dots."""
    copy = json.loads(json.dumps(message))
    *parents, last = path.split(".")
    place = copy
    for part in parents:
        place = place[part]
    place[last] = value
    return copy


def test_a_whole_stream() -> None:
    """Every documented message, in order."""
    assert receive(CONNECTED, START, MEDIA, DTMF, MARK, STOP) == [
        Connected("1.0.0"),
        Start("MZ1", "AC1", "CA1", "audio/x-mulaw", 8_000, {"persona": "bank"}),
        Media(b"\x7f\x7f\x7f", 25),
        Dtmf("#"),
        Mark("g0-1"),
        Stop(),
    ]


def test_new_fields_and_new_messages_are_no_error() -> None:
    """They appear without notice, and calls must go on."""
    odd = {"event": "weather", "streamSid": "MZ1", "weather": {"sky": "blue"}}
    assert receive(CONNECTED, changed(START, "start.mood", "good"), odd)[-1] == Unknown("weather")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("media.payload", "no base64!"),
        ("media.payload", "\u00ff\u00ff\u00ff\u00ff"),
        ("media.payload", 7),
        ("media.timestamp", "-1"),
        ("media.timestamp", 25),
        ("media.track", "outbound"),
        ("media", None),
        ("streamSid", "MZ2"),
        ("streamSid", 1),
    ],
)
def test_media_that_is_not_as_documented(path: str, value: object) -> None:
    """The error names the message, never its content."""
    with pytest.raises(ProtocolError) as error:
        receive(CONNECTED, START, changed(MEDIA, path, value))
    assert "no base64!" not in str(error.value)
    assert "media" in str(error.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("start.callSid", ""),
        ("start.callSid", "C" * 300),
        ("start.mediaFormat.sampleRate", "8000"),
        ("start.mediaFormat.sampleRate", 0),
        ("start.mediaFormat.channels", 2),
        ("start.mediaFormat.encoding", None),
        ("start.customParameters", {"a": 1}),
    ],
)
def test_a_start_that_is_not_as_documented(path: str, value: object) -> None:
    """The error names the field."""
    with pytest.raises(ProtocolError, match=path.rsplit(".", maxsplit=1)[-1]):
        receive(CONNECTED, changed(START, path, value))


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([START], '"start" before "connected"'),
        ([CONNECTED, MEDIA], '"media" before "start"'),
        ([CONNECTED, CONNECTED], 'second "connected"'),
        ([CONNECTED, START, START], 'second "start"'),
        ([CONNECTED, START, STOP, MEDIA], '"media" after "stop"'),
        ([changed(CONNECTED, "protocol", "Chat")], "protocol"),
        ([CONNECTED, START, changed(DTMF, "dtmf.digit", "12")], "digit"),
        ([CONNECTED, START, changed(MARK, "mark", {})], "mark.name"),
    ],
)
def test_order_and_shape(messages: list[dict], reason: str) -> None:
    """What must not come, and the words it is refused with."""
    with pytest.raises(ProtocolError, match=reason):
        receive(*messages)


@pytest.mark.parametrize("text", ["", "{", "7", "[]", '{"event": 3}', "{}", "[" * 10_000])
def test_texts_that_are_no_message(text: str) -> None:
    """Not JSON, not an object, no event, or nested beyond reason."""
    with pytest.raises(ProtocolError):
        Receiver(16_384).receive(text)


def test_a_long_message_is_not_parsed() -> None:
    """The limit comes before JSON."""
    with pytest.raises(MessageTooLarge, match="limit 100"):
        Receiver(100).receive("{" * 101)


def test_what_we_send_is_as_documented() -> None:
    """JSON text with our stream's name; audio is base64 without a header."""
    media = json.loads(protocol.encode_media("MZ1", b"\x00\xff"))
    assert media["streamSid"] == "MZ1"
    assert base64.b64decode(media["media"]["payload"]) == b"\x00\xff"
    assert json.loads(protocol.encode_mark("MZ1", "m")) == {
        "event": "mark",
        "streamSid": "MZ1",
        "mark": {"name": "m"},
    }
    assert json.loads(protocol.encode_clear("MZ1")) == {"event": "clear", "streamSid": "MZ1"}
