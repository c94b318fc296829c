"""Redis goes away: live calls do not notice, new calls still find the worker."""

import asyncio

import pytest

from tests.servers import valkey


@pytest.mark.timeout(30)
async def test_calls_without_redis(make_stand) -> None:
    """One call lives through it, a second one begins in it."""
    redis = valkey()
    redis.start()
    stand = await make_stand(slots=2, redis_url=redis.connection_url)
    live = stand.caller()
    socket = await live.start()
    await live.hear(socket)
    await asyncio.to_thread(redis.stop)
    fresh = stand.caller()
    second = await fresh.start()
    await fresh.hear(second, packets=20)
    await live.hear(socket, packets=40)
    assert (await stand.http.get(f"{stand.base_url}/readyz")).status_code == 200
    await socket.close()
    await second.close()
