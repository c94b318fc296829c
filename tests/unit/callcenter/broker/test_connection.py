"""Clients by their URL; nothing is opened here."""

import pytest

from callcenter.broker.connection import connect
from callcenter.errors import ConfigurationError


@pytest.mark.parametrize("url", ["http://a", "redis://:secret@a:port"])
def test_a_url_that_the_library_refuses_is_a_wrong_setting(url: str) -> None:
    """Named by its variable, and without its password."""
    with pytest.raises(ConfigurationError, match="REDIS_URL") as refused:
        connect(url)
    assert "secret" not in str(refused.value)


def test_silent_sentinels_leave_time_for_the_others() -> None:
    """Three of them are asked within one operation's time, with some left for the primary."""
    redis = connect("redis+sentinel://a,b,c/calls", timeout_s=1.0)
    watching = redis.connection_pool.sentinel_manager.sentinels
    waits = [one.connection_pool.connection_kwargs["socket_connect_timeout"] for one in watching]
    assert len(waits) == 3
    assert sum(waits) < 1.0
