"""Signed tokens: who may take which, and until when."""

import base64
import json

import jwt
import pytest

from callcenter.errors import Unauthorized
from callcenter.link.token import SessionToken
from callcenter.link.token import sign as sign_session
from callcenter.telephony.webrtc.visit import VisitToken
from callcenter.telephony.webrtc.visit import sign as sign_visit
from callcenter.telephony.webrtc.visit import verify as verify_visit
from callcenter.tokens import MAX_TOKEN_CHARS, Kind, TokenExpired, sign, verify

SECRET, OTHER = "s" * 32, "o" * 32
KIND = Kind("trial token", purpose="trial+jwt", audience="gateway")


def token(kind: Kind = KIND, expires_at_s: float = 100.0, **claims: object) -> str:
    """Signed with the secret."""
    return sign(kind, claims, "t1", expires_at_s, SECRET)


def test_claims_come_back() -> None:
    """With the id and the time, without the audience."""
    assert verify(KIND, token(persona="bank"), [OTHER, SECRET], 99.0) == {
        "persona": "bank",
        "jti": "t1",
        "exp": 100.0,
    }


def test_it_expires() -> None:
    """At the second that it names; a time that is none is no time."""
    with pytest.raises(TokenExpired):
        verify(KIND, token(), [SECRET], 100.0)
    for never in (float("inf"), float("nan")):
        with pytest.raises(Unauthorized):
            verify(KIND, token(expires_at_s=never), [SECRET], 0.0)


@pytest.mark.parametrize(
    "other", [Kind("x", "session+jwt", "gateway"), Kind("x", "trial+jwt", "worker")]
)
def test_one_kind_is_no_other(other: Kind) -> None:
    """By its purpose and by its audience, though the secret is the same."""
    with pytest.raises(Unauthorized, match="not meant for us"):
        verify(KIND, token(other), [SECRET], 0.0)


def test_a_session_token_is_no_visit_token() -> None:
    """Should somebody give both the same secret."""
    session = SessionToken(
        call_id="c", worker_id="w", epoch=1, fencing_token=1, prompt_hash="p", expires_at_s=9.0
    )
    with pytest.raises(Unauthorized, match="not meant for us"):
        verify_visit(sign_session(session, SECRET), SECRET, "https://a.example", 0.0)
    visit = VisitToken(visit_id="v", persona="p", origin="https://a.example", expires_at_s=9.0)
    assert verify_visit(sign_visit(visit, SECRET), SECRET, "https://a.example", 0.0) == visit


def encoded(value: object) -> str:
    """A part of a token, by hand."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_no_other_algorithm() -> None:
    """Neither none, nor one of the same family, nor one that the header invents."""
    claims = {"aud": "gateway", "exp": 100.0, "jti": "t1"}
    stronger = jwt.encode(claims, "s" * 64, "HS512", headers={"typ": "trial+jwt"})
    unsigned = f"{encoded({'alg': 'none', 'typ': 'trial+jwt'})}.{encoded(claims)}.AA"
    invented = f"{encoded({'alg': 'X', 'typ': 'trial+jwt'})}.{encoded(claims)}.AA"
    for text in (stronger, unsigned, invented):
        with pytest.raises(Unauthorized):
            verify(KIND, text, [SECRET, "s" * 64], 0.0)


@pytest.mark.parametrize("missing", ["aud", "exp", "jti"])
def test_every_claim_must_be_there(missing: str) -> None:
    """What is not said is not assumed."""
    claims = {"aud": "gateway", "exp": 100.0, "jti": "t1"}
    del claims[missing]
    text = jwt.encode(claims, SECRET, "HS256", headers={"typ": "trial+jwt"})
    with pytest.raises(Unauthorized):
        verify(KIND, text, [SECRET], 0.0)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text + "A",
        lambda text: text[:-2],
        lambda text: text.replace(".", "..", 1),
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text.replace("A", "é", 1) + "é",
        lambda text: text + "=",
        lambda text: "A" * (MAX_TOKEN_CHARS + 1),
        lambda text: ".".join(["W10", *text.split(".")[1:]]),
    ],
)
def test_anything_else_is_refused(change) -> None:
    """Always with the one error."""
    with pytest.raises(Unauthorized):
        verify(KIND, change(token()), [SECRET], 0.0)


def test_a_short_secret_is_a_mistake_of_ours() -> None:
    """A guessable secret is not accepted silently."""
    with pytest.raises(ValueError, match="32 bytes"):
        sign(KIND, {}, "t1", 1.0, "short")
    with pytest.raises(ValueError, match="32 bytes"):
        verify(KIND, token(), ["short"], 0.0)
