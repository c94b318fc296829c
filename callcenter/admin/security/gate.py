"""What every request of the API passes: who asks, may they, is it well-formed, and one transaction.

    rate limit -> key or session (+ CSRF) -> role -> body within limits -> prepared -> transaction
        -> replay of an idempotency key, or the handler -> audit log written? -> commit -> publish

What takes its time (reading a large file) is prepared before the transaction: there is one writer
at a time, and the journal's intake is among those who wait for it.

A route says what it needs in its OpenAPI description (`x-role`), where people can read it too. A
route that says nothing is for viewers if it reads, and for admins if it writes.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message, Receive

from callcenter.admin.problems import Problem
from callcenter.admin.security import keys, sessions
from callcenter.admin.security.rates import RateLimits
from callcenter.admin.security.sessions import COOKIE, CSRF_HEADER
from callcenter.admin.store import replays
from callcenter.admin.store.database import Database
from callcenter.admin.store.work import Actor, Work

MAX_BODY_BYTES = 1_048_576
_READS = frozenset({"GET", "HEAD"})

PREPARED_AT_ONCE = 2  # large files; each takes a core and some hundred megabytes for seconds

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Prepare = Callable[[Request], Awaitable[None]]
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class Announcer(Protocol):
    """Whoever tells the gateways of a changed configuration."""

    async def publish_soon(self) -> None:
        """Publishes, or makes sure that it happens later; never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Needs:
    """What a route asks of a request.

    Attributes:
        role: the least role; "public" for none.
        changes: whether something is written; then the audit log must be, too.
        max_body_bytes: of the request.
        replays: whether an Idempotency-Key keeps the answer; not where it holds a secret.
        prepare: what is done before the transaction; leaves its result in the request's state.
    """

    role: str
    changes: bool
    max_body_bytes: int
    replays: bool
    prepare: Prepare | None


def needs(role: str, **more: Any) -> dict[str, Any]:
    """The description of a route's needs, for its `openapi_extra`."""
    return {"x-role": role, **{f"x-{name.replace('_', '-')}": more[name] for name in more}}


def prepared_by(prepare: Prepare) -> Callable[[Endpoint], Endpoint]:
    """Lets something be done for a route before its transaction begins."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.prepare = prepare  # type: ignore[attr-defined]
        return endpoint

    return mark


class ApiRoute(APIRoute):
    """A route behind the gate."""

    def get_route_handler(self) -> Handler:
        """Puts the gate in front of the handler."""
        handler = super().get_route_handler()
        methods = self.methods or set()
        reads = methods <= _READS
        extra = self.openapi_extra or {}
        wanted = Needs(
            role=extra.get("x-role", "viewer" if reads else "admin"),
            changes=extra.get("x-changes", not reads),
            max_body_bytes=extra.get("x-max-body-bytes", MAX_BODY_BYTES),
            replays=extra.get("x-replays", True) and "POST" in methods,
            prepare=getattr(self.endpoint, "prepare", None),
        )

        async def guarded(request: Request) -> Response:
            gate: Gate = request.app.state.gate
            return await gate.let_through(request, handler, wanted)

        return guarded


class Gate:
    """Everything that guards the API."""

    def __init__(self, database: Database, rates: RateLimits, announcer: Announcer) -> None:
        self._database = database
        self._rates = rates
        self._announcer = announcer
        self._preparing = asyncio.Semaphore(PREPARED_AT_ONCE)

    async def let_through(self, request: Request, handler: Handler, wanted: Needs) -> Response:
        """Runs a handler in a transaction, if the request may.

        Raises:
            Problem: why it may not.
        """
        now = datetime.now(UTC)
        address = request.client.host if request.client else ""
        actor = await self._actor(request, wanted, address, now)
        request = Request(request.scope, _bounded(request.receive, wanted.max_body_bytes))
        body = await _body(request, wanted)
        try:
            if wanted.prepare is not None:
                await self._prepare(request, wanted.prepare)
            return await self._in_transaction(request, handler, wanted, actor, body, now)
        finally:
            await request.close()  # the form's files, if it has any

    async def _in_transaction(
        self,
        request: Request,
        handler: Handler,
        wanted: Needs,
        actor: Actor,
        body: bytes,
        now: datetime,
    ) -> Response:
        address = request.client.host if request.client else ""
        transaction = self._database.writing if wanted.changes else self._database.reading
        async with transaction() as db:
            work = Work(db, actor, now, address)
            request.state.work = work
            response = await self._replayed(request, handler, work, body, wanted)
            replayed = "idempotency-replayed" in response.headers
            if wanted.changes and not (replayed or work.audited):
                raise RuntimeError(f"{request.url.path} wrote without the audit log")
        if work.publishes:
            await self._announcer.publish_soon()
        return response

    async def _prepare(self, request: Request, prepare: Prepare) -> None:
        if self._preparing.locked():
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "files_are_read",
                f"{PREPARED_AT_ONCE} large files are being read now; try again",
                retry_after_s=5,
            )
        async with self._preparing:
            await prepare(request)

    async def _replayed(
        self, request: Request, handler: Handler, work: Work, body: bytes, wanted: Needs
    ) -> Response:
        key = request.headers.get("Idempotency-Key")
        if key is None or not (wanted.changes and wanted.replays):
            return await handler(request)
        if not (key.isprintable() and 0 < len(key) <= replays.MAX_KEY_CHARS):
            raise Problem(
                HTTPStatus.BAD_REQUEST,
                "bad_idempotency_key",
                f"an Idempotency-Key has 1 to {replays.MAX_KEY_CHARS} printable characters",
            )
        request_hash = _request_hash(request, body)
        earlier = await replays.recall(work, key, request_hash)
        if earlier is not None:
            return earlier
        response = await handler(request)
        if response.status_code < HTTPStatus.BAD_REQUEST:
            await replays.remember(work, key, request_hash, response)
        return response

    # --- who asks ---------------------------------------------------------------------------------

    async def _actor(self, request: Request, wanted: Needs, address: str, now: datetime) -> Actor:
        if wanted.role == "public":
            return Actor("nobody", "viewer")
        actor = await self._identified(request, address, now)
        await self._rates.check_request(actor.key_id)
        if not actor.may(wanted.role):  # type: ignore[arg-type]
            raise Problem(
                HTTPStatus.FORBIDDEN,
                "role_too_low",
                f"this needs the role {wanted.role}; your key '{actor.name}' is {actor.role}",
            )
        return actor

    async def _identified(self, request: Request, address: str, now: datetime) -> Actor:
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            key = await self.key_of(secret.strip(), now)
            if key is not None:
                return key.actor()
            await self._rates.failed_login(address)
            raise unauthorized("the API key is unknown, expired or revoked")
        cookie = request.cookies.get(COOKIE)
        if not cookie:
            raise unauthorized("send 'Authorization: Bearer <API key>', or log in")
        async with self._database.reading() as db:
            session = await sessions.find(db, cookie, now)
        if session is None:
            raise unauthorized("the session is over; log in again")
        if request.method not in _READS:
            _check_csrf(request, session.csrf)
        return session.key.actor()

    async def key_of(self, secret: str, now: datetime) -> keys.ApiKey | None:
        """The good key with that secret; its use is put down."""
        async with self._database.reading() as db:
            key = await keys.by_secret(db, secret, now)
        if key is not None and keys.use_is_news(key, now):
            async with self._database.writing() as db:
                await keys.put_down_use(db, key, now)
        return key


def unauthorized(detail: str) -> Problem:
    """Nobody we know."""
    return Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail)


def _check_csrf(request: Request, csrf: str) -> None:
    sent = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(sent.encode(), csrf.encode()):
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "csrf",
            f"send the session's CSRF token in the header {CSRF_HEADER}",
        )


# --- what is asked --------------------------------------------------------------------------------


async def _body(request: Request, wanted: Needs) -> bytes:
    """Reads the body within its limit, and looks for text that no database takes."""
    declared = request.headers.get("Content-Length", "0")
    if declared.isdigit() and int(declared) > wanted.max_body_bytes:
        raise too_large(wanted.max_body_bytes)
    pieces = [request.url.path, *request.query_params.keys(), *request.query_params.values()]
    body = await request.body()
    if "json" in request.headers.get("Content-Type", "json"):
        pieces += _texts(_parsed(body))
    for text in pieces:
        check_text(text)
    return body


def check_text(text: str) -> None:
    """Refuses NUL characters and lone surrogates, which databases do not store; a Problem."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise Problem(
            HTTPStatus.BAD_REQUEST, "bad_text", "text must not hold NUL or half of a surrogate pair"
        )


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError):  # no JSON, no Unicode, nested too deeply
        raise Problem(HTTPStatus.BAD_REQUEST, "bad_json", "the body is not JSON") from None


def _texts(data: Any) -> list[str]:
    """All strings in JSON data; refuses numbers that JSON does not have."""
    found: list[str] = []
    waiting = [data]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, dict):
            found += item.keys()
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, float) and not abs(item) < float("inf"):
            raise Problem(HTTPStatus.BAD_REQUEST, "bad_json", "NaN and Infinity are not JSON")
    return found


def _bounded(receive: Receive, limit: int) -> Receive:
    """Stops reading where the limit is passed, whatever Content-Length said."""
    total = 0

    async def bounded() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise too_large(limit)
        return message

    return bounded


def too_large(limit: int) -> Problem:
    """More bytes than a request may have."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body_too_large",
        f"the request has more than {limit} bytes",
    )


def _request_hash(request: Request, body: bytes) -> str:
    digest = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    digest.update(body)
    return digest.hexdigest()
