"""A Twilio socket as a leg; the socket is a list of messages."""

import json

import pytest
from starlette.websockets import WebSocket

from callcenter.events import (
    LegAudio,
    LegDigit,
    LegEnd,
    LegEnded,
    LegMarkPlayed,
    LegMisbehaved,
    LegStarted,
)
from callcenter.telephony.leg import CallControlFailed
from callcenter.telephony.twilio.leg import TwilioLeg

CONNECTED = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
START = {
    "event": "start",
    "streamSid": "MZ1",
    "start": {
        "accountSid": "AC1",
        "callSid": "CA1",
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"persona": "bank"},
    },
}


def message(event: str, **body: str) -> dict[str, object]:
    """A message of the stream."""
    return {"event": event, "streamSid": "MZ1", event: body}


class Socket:
    """The ASGI side of an accepted socket."""

    def __init__(self, *incoming: object) -> None:
        self.incoming = [{"type": "websocket.connect"}, *map(self._asgi, incoming)]
        self.sent: list[dict] = []
        self.broken = False

    @staticmethod
    def _asgi(item: object) -> dict:
        if isinstance(item, bytes):
            return {"type": "websocket.receive", "bytes": item}
        if isinstance(item, int):
            return {"type": "websocket.disconnect", "code": item}
        return {"type": "websocket.receive", "text": json.dumps(item)}

    async def receive(self) -> dict:
        return self.incoming.pop(0)

    async def send(self, event: dict) -> None:
        if self.broken:
            raise OSError("gone")
        self.sent.append(event)

    async def leg(self) -> TwilioLeg:
        """Accepts, and wraps it."""
        websocket = WebSocket({"type": "websocket"}, self.receive, self.send)
        await websocket.accept()
        return TwilioLeg(websocket, "CA1", None, 16_384)


async def events_of(*incoming: object) -> list:
    """What a leg makes of messages."""
    leg = await Socket(*incoming).leg()
    return [event async for event in leg.events()]


async def test_a_whole_stream() -> None:
    """Every message of the carrier becomes an event, or nothing."""
    assert await events_of(
        CONNECTED,
        START,
        message("media", timestamp="40", payload="f38="),
        message("dtmf", digit="5"),
        message("mark", name="g0-1"),
        message("weather", sky="blue"),
        message("stop"),
    ) == [
        LegStarted("audio/x-mulaw", 8_000, {"persona": "bank"}, any_length=True),
        LegAudio(b"\x7f\x7f", 0.04),
        LegDigit("5"),
        LegMarkPlayed("g0-1"),
        LegEnded(LegEnd.HANGUP),
    ]


@pytest.mark.parametrize(
    ("incoming", "event"),
    [
        ([1006], LegEnded(LegEnd.LOST)),
        ([1000], LegEnded(LegEnd.LOST)),
        ([1009], LegMisbehaved("too_large", "a message over the socket's size limit")),
        ([b"\x00"], LegMisbehaved("malformed", "a binary message; Media Streams are text")),
        ([START], LegMisbehaved("malformed", '"start" before "connected"')),
    ],
)
async def test_how_a_stream_ends(incoming: list, event) -> None:
    """One last event, and nothing is read after it."""
    assert await events_of(*incoming) == [event]


async def test_the_stream_of_another_call() -> None:
    """The address was issued for one call."""
    other = {**START, "start": {**START["start"], "callSid": "CA2"}}
    (event,) = await events_of(CONNECTED, other)
    assert isinstance(event, LegMisbehaved)
    assert "another call" in event.detail


async def test_a_message_too_long_for_us() -> None:
    """Where the server's own limit is higher."""
    (event,) = await events_of({"event": "x" * 20_000})
    assert (type(event), event.code) == (LegMisbehaved, "too_large")


async def test_what_we_say() -> None:
    """In the stream that "start" named; the close has code and reason."""
    socket = Socket(CONNECTED, START, message("stop"))
    leg = await socket.leg()
    async for _ in leg.events():
        pass
    await leg.play(b"\x7f")
    await leg.mark("g0-1")
    await leg.clear()
    await leg.close("too_fast")
    await leg.close("too_fast")
    texts = [json.loads(item["text"]) for item in socket.sent if "text" in item]
    assert [(text["event"], text["streamSid"]) for text in texts] == [
        ("media", "MZ1"),
        ("mark", "MZ1"),
        ("clear", "MZ1"),
    ]
    assert socket.sent[-1] == {"type": "websocket.close", "code": 1008, "reason": "too_fast"}
    assert sum(item["type"] == "websocket.close" for item in socket.sent) == 1


async def test_saying_something_to_nobody_is_no_error() -> None:
    """The caller hung up between two packets; `events` tells."""
    socket = Socket()
    leg = await socket.leg()
    socket.broken = True
    await leg.play(b"\x7f")
    await leg.play(b"\x7f")
    await leg.close("hangup")


async def test_no_call_control_without_an_account() -> None:
    """The error names the setting."""
    leg = await Socket().leg()
    with pytest.raises(CallControlFailed, match="TWILIO_ACCOUNT_SID"):
        await leg.hang_up()
    with pytest.raises(CallControlFailed, match="TWILIO_ACCOUNT_SID"):
        await leg.transfer("+15550199")
