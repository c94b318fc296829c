"""What may happen once, asked of a real Valkey by several processes' clients."""

import asyncio
import secrets

import pytest

from callcenter.broker.connection import connect
from callcenter.broker.once import Once
from callcenter.errors import BrokerUnavailable


async def test_one_of_many_is_first(redis_url: str) -> None:
    """At the same moment, from two gateways; the id itself is not shown, and goes by itself."""
    one_id = secrets.token_urlsafe()
    clients = [connect(redis_url), connect(redis_url, decode_responses=False)]
    answers = await asyncio.gather(
        *[Once(client).is_first("visit", one_id, 30.0) for client in clients * 5]
    )
    assert sorted(answers) == [False] * 9 + [True]
    assert await Once(clients[0]).is_first("another kind", one_id, 30.0)
    for key in [key async for key in clients[0].scan_iter("cc:once:*")]:
        assert one_id not in key
        assert 0 < await clients[0].ttl(key) <= 90
    for client in clients:
        await client.aclose()


async def test_without_redis_nobody_can_tell() -> None:
    """An error, and neither yes nor no."""
    client = connect("redis://127.0.0.1:1")
    with pytest.raises(BrokerUnavailable):
        await Once(client).is_first("visit", "v1", 30.0)
    await client.aclose()
