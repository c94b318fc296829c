"""The worker's end of a link: one WebSocket server, one connection a session.

The session token is checked before the upgrade is accepted, so a stranger gets an HTTP status and
never a socket. After that the server only carries: what a session is and who may have it is the
business of the two callables it is given.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from callcenter.errors import LinkLost, ProtocolError, Refused, Unauthorized
from callcenter.link import protocol, refusals
from callcenter.link.channel import READ_AHEAD_MESSAGES, WRITE_LIMIT_BYTES, Channel
from callcenter.link.client import CLOSE_TIMEOUT_S, PING_INTERVAL_S
from callcenter.link.protocol import AudioFrame, ErrorMessage, FromGateway, OpenSession
from callcenter.link.token import SessionToken

FIRST_MESSAGE_S = 5.0

Authorize = Callable[[str, float], SessionToken]  # (auth token, Unix time) -> token, or Refused
GatewayChannel = Channel[FromGateway]


class SessionLink:
    """One session's connection, seen from the worker.

    Attributes:
        token: the session token that the gateway showed.
        spec: its first message.
        channel: where frames and control go out.
    """

    def __init__(self, token: SessionToken, spec: OpenSession, channel: GatewayChannel) -> None:
        self.token = token
        self.spec = spec
        self.channel = channel

    async def messages(self) -> AsyncIterator[AudioFrame]:
        """Yields the gateway's frames until it says "end" or is gone.

        Raises:
            ProtocolError: something that is no message, or a second "open".
        """
        async for message in self.channel.messages():
            if isinstance(message, AudioFrame):
                yield message
            elif isinstance(message, OpenSession):
                raise ProtocolError("a session can't be opened twice")
            else:
                return


Serve = Callable[[SessionLink], Awaitable[None]]


class LinkServer:
    """Listens for gateways.

    Args:
        authorize: reads and judges a session token; raises Refused.
        serve_session: runs one session to its end; raises Refused to turn it down.
    """

    def __init__(self, authorize: Authorize, serve_session: Serve) -> None:
        self._authorize = authorize
        self._serve_session = serve_session
        self._server: Server | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Starts listening; port 0 takes a free one.

        Args:
            host: address to listen on.
            port: 0 takes a free one.
            tls: the worker's certificate; None for plain connections.

        Returns:
            The port.

        Raises:
            OSError: the address can't be bound.
        """
        self._server = await serve(
            self._handle,
            host,
            port,
            ssl=tls,
            process_request=self._process_request,
            compression=None,
            server_header=None,
            open_timeout=FIRST_MESSAGE_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_INTERVAL_S,
            max_size=protocol.MAX_MESSAGE_BYTES,
            max_queue=READ_AHEAD_MESSAGES,
            write_limit=WRITE_LIMIT_BYTES,
        )
        port_taken: int = next(iter(self._server.sockets)).getsockname()[1]
        return port_taken

    async def stop(self) -> None:
        """Closes every connection and the port."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuses with an HTTP status, or lets the upgrade go on."""
        try:
            self._token_of(request)
        except Refused as refusal:
            return _refusal(connection, refusal)
        return None

    def _token_of(self, request: Request | None) -> SessionToken:
        header = request.headers.get("Authorization", "") if request else ""
        scheme, _, auth_token = header.partition(" ")
        if scheme.lower() != "bearer" or not auth_token:
            raise Unauthorized("send the session token as `Authorization: Bearer <token>`")
        return self._authorize(auth_token.strip(), time.time())

    async def _handle(self, connection: ServerConnection) -> None:
        """Carries one connection to its end."""
        channel: GatewayChannel = Channel(connection, protocol.decode_from_gateway)
        try:
            token = self._token_of(connection.request)
            await self._serve_session(SessionLink(token, await _first_message(channel), channel))
        except Refused as refusal:
            channel.send_control(ErrorMessage(code=refusal.code, message=str(refusal)))
        except ProtocolError as error:
            channel.send_control(ErrorMessage(code="protocol", message=str(error)))
        except LinkLost:
            pass  # the gateway left before it said anything: there is nobody to tell
        finally:
            await channel.close()


async def _first_message(channel: GatewayChannel) -> OpenSession:
    """Reads the "open" that has to come first.

    Raises:
        ProtocolError: anything else came, or nothing in time.
        LinkLost: the connection ended.
    """
    try:
        async with asyncio.timeout(FIRST_MESSAGE_S):
            message = await anext(channel.messages(), None)
    except TimeoutError:
        raise ProtocolError(f"no open message within {FIRST_MESSAGE_S} s") from None
    if message is None:
        raise LinkLost("the gateway closed the connection before it opened a session")
    if not isinstance(message, OpenSession):
        raise ProtocolError(f"the first message must be open, not {type(message).__name__}")
    return message


def _refusal(connection: ServerConnection, refusal: Refused) -> Response:
    response = connection.respond(refusals.http_status(refusal), refusals.http_body(refusal))
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response
