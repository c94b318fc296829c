"""Servers that the integration tests share."""

from collections.abc import Iterator

import pytest

from tests.servers import valkey


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Valkey server of this test run; tests keep apart by pool names of their own."""
    with valkey() as server:
        yield server.connection_url
