"""What every request of the API passes: who asks, may they, is it well-formed, and one transaction.

    rate limit -> key or session (+ CSRF) -> role -> log-in fresh enough -> body within limits
        -> prepared -> transaction
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
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NoReturn, Protocol, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError

from callcenter.admin.problems import Problem
from callcenter.admin.security import bodies, keys, sessions
from callcenter.admin.security.rates import RateLimits
from callcenter.admin.security.refusals import Refusals
from callcenter.admin.security.sessions import (
    CSRF_HEADER,
    SEEN_PRECISION,
    UNATTENDED_HEADER,
    ConsoleSession,
    Rules,
)
from callcenter.admin.store import replays
from callcenter.admin.store.database import Database
from callcenter.admin.store.work import NOBODY, Actor, Work

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
        fresh: whether a session must have proved lately who its person is.
        prepare: what is done before the transaction; leaves its result in the request's state.
    """

    role: str
    changes: bool
    max_body_bytes: int
    replays: bool
    fresh: bool
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
            fresh=extra.get("x-fresh", False),
            prepare=getattr(self.endpoint, "prepare", None),
        )

        async def guarded(request: Request) -> Response:
            gate: Gate = request.app.state.gate
            return await gate.let_through(request, handler, wanted)

        return guarded


class Gate:
    """Everything that guards the API."""

    def __init__(
        self,
        database: Database,
        rates: RateLimits,
        announcer: Announcer,
        rules: Rules | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        self._database = database
        self._rates = rates
        self._announcer = announcer
        self._rules = rules or Rules()
        self._refusals = refusals or Refusals()
        self._preparing = asyncio.Semaphore(PREPARED_AT_ONCE)

    async def let_through(self, request: Request, handler: Handler, wanted: Needs) -> Response:
        """Runs a handler in a transaction, if the request may.

        Raises:
            Problem: why it may not.
        """
        now = datetime.now(UTC)
        address = address_of(request)
        actor = await self._actor(request, wanted, address, now)
        receive = bodies.bounded(request.receive, wanted.max_body_bytes)
        request = Request(request.scope, receive)
        body = await bodies.read(request, wanted.max_body_bytes)
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
        address = address_of(request)
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
        request.state.session = None
        if wanted.role == "public":
            return NOBODY
        actor, session = await self._identified(request, address, now)
        request.state.session = session
        try:
            await self._count(actor, address, now)
        finally:
            request.state.rate_headers = await self._rates.headers(actor.id)
        if not actor.may(wanted.role):  # type: ignore[arg-type]
            self.refuse(
                "role_too_low",
                request,
                Problem(
                    HTTPStatus.FORBIDDEN,
                    "role_too_low",
                    f"this needs the role {wanted.role}; {actor.kind} '{actor.name}' "
                    f"is {actor.role}",
                ),
                actor,
            )
        if wanted.fresh and session and now - session.authenticated_at > self._rules.fresh:
            self.refuse("log_in_again", request, log_in_again(), actor)
        return actor

    async def _identified(
        self, request: Request, address: str, now: datetime
    ) -> tuple[Actor, ConsoleSession | None]:
        secret = _bearer(request)
        if secret is not None:
            key = await self.key_of(secret, now)
            if key is not None:
                return key.actor(), None
            await self.failed(
                "bad_key",
                request,
                "the API key is unknown, expired or revoked",
                keys.prefix_of(secret),
            )
        cookie = self._rules.cookie_of(request)
        if not cookie:
            hint = unauthorized("send 'Authorization: Bearer <API key>', or log in")
            self.refuse("no_credentials", request, hint)
        async with self._database.reading() as db:
            session = await sessions.find(db, cookie, now, self._rules)
        if session is None:
            over = unauthorized("the session is over; log in again")
            self.refuse("session_over", request, over)
        if request.method not in _READS:
            self._check_csrf(request, session)
        await self._put_down_seen(request, session, now)
        return session.actor, session

    async def _count(self, actor: Actor, address: str, now: datetime) -> None:
        try:
            await self._rates.check_request(actor.id)
        except Problem:
            self._refusals.note("rate_limited", address, now, actor)
            raise

    async def _put_down_seen(
        self, request: Request, session: ConsoleSession, now: datetime
    ) -> None:
        """A page that looks again by itself does not keep a session alive."""
        by_itself = UNATTENDED_HEADER in request.headers or "event-stream" in request.headers.get(
            "Accept", ""
        )
        if not by_itself and now - session.last_seen_at > SEEN_PRECISION:
            async with self._database.writing() as db:
                await sessions.put_down_seen(db, session.id, now)

    def _check_csrf(self, request: Request, session: ConsoleSession) -> None:
        sent = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(sent.encode(), session.csrf.encode()):
            detail = f"send the session's CSRF token in the header {CSRF_HEADER}"
            problem = Problem(HTTPStatus.FORBIDDEN, "csrf", detail)
            self.refuse("csrf", request, problem, session.actor)

    async def still_may(self, request: Request, role: str) -> bool:
        """Whether the sender of a request that is being answered still has a role.

        A revoked key, an ended session and a lower role count at once; nothing is put down.
        """
        now, secret = datetime.now(UTC), _bearer(request)
        try:
            async with self._database.reading() as db:
                if secret is not None:
                    key = await keys.by_secret(db, secret, now)
                    actor = key.actor() if key is not None else None
                else:
                    cookie = self._rules.cookie_of(request)
                    session = await sessions.find(db, cookie, now, self._rules)
                    actor = session.actor if session is not None else None
        except (SQLAlchemyError, OSError):  # the database is away: whoever reads asks again
            return False
        return actor is not None and actor.may(role)  # type: ignore[arg-type]

    async def key_of(self, secret: str, now: datetime) -> keys.ApiKey | None:
        """The good key with that secret; its use is put down."""
        async with self._database.reading() as db:
            key = await keys.by_secret(db, secret, now)
        if key is not None and keys.use_is_news(key, now):
            async with self._database.writing() as db:
                await keys.put_down_use(db, key, now)
        return key

    # --- who is turned away -----------------------------------------------------------------------

    def refuse(
        self, kind: str, request: Request, problem: Problem, actor: Actor = NOBODY
    ) -> NoReturn:
        """Puts a refusal down and raises it."""
        why = f"{request.method} {_pattern(request)}"
        self._refusals.note(kind, address_of(request), datetime.now(UTC), actor, why)
        raise problem

    async def failed(self, kind: str, request: Request, detail: str, why: str = "") -> NoReturn:
        """Turns away who could not prove who they are; a Problem, 429 after too many."""
        now, address = datetime.now(UTC), address_of(request)
        self._refusals.note(kind, address, now, why=why)
        try:
            await self._rates.failed_login(address)
        except Problem:
            self._refusals.note("rate_limited", address, now)
            raise
        raise unauthorized(detail)


def unauthorized(detail: str) -> Problem:
    """Nobody we know."""
    return Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail)


def log_in_again() -> Problem:
    """Known, but not proved lately."""
    detail = "this needs a fresh log-in: prove once more who you are, then repeat it"
    return Problem(HTTPStatus.FORBIDDEN, "log_in_again", detail)


def address_of(request: Request) -> str:
    """Where a request came from, as the server knows it."""
    return request.client.host if request.client else ""


def _bearer(request: Request) -> str | None:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None


def _pattern(request: Request) -> str:
    """The route's pattern: a path may hold the name of something."""
    route = request.scope.get("route")
    return str(getattr(route, "path", ""))


def _request_hash(request: Request, body: bytes) -> str:
    digest = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    digest.update(body)
    return digest.hexdigest()
