"""One-time addresses of media sockets.

The webhook puts a grant into Redis and its auth token into the stream's URL; the socket takes the
grant out again with one GETDEL, so an address works once, for one call, for a short time. The same
webhook, delivered twice, gets the same answer and no second slot.

It knows nothing of slots or personas: what a grant carries for the call is opaque here.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from callcenter.errors import BrokerUnavailable, Unauthorized

TOKEN_BYTES = 24


@dataclass(frozen=True, slots=True)
class StreamGrant:
    """The right to open one media socket.

    Attributes:
        call_sid: the only call that it is good for.
        called: the number that was dialled; decides the persona.
        caller: who called.
        received_at_s: Unix time of the webhook.
        claim: the slot that was claimed, as plain data.
    """

    call_sid: str
    called: str
    caller: str
    received_at_s: float
    claim: Mapping[str, Any]


class StreamGrants:
    """Grants in Redis.

    Args:
        redis: shared by all gateways: the socket may reach another one than the webhook did.
        ttl_s: how long a grant and the answer to its webhook are kept.
    """

    def __init__(self, redis: Redis, ttl_s: int) -> None:
        self._redis = redis
        self._ttl_s = ttl_s

    async def issue(self, grant: StreamGrant) -> str:
        """Stores a grant and returns its auth token, URL-safe.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        token = secrets.token_urlsafe(TOKEN_BYTES)
        try:
            await self._redis.set(_grant_key(token), json.dumps(asdict(grant)), ex=self._ttl_s)
        except RedisError as error:
            raise BrokerUnavailable(f"Redis: {error}") from error
        return token

    async def redeem(self, token: str) -> StreamGrant:
        """Takes a grant out; nobody can take it again.

        Raises:
            Unauthorized: never issued, expired, or used before.
            BrokerUnavailable: Redis does not answer.
        """
        try:
            text = await self._redis.getdel(_grant_key(token))
        except RedisError as error:
            raise BrokerUnavailable(f"Redis: {error}") from error
        if text is None:
            raise Unauthorized("the stream's address is unknown, expired or was used before")
        return StreamGrant(**json.loads(text))

    async def remember_answer(self, call_sid: str, signature: str, twiml: str) -> str:
        """Keeps the answer to a webhook for its repetition.

        Returns:
            The answer that counts: an earlier one, when the repetition overtook us.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        key = _answer_key(call_sid, signature)
        try:
            earlier = await self._redis.set(key, twiml, ex=self._ttl_s, nx=True, get=True)
        except RedisError as error:
            raise BrokerUnavailable(f"Redis: {error}") from error
        return twiml if earlier is None else _as_text(earlier)

    async def recall_answer(self, call_sid: str, signature: str) -> str | None:
        """The answer to the same webhook, if it came before.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        try:
            text = await self._redis.get(_answer_key(call_sid, signature))
        except RedisError as error:
            raise BrokerUnavailable(f"Redis: {error}") from error
        return None if text is None else _as_text(text)


def _as_text(value: object) -> str:
    """Redis clients differ in whether they decode."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _grant_key(token: str) -> str:
    """Redis holds the hash only: who can read its keys still cannot open a socket."""
    return f"cc:twilio:grant:{hashlib.sha256(token.encode()).hexdigest()}"


def _answer_key(call_sid: str, signature: str) -> str:
    digest = hashlib.sha256(f"{call_sid}\0{signature}".encode()).hexdigest()
    return f"cc:twilio:answer:{digest}"
