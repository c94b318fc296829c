"""Refusals keep their meaning across the link."""

import pytest

from callcenter.errors import Draining, NoCapacity, Refused, Unauthorized
from callcenter.link import refusals
from callcenter.link.refusals import PromptRefused, SessionFailed, StaleClaim

EVERY_REFUSAL = [
    Unauthorized("a"),
    StaleClaim("b"),
    NoCapacity("c"),
    Draining("d"),
    PromptRefused("e"),
    SessionFailed("f"),
]


@pytest.mark.parametrize("refusal", EVERY_REFUSAL, ids=lambda refusal: refusal.code)
def test_the_other_side_gets_the_same_error(refusal: Refused) -> None:
    """Type and words survive the HTTP answer."""
    status = refusals.http_status(refusal)
    back = refusals.from_http(status, refusals.http_body(refusal).encode())
    assert (type(back), str(back)) == (type(refusal), str(refusal))


def test_the_status_tells_strangers_from_full_house() -> None:
    """401 for who may not, 409 for who comes late, 503 for who should try elsewhere."""
    statuses = [refusals.http_status(refusal) for refusal in EVERY_REFUSAL]
    assert statuses == [401, 409, 503, 503, 403, 403]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"code":"x"}', b"\xff"])
def test_a_proxys_page_is_no_refusal_of_a_worker(body: bytes) -> None:
    """What no worker wrote says so, with the status."""
    error = refusals.from_http(502, body)
    assert type(error) is SessionFailed
    assert "502" in str(error)


def test_an_unknown_code_fails_the_session() -> None:
    """A newer worker's code is still an error, with its words."""
    error = refusals.from_code("tired", "come back later")
    assert type(error) is SessionFailed
    assert str(error) == "come back later"


def test_a_stale_claim_is_a_kind_of_unauthorized() -> None:
    """Whoever handles only Unauthorized handles it too."""
    assert issubclass(StaleClaim, Unauthorized)
