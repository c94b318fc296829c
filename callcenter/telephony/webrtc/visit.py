"""The visit token: the gateway's signed word that one page may call one persona, once, soon.

How it is signed is the business of callcenter/tokens.py; that it is used once is seen to by
callcenter/broker/once.py. It knows no clock and no visitor.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from callcenter import tokens
from callcenter.errors import Unauthorized
from callcenter.tokens import TokenExpired

__all__ = ["TokenExpired", "VisitToken", "sign", "verify"]

KIND = tokens.Kind("visit token", purpose="visit+jwt", audience="gateway")

Name = Annotated[str, Field(min_length=1, max_length=300)]


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
    """Turns a token into text that `verify` accepts until it expires.

    Raises:
        ValueError: the secret is shorter than 32 bytes.
    """
    claims = {"persona": token.persona, "origin": token.origin}
    return tokens.sign(KIND, claims, token.visit_id, token.expires_at_s, secret)


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
    claims = tokens.verify(KIND, text, (secret,), now_s)
    names = {"jti": "visit_id", "exp": "expires_at_s"}
    try:
        token = VisitToken.model_validate({names.get(n, n): v for n, v in claims.items()})
    except ValidationError:  # signed by a gateway of another release
        raise Unauthorized("the visit token has other fields than expected") from None
    if token.origin != origin:
        raise Unauthorized("the visit token was given to another page")
    return token
