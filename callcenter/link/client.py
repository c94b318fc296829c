"""The gateway's end of a link: opens a session on a worker and carries its frames.

    link = await LinkClient.open(claim.url, auth_token, spec)
    link.send(frame)                          # never waits
    async for message in link.messages(): ... # AudioFrame | Text | Action | ... | End
    await link.close("caller_hung_up")

It does not reconnect: a lost session cannot be resumed on the worker, so whoever owns the call
claims a new slot.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI

from callcenter.errors import LinkLost, ProtocolError
from callcenter.link import protocol, refusals
from callcenter.link.channel import READ_AHEAD_MESSAGES, WRITE_LIMIT_BYTES, Channel
from callcenter.link.protocol import (
    Action,
    AudioFrame,
    DrainSoon,
    End,
    ErrorMessage,
    Frame,
    FromWorker,
    OpenSession,
    Ready,
    Record,
    Stats,
    Text,
)
from callcenter.link.tls import LinkTls

OPEN_TIMEOUT_S = 5.0
STALL_S = 1.0  # a live worker sends a frame every 80 ms; this is twelve in a row
PING_INTERVAL_S = 5.0
CLOSE_TIMEOUT_S = 1.0

FromSession = AudioFrame | Text | Action | Record | DrainSoon | Stats | End


class LinkClient:
    """One session, seen from the gateway. Made by `open`."""

    def __init__(self, channel: Channel[FromWorker], stall_s: float) -> None:
        self._channel = channel
        self._incoming = channel.messages()
        self._stall_s = stall_s
        self._ended = False

    @classmethod
    async def open(
        cls,
        url: str,
        auth_token: str,
        spec: OpenSession,
        *,
        timeout_s: float = OPEN_TIMEOUT_S,
        stall_s: float = STALL_S,
        tls: LinkTls | None = None,
    ) -> LinkClient:
        """Connects, opens the session and waits until its prompt is in.

        Args:
            url: the worker's link address, ws:// or wss://.
            auth_token: a signed session token.
            spec: what the session is about.
            timeout_s: for all of it together.
            stall_s: `messages` gives the link up after so long without any message.
            tls: how the worker is checked; with it a ws:// address is not used.

        Raises:
            NoCapacity: every slot is taken.
            Draining: the worker takes no new session.
            Unauthorized: token refused; StaleClaim when only the claim is out of date.
            PromptRefused: voice or role text cannot be used.
            LinkLost: nobody there, too slow, or gone in between.
            ProtocolError: the other side is no worker of this release.
        """
        try:
            async with asyncio.timeout(timeout_s):
                link = cls(await _connect(url, auth_token, tls), stall_s)
                await link._start(spec)
                return link
        except TimeoutError:
            raise LinkLost(f"the worker was not ready within {timeout_s} s") from None

    def send(self, frame: Frame) -> None:
        """Queues one frame, int16 [1920]; drops the oldest queued one if the worker is slow."""
        self._channel.send_frame(frame)

    @property
    def frames_dropped(self) -> int:
        """Frames that were thrown away here because the worker or the network was slow."""
        return self._channel.frames_dropped

    async def messages(self) -> AsyncIterator[FromSession]:
        """Yields what the worker says; the last one is `End`.

        Raises:
            LinkLost: the connection ended without `End`, or nothing came for `stall_s`.
            Refused: the worker gave the session up (SessionFailed, StaleClaim, ...).
            ProtocolError: the worker said something that's no message.
        """
        while not self._ended:
            message = await self._next()
            if isinstance(message, ErrorMessage):
                self._ended = True
                raise refusals.from_code(message.code, message.message)
            if isinstance(message, Ready):
                raise ProtocolError("the worker said ready twice")
            self._ended = isinstance(message, End)
            yield message

    async def close(self, reason: str) -> None:
        """Ends the session and the connection; safe to call twice and after a loss."""
        if not self._ended:
            self._ended = True
            self._channel.send_control(End(reason=reason))
        await self._channel.close()

    async def _start(self, spec: OpenSession) -> None:
        """Says "open" and waits for "ready"; closes the connection if that fails."""
        try:
            self._channel.send_control(spec)
            message = await anext(self._incoming, None)
            if message is None:
                raise LinkLost("the worker closed the connection before it was ready")
            if isinstance(message, ErrorMessage):
                raise refusals.from_code(message.code, message.message)
            if not isinstance(message, Ready):
                raise ProtocolError(f"the worker said {type(message).__name__} before ready")
        except BaseException:  # a cancelled opening must not leave a session behind
            await self._channel.close()
            raise

    async def _next(self) -> AudioFrame | FromWorker:
        try:
            async with asyncio.timeout(self._stall_s):
                message = await anext(self._incoming, None)
        except TimeoutError:
            raise LinkLost(f"the worker sent nothing for {self._stall_s} s") from None
        if message is None:
            raise LinkLost("the connection to the worker ended without an end message")
        return message


async def _connect(url: str, auth_token: str, tls: LinkTls | None) -> Channel[FromWorker]:
    secured: dict[str, Any] = {}
    if tls is not None:
        if not url.startswith("wss://"):  # whoever writes the books could turn encryption off
            raise LinkLost(f"{url} is no wss:// address, and LINK_CA_FILE asks for TLS")
        secured = {"ssl": tls.context, "server_hostname": tls.server_name or urlsplit(url).hostname}
    try:
        connection = await connect(
            url,
            additional_headers={"Authorization": f"Bearer {auth_token}"},
            compression=None,  # PCM doesn't shrink, and the time is not there
            proxy=None,  # workers stand in the same network
            open_timeout=None,  # `open` bounds everything together
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_INTERVAL_S,
            max_size=protocol.MAX_MESSAGE_BYTES,
            max_queue=READ_AHEAD_MESSAGES,
            write_limit=WRITE_LIMIT_BYTES,
            **secured,
        )
    except InvalidStatus as error:
        raise refusals.from_http(error.response.status_code, bytes(error.response.body)) from None
    except InvalidURI as error:
        raise ProtocolError(f"the worker's address is no WebSocket URL: {error}") from None
    except (OSError, EOFError, InvalidHandshake) as error:
        # Refused or reset connection, unknown host, a certificate that does not count, or a server
        # that speaks no WebSocket.
        raise LinkLost(f"no worker answers at {url}: {error}") from None
    return Channel(connection, protocol.decode_from_worker)
