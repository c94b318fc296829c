"""A Twilio media socket as a `Leg`.

The shell round `protocol.Receiver`: reads, translates, writes. It decides nothing; when the other
side breaks the protocol it says so once and reads no more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from callcenter.errors import MessageTooLarge, ProtocolError
from callcenter.events import (
    LegAudio,
    LegDigit,
    LegEnd,
    LegEnded,
    LegEvent,
    LegMarkPlayed,
    LegMisbehaved,
    LegStarted,
)
from callcenter.telephony.leg import CallControlFailed
from callcenter.telephony.twilio import protocol
from callcenter.telephony.twilio.control import CallResource

CLOSE_NORMAL = 1000  # RFC 6455 section 7.4.1
CLOSE_POLICY = 1008
CLOSE_TOO_LARGE = 1009
CLOSE_INTERNAL = 1011

_CLOSE_CODES = {
    "malformed": CLOSE_POLICY,
    "too_fast": CLOSE_POLICY,
    "unsupported_encoding": CLOSE_POLICY,
    "start_timeout": CLOSE_POLICY,
    "too_large": CLOSE_TOO_LARGE,
    "internal_error": CLOSE_INTERNAL,
}

log = structlog.get_logger(__name__)


class TwilioLeg:
    """One accepted media socket.

    Args:
        websocket: accepted already; the leg closes it.
        call_sid: the call that the socket was granted for; `start` must name the same.
        calls: how to hang up and transfer; None when no account is configured.
        max_message_bytes: size limit of one message.
    """

    transport = "twilio"

    def __init__(
        self,
        websocket: WebSocket,
        call_sid: str,
        calls: CallResource | None,
        max_message_bytes: int,
    ) -> None:
        self._websocket = websocket
        self._call_sid = call_sid
        self._calls = calls
        self._receiver = protocol.Receiver(max_message_bytes)
        self._stream_sid = ""

    async def events(self) -> AsyncIterator[LegEvent]:
        """What Twilio says; ends after `LegEnded` or `LegMisbehaved`."""
        while True:
            event = await self._next_event()
            if event is not None:
                yield event
            if isinstance(event, LegEnded | LegMisbehaved):
                return

    async def play(self, payload: bytes) -> None:
        """Queues encoded audio at Twilio."""
        await self._send(protocol.encode_media(self._stream_sid, payload))

    async def mark(self, name: str) -> None:
        """Asks for an echo once everything sent so far was played."""
        await self._send(protocol.encode_mark(self._stream_sid, name))

    async def clear(self) -> None:
        """Throws away what Twilio has not played yet."""
        await self._send(protocol.encode_clear(self._stream_sid))

    async def hang_up(self) -> None:
        """Ends the call by REST.

        Raises:
            CallControlFailed: Twilio did not do it, or no account is configured.
        """
        await self._call_resource().hang_up(self._call_sid)

    async def transfer(self, number: str) -> None:
        """Cold transfer by REST.

        Raises:
            CallControlFailed: Twilio did not do it, or no account is configured.
        """
        await self._call_resource().transfer(self._call_sid, number)

    async def close(self, code: str) -> None:
        """Closes the socket, after which Twilio runs the fallback verb."""
        if self._websocket.application_state is WebSocketState.DISCONNECTED:
            return
        try:
            await self._websocket.close(_CLOSE_CODES.get(code, CLOSE_NORMAL), code)
        except (WebSocketDisconnect, RuntimeError):  # the other side closed while we were about to
            log.debug("socket_was_closed")

    async def _next_event(self) -> LegEvent | None:
        try:
            text = await self._receive_text()
            return self._translate(self._receiver.receive(text))
        except WebSocketDisconnect as gone:  # the caller hung up, the network broke, or 1009
            if gone.code == CLOSE_TOO_LARGE:
                return LegMisbehaved("too_large", "a message over the socket's size limit")
            return LegEnded(LegEnd.LOST)
        except MessageTooLarge as error:
            return LegMisbehaved("too_large", str(error))
        except ProtocolError as error:
            return LegMisbehaved("malformed", str(error))

    async def _receive_text(self) -> str:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", CLOSE_NORMAL), message.get("reason"))
        text = message.get("text")
        if not isinstance(text, str):
            raise ProtocolError("a binary message; Media Streams are text")
        return text

    def _translate(self, message: protocol.Message) -> LegEvent | None:
        match message:
            case protocol.Media(payload=payload, timestamp_ms=timestamp_ms):
                return LegAudio(payload, timestamp_ms / 1_000)
            case protocol.Mark(name=name):
                return LegMarkPlayed(name)
            case protocol.Start():
                return self._started(message)
            case protocol.Dtmf(digit=digit):
                return LegDigit(digit)
            case protocol.Stop():
                return LegEnded(LegEnd.HANGUP)
            case protocol.Unknown(event=event):
                log.info("unknown_message_ignored", carrier_event=event)
                return None
            case protocol.Connected():
                return None

    def _started(self, start: protocol.Start) -> LegStarted:
        if start.call_sid != self._call_sid:
            raise ProtocolError('"start" names another call than the address was issued for')
        self._stream_sid = start.stream_sid
        return LegStarted(start.encoding, start.rate_hz, dict(start.parameters), any_length=True)

    async def _send(self, text: str) -> None:
        if self._websocket.application_state is not WebSocketState.CONNECTED:
            return
        try:
            await self._websocket.send_text(text)
        except (WebSocketDisconnect, RuntimeError):  # hung up between two packets; events() says so
            log.debug("send_after_disconnect")

    def _call_resource(self) -> CallResource:
        if self._calls is None:
            raise CallControlFailed("no REST access: TWILIO_ACCOUNT_SID is not set")
        return self._calls
