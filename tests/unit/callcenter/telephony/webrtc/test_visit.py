"""Visit tokens."""

import pytest

from callcenter.errors import Unauthorized
from callcenter.telephony.webrtc.visit import TokenExpired, VisitToken, sign, verify

SECRET = "secret-of-the-tests-0123456789abcdef"
PAGE = "https://www.example.com"
TOKEN = VisitToken(visit_id="v1", persona="bank", origin=PAGE, expires_at_s=1_000.0)


def test_round_trip() -> None:
    """What was granted is what is read."""
    assert verify(sign(TOKEN, SECRET), SECRET, PAGE, 999.9) == TOKEN


def test_expired() -> None:
    """Told apart, so that the visitor can be told to click again."""
    with pytest.raises(TokenExpired):
        verify(sign(TOKEN, SECRET), SECRET, PAGE, 1_000.0)


def test_another_page() -> None:
    """A token that was copied to another site is worth nothing there."""
    with pytest.raises(Unauthorized, match="another page"):
        verify(sign(TOKEN, SECRET), SECRET, "https://evil.example", 0.0)


def test_another_secret() -> None:
    """Signed by somebody else."""
    with pytest.raises(Unauthorized, match="not signed"):
        verify(sign(TOKEN, "x" * 32), SECRET, PAGE, 0.0)


def test_another_persona_under_the_same_signature() -> None:
    """The payload is covered."""
    payload = sign(TOKEN.model_copy(update={"persona": "vault"}), SECRET).split(".")[1]
    head, _, mac = sign(TOKEN, SECRET).split(".")
    with pytest.raises(Unauthorized):
        verify(f"{head}.{payload}.{mac}", SECRET, PAGE, 0.0)


@pytest.mark.parametrize(
    "text", ["", ".", "a.b", "a", "ä.ö", "=.=", "x" * 5_000, "a." + "b" * 3_000]
)
def test_rubbish(text: str) -> None:
    """No other exception than the one."""
    with pytest.raises(Unauthorized):
        verify(text, SECRET, PAGE, 0.0)
