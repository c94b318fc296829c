"""The session token: the gateway's signed word to one worker about one call.

A worker trusts nobody's claim of a slot without it: Redis may have lost a write, a gateway may act
on an old claim. The text is `<payload>.<mac>`, both URL-safe base64 without padding; the payload is
JSON, the MAC is HMAC-SHA256 (RFC 2104) over the payload as sent.

This module knows no clock (the time is an argument) and doesn't know which worker or epoch is the
right one; the worker compares those.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from callcenter.errors import Unauthorized

MAX_TOKEN_CHARS = 2_048
MIN_SECRET_BYTES = 32

Name = Annotated[str, Field(min_length=1, max_length=200)]


class SessionToken(BaseModel):
    """What the gateway says about the session it wants to open.

    Attributes:
        call_id: the call that the session serves.
        worker_id: the one worker that may admit it.
        epoch: that worker's process start; another epoch is another process.
        fencing_token: number of the claim; a higher one for the same call supersedes.
        prompt_hash: hash of voice and role text, so that the token binds the prompt too.
        expires_at_s: Unix time after which no new session may be opened with it.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    call_id: Name
    worker_id: Name
    epoch: Annotated[int, Field(ge=0)]
    fencing_token: Annotated[int, Field(ge=0)]
    prompt_hash: Name
    expires_at_s: float


def sign(token: SessionToken, secret: str) -> str:
    """Turns a token into text that `verify` accepts until it expires.

    Raises:
        ValueError: the secret is shorter than 32 bytes.
    """
    payload = _encode(token.model_dump_json().encode())
    return f"{payload}.{_encode(_mac(payload, secret))}"


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
    if len(text) > MAX_TOKEN_CHARS:
        raise Unauthorized("the session token is too long")
    payload, dot, mac = text.partition(".")
    if not dot or not _is_signed(payload, _decode(mac), secrets):
        raise Unauthorized("the session token is not signed with this worker's link secret")
    try:
        token = SessionToken.model_validate_json(_decode(payload))
    except ValidationError:
        # Signed, but by a gateway of another version.
        raise Unauthorized("the session token has other fields than this worker expects") from None
    if now_s >= token.expires_at_s:
        raise Unauthorized("the session token has expired; claim the slot again")
    return token


def _is_signed(payload: str, mac: bytes, secrets: str | Sequence[str]) -> bool:
    known = (secrets,) if isinstance(secrets, str) else secrets
    return any(hmac.compare_digest(mac, _mac(payload, secret)) for secret in known)


def _mac(payload: str, secret: str) -> bytes:
    key = secret.encode()
    if len(key) < MIN_SECRET_BYTES:
        raise ValueError(f"the link secret must have at least {MIN_SECRET_BYTES} bytes")
    return hmac.digest(key, payload.encode("utf-8", "replace"), hashlib.sha256)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        # Not base64, or not even ASCII: somebody else's text.
        raise Unauthorized("the session token is malformed") from None
