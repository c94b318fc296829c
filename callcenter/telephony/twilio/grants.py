"""One-time addresses of media sockets.

The webhook stores a grant and puts its auth token into the stream's URL; the socket takes the grant
out again with one GETDEL, so an address works once, for one call, for a short time. The same
webhook, delivered twice, gets the same answer and no second slot.

Twilio's signature has no time in it, so a recorded webhook would be good for ever. Each signature
is therefore remembered for a day, with the call that it came with: after the short time it is a
replay. It is the signature that counts and not the call alone, since Twilio may ask again about a
live call (a <Redirect>), with other fields and so with another signature; nor the fields, since
Twilio signs them without marks between them, and a character may move from one to the next.

Grants live in Redis, because the socket may reach another gateway than the webhook did. While Redis
is down they live in this process: a call still comes through where the same gateway gets both.

It knows nothing of slots or personas: what a grant carries for the call is opaque here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from callcenter.errors import BrokerUnavailable, Unauthorized

TOKEN_BYTES = 24
SIGNATURE_KEPT_S = 86_400
KEPT_HERE = 10_000  # entries of each kind, while Redis is down

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamGrant:
    """The right to open one media socket.

    Attributes:
        call_sid: the only call that it is good for.
        called: the number that was dialled; for the record.
        caller: who called.
        received_at_s: Unix time of the webhook.
        claim: the slot that was claimed, as plain data.
        pin: the route as it was then, as plain data; what is published later is for later calls.
    """

    call_sid: str
    called: str
    caller: str
    received_at_s: float
    claim: Mapping[str, Any]
    pin: Mapping[str, Any] = field(default_factory=dict)


class StreamGrants:
    """Grants, and the answers that were given with them.

    Args:
        redis: shared by all gateways.
        ttl_s: how long a grant and the answer to its webhook are kept.
        clock: of the entries kept here while Redis is down, in seconds.
    """

    def __init__(
        self, redis: Redis, ttl_s: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis = redis
        self._ttl_s = ttl_s
        self._here = ExpiringTexts(ttl_s, clock)
        self._signatures_here = ExpiringTexts(SIGNATURE_KEPT_S, clock)

    async def issue(self, grant: StreamGrant) -> str:
        """Stores a grant and returns its auth token, URL-safe."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        key, text = _grant_key(token), json.dumps(asdict(grant))
        try:
            await _answer_of(self._redis.set(key, text, ex=self._ttl_s))
        except RedisError as error:
            log.warning("grant_kept_here", detail=str(error))
            self._here.put(key, text)
        return token

    async def redeem(self, token: str) -> StreamGrant:
        """Takes a grant out; nobody can take it again.

        Raises:
            Unauthorized: never issued, expired, or used before.
            BrokerUnavailable: Redis does not answer, and this process did not issue it.
        """
        key = _grant_key(token)
        text = self._here.take(key)
        if text is None:
            try:
                stored = await _answer_of(self._redis.getdel(key))
            except RedisError as error:
                raise BrokerUnavailable(f"Redis: {error}") from error
            text = None if stored is None else _as_text(stored)
        if text is None:
            raise Unauthorized("the stream's address is unknown, expired or was used before")
        return StreamGrant(**json.loads(text))

    async def is_replay(self, call_sid: str, signature: str) -> bool:
        """Whether a webhook is a recorded one, and notes it down if it is the first of its kind.

        While Redis is down, this process knows only what it has seen itself: calls are worth more
        then than the certainty that no other gateway saw the webhook before.
        """
        key = _signature_key(signature)
        try:
            earlier = await _answer_of(
                self._redis.set(key, call_sid, ex=SIGNATURE_KEPT_S, nx=True, get=True)
            )
            if earlier is None:
                return self._is_replay_here(key, call_sid)
            left_ms = int(await _answer_of(self._redis.pttl(key)))
        except RedisError as error:
            log.warning("signatures_unknown", detail=str(error))
            return self._is_replay_here(key, call_sid)
        age_s = SIGNATURE_KEPT_S - left_ms / 1_000
        return _as_text(earlier) != call_sid or age_s > self._ttl_s

    def _is_replay_here(self, key: str, call_sid: str) -> bool:
        age_s, known = self._signatures_here.aged(key)
        if known is None:
            self._signatures_here.put(key, call_sid)
            return False
        return known != call_sid or age_s > self._ttl_s

    async def remember_answer(self, call_sid: str, signature: str, twiml: str) -> str:
        """Keeps the answer to a webhook for its repetition.

        Returns:
            The answer that counts: an earlier one, when the repetition overtook us.
        """
        key = _answer_key(call_sid, signature)
        try:
            earlier = await _answer_of(
                self._redis.set(key, twiml, ex=self._ttl_s, nx=True, get=True)
            )
        except RedisError:  # it went down since the claim, or before
            self._here.put(key, twiml)
            return twiml
        return twiml if earlier is None else _as_text(earlier)

    async def recall_answer(self, call_sid: str, signature: str) -> str | None:
        """The answer to the same webhook, if it came before."""
        key = _answer_key(call_sid, signature)
        here = self._here.get(key)
        if here is not None:
            return here
        try:
            text = await _answer_of(self._redis.get(key))
        except RedisError as error:
            log.warning("answers_unknown", detail=str(error))
            return None
        return None if text is None else _as_text(text)


class ExpiringTexts:
    """At most `KEPT_HERE` texts that are forgotten after a while, the oldest first."""

    def __init__(self, ttl_s: float, clock: Callable[[], float]) -> None:
        self._ttl_s = ttl_s
        self._clock = clock
        self._entries: dict[str, tuple[float, str]] = {}  # in order of their expiry

    def put(self, key: str, text: str) -> None:
        """Keeps a text."""
        self._expire()
        self._entries.pop(key, None)
        self._entries[key] = (self._clock() + self._ttl_s, text)
        if len(self._entries) > KEPT_HERE:
            del self._entries[next(iter(self._entries))]

    def aged(self, key: str) -> tuple[float, str | None]:
        """How long ago a text was put down, in seconds, and the text, if it is still kept."""
        self._expire()
        expires_at, text = self._entries.get(key, (0.0, None))
        return self._clock() + self._ttl_s - expires_at, text

    def get(self, key: str) -> str | None:
        """The text, if it is still kept."""
        self._expire()
        entry = self._entries.get(key)
        return entry[1] if entry else None

    def take(self, key: str) -> str | None:
        """The text, once."""
        text = self.get(key)
        self._entries.pop(key, None)
        return text

    def _expire(self) -> None:
        now = self._clock()
        while self._entries:
            key, (expires_at, _) = next(iter(self._entries.items()))
            if expires_at > now:
                return
            del self._entries[key]


async def _answer_of(command: Awaitable[Any]) -> Any:
    """Redis's answer, unless the task was cancelled in the meantime.

    redis-py uses asyncio.wait_for, and that of Python 3.11 loses a cancellation which meets the end
    of what is waited for: the task would live on.
    """
    task = asyncio.current_task()
    cancelled_before = task.cancelling() if task else 0
    answer = await command
    if task and task.cancelling() > cancelled_before:
        raise asyncio.CancelledError
    return answer


def _as_text(value: object) -> str:
    """Redis clients differ in whether they decode."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _grant_key(token: str) -> str:
    """Redis holds the hash only: who can read its keys still cannot open a socket."""
    return f"cc:twilio:grant:{hashlib.sha256(token.encode()).hexdigest()}"


def _answer_key(call_sid: str, signature: str) -> str:
    digest = hashlib.sha256(f"{call_sid}\0{signature}".encode()).hexdigest()
    return f"cc:twilio:answer:{digest}"


def _signature_key(signature: str) -> str:
    return f"cc:twilio:signature:{hashlib.sha256(signature.encode()).hexdigest()}"
