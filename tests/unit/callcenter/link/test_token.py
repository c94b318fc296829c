"""Session tokens: only genuine, whole and timely ones pass."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcenter.errors import Unauthorized
from callcenter.link.token import MAX_TOKEN_CHARS, SessionToken, sign, verify

SECRET = "s" * 32
TOKEN = SessionToken(
    call_id="CA1",
    worker_id="w1",
    epoch=7,
    fencing_token=3,
    prompt_hash="0123456789abcdef",
    expires_at_s=100.0,
)


def test_a_signed_token_comes_back_unchanged() -> None:
    """What was signed is what is read."""
    assert verify(sign(TOKEN, SECRET), SECRET, now_s=99.9) == TOKEN


def test_either_of_two_secrets_will_do() -> None:
    """While gateways change from one to the next; a third is still a stranger's."""
    for signed_with in (SECRET, "n" * 32):
        assert verify(sign(TOKEN, signed_with), (SECRET, "n" * 32), now_s=99.9) == TOKEN
    with pytest.raises(Unauthorized, match="not signed"):
        verify(sign(TOKEN, "x" * 32), (SECRET, "n" * 32), now_s=99.9)


def test_the_text_is_fit_for_a_header_or_a_url() -> None:
    """No padding, no slash, no plus, no space."""
    text = sign(TOKEN, SECRET)
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_it_expires_at_the_second_it_names() -> None:
    """At expires_at_s the token is no longer good."""
    with pytest.raises(Unauthorized, match="expired"):
        verify(sign(TOKEN, SECRET), SECRET, now_s=100.0)


def test_another_secret_is_refused() -> None:
    """A token of another installation does not pass."""
    with pytest.raises(Unauthorized, match="not signed"):
        verify(sign(TOKEN, "x" * 32), SECRET, now_s=0)


def test_a_changed_payload_is_refused() -> None:
    """Raising one's own fencing token breaks the signature."""
    head, _, mac = sign(TOKEN, SECRET).split(".")
    forged = sign(TOKEN.model_copy(update={"fencing_token": 99}), "x" * 32).split(".")[1]
    with pytest.raises(Unauthorized, match="not signed"):
        verify(f"{head}.{forged}.{mac}", SECRET, now_s=0)


def test_each_token_has_an_id_of_its_own() -> None:
    """So that a worker can see to it that one opens one session."""
    again = SessionToken(**TOKEN.model_dump(exclude={"token_id"}))
    assert again.token_id != TOKEN.token_id


@given(position=st.integers(min_value=0), replacement=st.characters())
def test_any_other_character_anywhere_is_refused(position: int, replacement: str) -> None:
    """No single character can be exchanged, be it ASCII or not."""
    text = sign(TOKEN, SECRET)
    position %= len(text) - 1  # the very last one carries two unused bits
    changed = text[:position] + replacement + text[position + 1 :]
    if changed != text:
        with pytest.raises(Unauthorized):
            verify(changed, SECRET, now_s=0)


@pytest.mark.parametrize("text", ["", ".", "abc", "a.b.c", "é.é.é", "." + "A" * 43, " ", "a.b"])
def test_garbage_is_refused(text: str) -> None:
    """Text that never was a token gets the same error type."""
    with pytest.raises(Unauthorized):
        verify(text, SECRET, now_s=0)


def test_an_overlong_token_is_refused_before_any_work() -> None:
    """The length is looked at first."""
    with pytest.raises(Unauthorized, match="too long"):
        verify("A" * (MAX_TOKEN_CHARS + 1), SECRET, now_s=0)


def test_other_fields_than_known_are_refused() -> None:
    """A signed payload of another version is told apart from a forged one."""

    class Newer(SessionToken):
        tenant: str = "t"

    newer = Newer(**TOKEN.model_dump())
    assert "tenant" in json.loads(newer.model_dump_json())
    with pytest.raises(Unauthorized, match="other fields"):
        verify(sign(newer, SECRET), SECRET, now_s=0)


def test_a_short_secret_is_a_programming_error() -> None:
    """A guessable secret is not accepted silently."""
    with pytest.raises(ValueError, match="32 bytes"):
        sign(TOKEN, "short")
