"""What a provider says of itself is not taken on trust."""

from typing import Any

import pytest

from callcenter.admin.security.provider import ProviderUnavailable, _checked

ISSUER = "https://login.example.com"
SAID = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/auth",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/jwks",
}


def test_signatures_that_only_the_provider_can_make() -> None:
    """Never none, never one made with the client's secret."""
    said = {**SAID, "id_token_signing_alg_values_supported": ["none", "HS256", "ES256", "RS256"]}
    found = _checked(said, ISSUER, public=False)
    assert found["id_token_signing_alg_values_supported"] == ["RS256", "ES256"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": f"{ISSUER}/"},
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"token_endpoint": None},
        {"jwks_uri": 1},
    ],
)
def test_another_issuer(wrong: dict[str, Any]) -> None:
    """Letter by letter; and nothing may be missing."""
    with pytest.raises(ProviderUnavailable):
        _checked({**SAID, **wrong}, ISSUER, public=False)


@pytest.mark.parametrize("said", [None, [], "x", 1])
def test_no_description(said: Any) -> None:
    """A page of something else."""
    with pytest.raises(ProviderUnavailable):
        _checked(said, ISSUER, public=False)


@pytest.mark.parametrize(
    ("offered", "public", "method"),
    [
        (None, False, "client_secret_basic"),
        (["client_secret_post"], False, "client_secret_post"),
        (["client_secret_post", "client_secret_basic"], False, "client_secret_basic"),
        (["none"], True, "none"),
    ],
)
def test_how_the_client_proves_itself(offered: list[str] | None, public: bool, method: str) -> None:
    """As the provider wants it; a public client has nothing but PKCE."""
    said = {**SAID, "token_endpoint_auth_methods_supported": offered}
    assert _checked(said, ISSUER, public)["token_endpoint_auth_method"] == method


def test_keys_are_read_from_their_own_address() -> None:
    """Keys inside the description would never be read again."""
    assert "jwks" not in _checked({**SAID, "jwks": {"keys": []}}, ISSUER, public=False)
