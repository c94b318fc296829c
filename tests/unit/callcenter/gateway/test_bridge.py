"""Published trunks as the SIP endpoint knows them."""

import pytest

from callcenter.gateway.bridge import DEFAULT_CHANNELS, EVERYWHERE, trunk_of
from callcenter.published.documents import Trunk


def published(**fields: object) -> Trunk:
    """A SIP trunk."""
    return Trunk.model_validate({"name": "carrier", "title": "x", "kind": "sip", **fields})


def test_by_its_addresses() -> None:
    """No login is asked; the channels are the admin's."""
    trunk = trunk_of(published(addresses=["192.0.2.0/24"], max_channels=7), {})
    assert trunk is not None
    assert (trunk.knows("192.0.2.9"), trunk.knows("198.51.100.1")) == (True, False)
    assert (trunk.credentials, trunk.max_channels) == (None, 7)


def test_by_its_secret() -> None:
    """From anywhere, but it must log in under its own name."""
    trunk = trunk_of(published(secret_ref="CARRIER"), {"CARRIER": "word"})
    assert trunk is not None
    assert trunk.credentials is not None
    assert (trunk.credentials.username, trunk.credentials.password) == ("carrier", "word")
    assert (trunk.networks, trunk.max_channels) == (EVERYWHERE, DEFAULT_CHANNELS)


@pytest.mark.parametrize("fields", [{}, {"secret_ref": "GONE", "addresses": ["192.0.2.0/24"]}])
def test_never_open_to_strangers(fields) -> None:
    """Neither addresses nor a secret, or a secret that is not there: left out."""
    assert trunk_of(published(**fields), {"GONE": ""}) is None
