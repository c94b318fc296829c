"""Twilio's two doors: the signed webhook and the media socket.

HTTP and WebSocket in, `Reception` behind. Everything is refused here that is not Twilio or not
one webhook's one socket, before a socket is accepted and before a slot is touched.
"""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import parse_qsl

import structlog
from fastapi import APIRouter, Request, Response, WebSocket
from fastapi.responses import PlainTextResponse

from callcenter import metrics
from callcenter.errors import (
    BrokerUnavailable,
    Draining,
    MessageTooLarge,
    NoCapacity,
    ProtocolError,
    Refused,
    Unauthorized,
)
from callcenter.gateway.live import AlreadyConnected
from callcenter.gateway.reception import MEDIA_PATH, TRANSPORT, Reception, read_announcement
from callcenter.telephony.twilio.control import CallResource, SignatureCheck
from callcenter.telephony.twilio.grants import StreamGrant
from callcenter.telephony.twilio.leg import TwilioLeg

VOICE_PATH = "/twilio/voice"
MAX_FORM_BYTES = 65_536  # a voice webhook has about 1,000

_STATUS: dict[type[Exception], HTTPStatus] = {
    Unauthorized: HTTPStatus.FORBIDDEN,
    AlreadyConnected: HTTPStatus.CONFLICT,
    NoCapacity: HTTPStatus.SERVICE_UNAVAILABLE,
    Draining: HTTPStatus.SERVICE_UNAVAILABLE,
    BrokerUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    MessageTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ProtocolError: HTTPStatus.BAD_REQUEST,
}
TROUBLE = (Refused, BrokerUnavailable, ProtocolError)

log = structlog.get_logger(__name__)


def router(
    reception: Reception,
    signatures: SignatureCheck,
    calls: CallResource | None,
    max_message_bytes: int,
) -> APIRouter:
    """The routes of this carrier."""
    routes = APIRouter()

    @routes.post(VOICE_PATH)
    async def voice(request: Request) -> Response:
        """A call comes in: which persona answers it, and where its audio goes."""
        try:
            form = await _form(request)
            signature = signatures.check_webhook(_signed_path(request), form, request.headers)
            announcement = read_announcement(form, signature)
        except TROUBLE as trouble:
            return _refusal(trouble)
        with structlog.contextvars.bound_contextvars(call_id=announcement.call_sid):
            answer = await reception.announce(announcement)
        return Response(answer.twiml, answer.status, media_type="application/xml")

    @routes.websocket(MEDIA_PATH + "/{token}")
    async def media(websocket: WebSocket, token: str) -> None:
        """The audio of one call."""
        try:
            signatures.check_socket(websocket.url.path, websocket.headers)
            grant = await reception.admit(token)
        except TROUBLE as trouble:
            await websocket.send_denial_response(_refusal(trouble))
            return
        with structlog.contextvars.bound_contextvars(call_id=grant.call_sid):
            await _carry(websocket, grant)

    async def _carry(websocket: WebSocket, grant: StreamGrant) -> None:
        await websocket.accept()
        leg = TwilioLeg(websocket, grant.call_sid, calls, max_message_bytes)
        await reception.carry(leg, grant)

    return routes


def _signed_path(request: Request) -> str:
    """Path and query as Twilio signed them."""
    query = request.url.query
    return request.url.path + (f"?{query}" if query else "")


async def _form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM_BYTES:
            raise MessageTooLarge(f"a form of more than {MAX_FORM_BYTES} bytes")
    try:
        fields = parse_qsl(
            body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=200
        )
    except ValueError:  # not UTF-8, or no form
        raise ProtocolError("the body is no form (application/x-www-form-urlencoded)") from None
    return dict(fields)


def _refusal(trouble: Exception) -> Response:
    status = next(code for kind, code in _STATUS.items() if isinstance(trouble, kind))
    code = trouble.code if isinstance(trouble, Refused) else status.phrase.lower().replace(" ", "_")
    log.warning("request_refused", code=code, detail=str(trouble))
    metrics.REFUSALS.labels(TRANSPORT, code).inc()
    return PlainTextResponse(f"{trouble}\n", status)
