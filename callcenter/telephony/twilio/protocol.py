"""Twilio Media Streams messages, both ways.

Source: twilio.com/docs/voice/media-streams/websocket-messages. Every message is one JSON text;
numbers come as strings. Fields that Twilio adds are ignored, and so are messages with an unknown
`event` (`Unknown`): both appear without notice. Everything else that is not as documented is a
`ProtocolError` that names the place.

It knows nothing of sockets, signatures, audio formats, or time.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from callcenter.errors import MessageTooLarge, ProtocolError

DIGITS = frozenset("0123456789*#ABCD")

# --- from Twilio ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connected:
    """The first message: the socket speaks Media Streams."""

    version: str


@dataclass(frozen=True, slots=True)
class Start:
    """The second message: which call this is and how its audio is encoded."""

    stream_sid: str
    account_sid: str
    call_sid: str
    encoding: str
    rate_hz: int
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Media:
    """Audio of the caller: usually 20 ms.

    Attributes:
        payload: encoded samples, without a header.
        timestamp_ms: the packet's place in the stream, from its start.
    """

    payload: bytes
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Dtmf:
    """The caller pressed a key."""

    digit: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Echo of our mark: everything before it was played, or cleared."""

    name: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The stream ends: the caller hung up, or the call's TwiML was replaced."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message that the documents of the time did not know."""

    event: str


Message = Connected | Start | Media | Dtmf | Mark | Stop | Unknown


class Receiver:
    """Reads one socket's messages and holds them to their order.

    connected, start, then any number of media / dtmf / mark, then stop.
    """

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._seen: set[type[Message]] = set()
        self._stream_sid = ""

    def receive(self, text: str) -> Message:
        """Parses the next message.

        Raises:
            MessageTooLarge: longer than the limit; it was not parsed.
            ProtocolError: not JSON, not the documented shape, or out of order.
        """
        if len(text) > self._max_message_bytes:
            raise MessageTooLarge(
                f"a message of {len(text)} bytes (limit {self._max_message_bytes})"
            )
        wire = _parse(text)
        message = wire.to_message()
        self._check_order(message, wire)
        self._seen.add(type(message))
        return message

    def _check_order(self, message: Message, wire: _Wire) -> None:
        kind = type(message)
        if isinstance(message, Unknown):
            return
        if kind in (Connected, Start, Stop) and kind in self._seen:
            raise ProtocolError(f'a second "{wire.event}"')
        if Stop in self._seen:
            raise ProtocolError(f'"{wire.event}" after "stop"')
        if isinstance(message, Start):
            self._require(Connected, before="start")
            self._stream_sid = message.stream_sid
        elif not isinstance(message, Connected):
            self._require(Start, before=wire.event)
            if wire.stream_sid != self._stream_sid:
                raise ProtocolError(f'"{wire.event}" with the streamSid of another stream')

    def _require(self, kind: type[Message], before: str) -> None:
        if kind not in self._seen:
            raise ProtocolError(f'"{before}" before "{kind.__name__.lower()}"')


# --- to Twilio ------------------------------------------------------------------------------------


def encode_media(stream_sid: str, payload: bytes) -> str:
    """Audio to play after everything sent before; any length, raw, in the stream's encoding."""
    audio = base64.b64encode(payload).decode("ascii")
    return json.dumps({"event": "media", "streamSid": stream_sid, "media": {"payload": audio}})


def encode_mark(stream_sid: str, name: str) -> str:
    """A mark that Twilio echoes once everything sent before it was played."""
    return json.dumps({"event": "mark", "streamSid": stream_sid, "mark": {"name": name}})


def encode_clear(stream_sid: str) -> str:
    """Empties Twilio's buffer; Twilio echoes the marks that were pending."""
    return json.dumps({"event": "clear", "streamSid": stream_sid})


# --- the wire's shapes ----------------------------------------------------------------------------

Text = Annotated[str, Field(min_length=1, max_length=256)]


class _Shape(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        strict=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )


class _Wire(_Shape):
    event: str
    stream_sid: str = ""

    def to_message(self) -> Message:
        raise NotImplementedError


class _Connected(_Wire):
    event: Literal["connected"]
    protocol: Literal["Call"]
    version: Text

    def to_message(self) -> Connected:
        return Connected(self.version)


class _MediaFormat(_Shape):
    encoding: Text
    sample_rate: Annotated[int, Field(gt=0, le=48_000)]
    channels: Literal[1]


class _StartBody(_Shape):
    account_sid: Text
    call_sid: Text
    media_format: _MediaFormat
    custom_parameters: dict[str, str] = Field(default_factory=dict)


class _Start(_Wire):
    event: Literal["start"]
    stream_sid: Text
    start: _StartBody

    def to_message(self) -> Start:
        return Start(
            stream_sid=self.stream_sid,
            account_sid=self.start.account_sid,
            call_sid=self.start.call_sid,
            encoding=self.start.media_format.encoding,
            rate_hz=self.start.media_format.sample_rate,
            parameters=self.start.custom_parameters,
        )


class _MediaBody(_Shape):
    track: Literal["inbound"] = "inbound"
    timestamp: Annotated[str, Field(pattern=r"^\d{1,12}$")]
    payload: str


class _Media(_Wire):
    event: Literal["media"]
    media: _MediaBody

    def to_message(self) -> Media:
        try:
            payload = base64.b64decode(self.media.payload, validate=True)
        except ValueError as error:  # binascii.Error is one; a character outside ASCII another
            raise ProtocolError(f"media.payload is not base64: {error}") from None
        return Media(payload, int(self.media.timestamp))


class _DtmfBody(_Shape):
    digit: str


class _Dtmf(_Wire):
    event: Literal["dtmf"]
    dtmf: _DtmfBody

    def to_message(self) -> Dtmf:
        if self.dtmf.digit not in DIGITS:
            raise ProtocolError("dtmf.digit is no telephone key")
        return Dtmf(self.dtmf.digit)


class _MarkBody(_Shape):
    name: Text


class _Mark(_Wire):
    event: Literal["mark"]
    mark: _MarkBody

    def to_message(self) -> Mark:
        return Mark(self.mark.name)


class _Stop(_Wire):
    event: Literal["stop"]

    def to_message(self) -> Stop:
        return Stop()


class _Unknown(_Wire):
    def to_message(self) -> Unknown:
        return Unknown(self.event[:64])


_SHAPES: Mapping[str, type[_Wire]] = {
    "connected": _Connected,
    "start": _Start,
    "media": _Media,
    "dtmf": _Dtmf,
    "mark": _Mark,
    "stop": _Stop,
}


def _parse(text: str) -> _Wire:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {error}") from None
    if not isinstance(data, dict) or not isinstance(data.get("event"), str):
        raise ProtocolError('not a JSON object with a text field "event"')
    try:
        return _SHAPES.get(data["event"], _Unknown).model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ProtocolError(f'"{data["event"]}": {place}: {first["msg"]}') from None
