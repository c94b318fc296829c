"""Twilio's side of the protocol: the signed webhook, the TwiML answer, the socket's messages.

As documented for Voice webhooks and for Media Streams (bidirectional). Knows no socket: it makes
and reads texts. Numbers in messages are strings, as Twilio sends them.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit
from xml.etree import ElementTree

from twilio.request_validator import RequestValidator

from callcenter.errors import ProtocolError, Refused

WEBHOOK_PATH = "/twilio/voice"
SIGNATURE_HEADER = "X-Twilio-Signature"


@dataclass(frozen=True, slots=True)
class StreamOrder:
    """What the TwiML told the carrier to do: open a stream."""

    url: str
    parameters: dict[str, str]


@dataclass(frozen=True, slots=True)
class AgentAudio:
    """Encoded audio to be played."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class AgentMark:
    """A mark to be echoed when reached."""

    name: str


@dataclass(frozen=True, slots=True)
class AgentClear:
    """The playout buffer is to be emptied."""


FromServer = AgentAudio | AgentMark | AgentClear


def _sid(prefix: str) -> str:
    return prefix + secrets.token_hex(16)


@dataclass(slots=True)
class Carrier:
    """One call of a pretended Twilio account.

    Attributes:
        auth_token: the account's secret, with which both sides sign.
        caller: E.164 number that calls.
        number: E.164 number that is called.
    """

    auth_token: str
    caller: str
    number: str
    account_sid: str = field(default_factory=lambda: _sid("AC"))
    call_sid: str = field(default_factory=lambda: _sid("CA"))
    stream_sid: str = field(default_factory=lambda: _sid("MZ"))
    _sequence: int = 0
    _chunk: int = 0

    def webhook_form(self) -> dict[str, str]:
        """The form of an incoming call's webhook."""
        return {
            "AccountSid": self.account_sid,
            "ApiVersion": "2010-04-01",
            "CallSid": self.call_sid,
            "CallStatus": "ringing",
            "Called": self.number,
            "Caller": self.caller,
            "Direction": "inbound",
            "From": self.caller,
            "To": self.number,
        }

    def sign(self, url: str, form: dict[str, str] | None = None) -> str:
        """The signature header's value for a public URL; a socket's has no form."""
        return str(RequestValidator(self.auth_token).compute_signature(url, form or {}))

    def connected(self) -> str:
        """The socket's first message."""
        return json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})

    def start(self, parameters: dict[str, str]) -> str:
        """The message that opens the stream."""
        return self._message(
            "start",
            {
                "accountSid": self.account_sid,
                "streamSid": self.stream_sid,
                "callSid": self.call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": parameters,
            },
        )

    def media(self, payload: bytes, timestamp_ms: int) -> str:
        """20 ms of the caller."""
        self._chunk += 1
        return self._message(
            "media",
            {
                "track": "inbound",
                "chunk": str(self._chunk),
                "timestamp": str(timestamp_ms),
                "payload": base64.b64encode(payload).decode("ascii"),
            },
        )

    def dtmf(self, digit: str) -> str:
        """A key was pressed."""
        return self._message("dtmf", {"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> str:
        """Everything before the mark was played, or cleared."""
        return self._message("mark", {"name": name})

    def stop(self) -> str:
        """The caller hung up."""
        return self._message("stop", {"accountSid": self.account_sid, "callSid": self.call_sid})

    def _message(self, event: str, body: dict[str, object]) -> str:
        self._sequence += 1
        return json.dumps(
            {
                "event": event,
                "sequenceNumber": str(self._sequence),
                "streamSid": self.stream_sid,
                event: body,
            }
        )


def parse_twiml(text: str) -> StreamOrder:
    """Finds `<Connect><Stream>`.

    Raises:
        Refused: well-formed TwiML that opens no stream; the message holds what it would say.
        ProtocolError: not TwiML.
    """
    try:
        response = ElementTree.fromstring(text)  # noqa: S314 - from the server under test, not a stranger
    except ElementTree.ParseError as error:
        raise ProtocolError(f"the webhook's answer is not TwiML: {error}") from error
    stream = response.find("./Connect/Stream")
    if stream is None:
        spoken = " ".join(say.text or "" for say in response.iter("Say")).strip()
        raise Refused(f"the TwiML opens no stream; it says: {spoken or 'nothing'}")
    parameters = {item.get("name", ""): item.get("value", "") for item in stream.iter("Parameter")}
    return StreamOrder(stream.get("url", ""), parameters)


def parse_message(text: str | bytes) -> FromServer:
    """Reads one message of the server.

    Raises:
        ProtocolError: binary (Twilio's warning 31950), malformed, or of an unknown kind.
    """
    if isinstance(text, bytes):
        raise ProtocolError("the server sent a binary message; Media Streams takes text only")
    try:
        message = json.loads(text)
        event = message["event"]
        if event == "media":
            return AgentAudio(base64.b64decode(message["media"]["payload"], validate=True))
        if event == "mark":
            return AgentMark(str(message["mark"]["name"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ProtocolError(f"the server sent a malformed message: {error!r}") from error
    if event == "clear":
        return AgentClear()
    raise ProtocolError(f"the server sent an unknown event {event!r}")


def local_url(stream_url: str, server: str) -> str:
    """The stream's URL with the host under test: the public name may not resolve here."""
    there, here = urlsplit(stream_url), urlsplit(server)
    scheme = "wss" if here.scheme == "https" else "ws"
    return urlunsplit((scheme, here.netloc, there.path, there.query, ""))
