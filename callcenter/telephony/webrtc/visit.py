"""The visit token: the gateway's signed word that one page may call one persona, once, soon.

The text is `<payload>.<mac>`, both URL-safe base64 without padding; the payload is JSON, the MAC is
HMAC-SHA256 (RFC 2104) over the payload as sent. It knows no clock and no visitor.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from callcenter.errors import Unauthorized

MAX_TOKEN_CHARS = 2_048

Name = Annotated[str, Field(min_length=1, max_length=300)]


class TokenExpired(Unauthorized):
    """The token was good, and is no longer."""

    code = "token_expired"


class VisitToken(BaseModel):
    """What the gateway granted to a page.

    Attributes:
        visit_id: unguessable; becomes the call's id, so that a token is good for one call.
        persona: the only one that may be called with it.
        origin: the page's origin; the offer must come from the same.
        expires_at_s: Unix time after which no call may begin with it.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    visit_id: Name
    persona: Name
    origin: Name
    expires_at_s: float


def sign(token: VisitToken, secret: str) -> str:
    """Turns a token into text that `verify` accepts until it expires."""
    payload = _encode(token.model_dump_json().encode())
    return f"{payload}.{_encode(_mac(payload, secret))}"


def verify(text: str, secret: str, origin: str, now_s: float) -> VisitToken:
    """Reads a token, if it is genuine, still good, and used by the page that it was given to.

    Args:
        text: what `sign` returned.
        secret: the secret it was signed with.
        origin: of the page that uses it now.
        now_s: Unix time.

    Raises:
        TokenExpired: too old.
        Unauthorized: malformed, signed with another secret, or another page's.
    """
    payload, dot, mac = text.partition(".")
    if len(text) > MAX_TOKEN_CHARS or not dot:
        raise Unauthorized("the visit token is malformed")
    if not hmac.compare_digest(_decode(mac), _mac(payload, secret)):
        raise Unauthorized("the visit token was not signed here")
    try:
        token = VisitToken.model_validate_json(_decode(payload))
    except ValidationError:  # signed by a gateway of another release
        raise Unauthorized("the visit token has other fields than expected") from None
    if now_s >= token.expires_at_s:
        raise TokenExpired("the visit token has expired; ask for a new one")
    if token.origin != origin:
        raise Unauthorized("the visit token was given to another page")
    return token


def _mac(payload: str, secret: str) -> bytes:
    return hmac.digest(secret.encode(), payload.encode("utf-8", "replace"), hashlib.sha256)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):  # not base64, or not even ASCII
        raise Unauthorized("the visit token is malformed") from None
