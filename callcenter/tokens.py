"""Signed tokens: one program's word to another, or to itself by way of a browser.

A token is a JSON Web Token (RFC 7519), signed with HMAC-SHA256 by PyJWT. As RFC 8725 advises, its
header says what it is for (`typ`), its claims say who may take it (`aud`) and until when (`exp`),
and each has an id of its own (`jti`), so that whoever takes it can see to it that it is used once.
No other algorithm is accepted, and the comparison takes the same time for every wrong signature.

It knows no clock (the time is an argument), no Redis, and no kind of token.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from callcenter.errors import Unauthorized

MAX_TOKEN_CHARS = 2_048
MIN_SECRET_BYTES = 32

_ALGORITHM = "HS256"
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# The time is checked here, against the caller's clock.
_OPTIONS: Any = {
    "require": ["aud", "exp", "jti"],
    "strict_aud": True,
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


class TokenExpired(Unauthorized):
    """The token was good, and is no longer."""

    code = "token_expired"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of token; one of another kind is refused, even if the secret is the same.

    Attributes:
        name: what errors call it.
        purpose: what it is for: the header's `typ`.
        audience: who may take it.
    """

    name: str
    purpose: str
    audience: str


def sign(
    kind: Kind, claims: Mapping[str, Any], token_id: str, expires_at_s: float, secret: str
) -> str:
    """Turns claims into text that `verify` accepts until it expires.

    Args:
        kind: what for, and for whom.
        claims: JSON; none of them "aud", "exp" or "jti".
        token_id: different for each token.
        expires_at_s: Unix time.
        secret: at least 32 bytes.

    Raises:
        ValueError: the secret is too short.
    """
    payload = {**claims, "aud": kind.audience, "exp": expires_at_s, "jti": token_id}
    return jwt.encode(payload, _key(secret), _ALGORITHM, headers={"typ": kind.purpose})


def verify(kind: Kind, text: str, secrets: Sequence[str], now_s: float) -> dict[str, Any]:
    """The claims of a token that is genuine and still good, "exp" and "jti" among them.

    Args:
        kind: what it must be.
        text: what `sign` returned.
        secrets: it was signed with one of them; several while one replaces the other.
        now_s: Unix time.

    Raises:
        TokenExpired: it was good.
        Unauthorized: malformed, signed with another secret, or of another kind.
        ValueError: a secret is shorter than 32 bytes.
    """
    if len(text) > MAX_TOKEN_CHARS:
        raise Unauthorized(f"the {kind.name} is too long")
    if not _SHAPE.fullmatch(text):
        raise Unauthorized(f"the {kind.name} is malformed")
    claims = _signed_claims(kind, text, secrets)
    expires_at_s = claims.pop("exp")
    if not isinstance(expires_at_s, int | float) or not math.isfinite(expires_at_s):
        raise Unauthorized(f"the {kind.name} names no time at which it expires")
    if now_s >= expires_at_s:
        raise TokenExpired(f"the {kind.name} has expired")
    del claims["aud"]
    return {**claims, "exp": float(expires_at_s)}


def _signed_claims(kind: Kind, text: str, secrets: Sequence[str]) -> dict[str, Any]:
    for secret in secrets:
        try:
            found = jwt.decode_complete(
                text, _key(secret), [_ALGORITHM], options=_OPTIONS, audience=kind.audience
            )
        except jwt.InvalidSignatureError:  # perhaps the other secret's
            continue
        except (jwt.InvalidAudienceError, jwt.MissingRequiredClaimError):
            raise Unauthorized(f"the {kind.name} is not meant for us") from None
        except jwt.PyJWTError:  # no token, or one with another algorithm
            raise Unauthorized(f"the {kind.name} is malformed") from None
        if found["header"].get("typ") != kind.purpose:
            raise Unauthorized(f"the {kind.name} is not meant for us")
        claims: dict[str, Any] = found["payload"]
        return claims
    raise Unauthorized(f"the {kind.name} is not signed with a secret that counts here")


def _key(secret: str) -> bytes:
    key = secret.encode()
    if len(key) < MIN_SECRET_BYTES:
        raise ValueError(f"a secret that signs tokens must have at least {MIN_SECRET_BYTES} bytes")
    return key
