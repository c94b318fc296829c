"""Pool names can't break out of their hash tag."""

import pytest

from callcenter.broker import keys
from callcenter.errors import ConfigurationError


def test_a_pool_has_one_hash_tag() -> None:
    """Redis Cluster hashes what stands between the first braces."""
    assert keys.prefix("main") == "{cc:main}"


@pytest.mark.parametrize("name", ["", "a b", "a}b", "{x}", "a:b", "ä", "x" * 65])
def test_a_name_that_could_break_the_tag_is_refused(name: str) -> None:
    """The error says which characters are good."""
    with pytest.raises(ConfigurationError, match="letters, digits"):
        keys.prefix(name)


@pytest.mark.parametrize("name", ["published", "limits"])
def test_names_of_other_keys_are_refused(name: str) -> None:
    """Who may write a pool's books may not write the configuration."""
    with pytest.raises(ConfigurationError, match="reserved"):
        keys.prefix(name)


def test_a_worker_may_lose_two_heartbeats_of_a_second() -> None:
    """The lease is longer than two usual heartbeats."""
    assert keys.WORKER_LEASE_S > 2.0
