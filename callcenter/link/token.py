"""The session token: the gateway's signed word to one worker about one call.

A worker trusts nobody's claim of a slot without it: Redis may have lost a write, a gateway may act
on an old claim. It is good for one session, which the worker sees to by its id: see
callcenter/worker/admission.py. How it is signed is the business of callcenter/tokens.py.

This module knows no clock (the time is an argument) and doesn't know which worker or epoch is the
right one; the worker compares those.
"""

from __future__ import annotations

import secrets as random_secrets
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from callcenter import tokens
from callcenter.errors import Unauthorized
from callcenter.tokens import MAX_TOKEN_CHARS, MIN_SECRET_BYTES

__all__ = ["MAX_TOKEN_CHARS", "MIN_SECRET_BYTES", "SessionToken", "sign", "verify"]

KIND = tokens.Kind("session token", purpose="session+jwt", audience="worker")
ID_BYTES = 12

Name = Annotated[str, Field(min_length=1, max_length=200)]


def _fresh_id() -> str:
    return random_secrets.token_urlsafe(ID_BYTES)


class SessionToken(BaseModel):
    """What the gateway says about the session it wants to open.

    Attributes:
        call_id: the call that the session serves.
        worker_id: the one worker that may admit it.
        epoch: that worker's process start; another epoch is another process.
        fencing_token: number of the claim; a higher one for the same call supersedes.
        prompt_hash: hash of voice and role text, so that the token binds the prompt too.
        expires_at_s: Unix time after which no new session may be opened with it.
        token_id: its own; made up.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    call_id: Name
    worker_id: Name
    epoch: Annotated[int, Field(ge=0)]
    fencing_token: Annotated[int, Field(ge=0)]
    prompt_hash: Name
    expires_at_s: float
    token_id: Name = Field(default_factory=_fresh_id)


def sign(token: SessionToken, secret: str) -> str:
    """Turns a token into text that `verify` accepts until it expires.

    Raises:
        ValueError: the secret is shorter than 32 bytes.
    """
    claims = token.model_dump(exclude={"expires_at_s", "token_id"})
    return tokens.sign(KIND, claims, token.token_id, token.expires_at_s, secret)


def verify(text: str, secrets: str | Sequence[str], now_s: float) -> SessionToken:
    """Reads a token, if it is genuine and still good.

    Args:
        text: what `sign` returned.
        secrets: it was signed with one of them, at least 32 bytes each; several while gateways
            change from one to the next.
        now_s: Unix time.

    Raises:
        Unauthorized: malformed, signed with another secret, or expired.
        ValueError: a secret is shorter than 32 bytes.
    """
    known = (secrets,) if isinstance(secrets, str) else secrets
    try:
        claims = tokens.verify(KIND, text, known, now_s)
    except tokens.TokenExpired:
        raise Unauthorized("the session token has expired; claim the slot again") from None
    names = {"jti": "token_id", "exp": "expires_at_s"}
    try:
        return SessionToken.model_validate({names.get(n, n): v for n, v in claims.items()})
    except ValidationError:
        # Signed, but by a gateway of another version.
        raise Unauthorized("the session token has other fields than this worker expects") from None
