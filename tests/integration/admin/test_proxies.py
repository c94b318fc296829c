"""The admin app behind an ingress, on a real port: whose guesses count against whom."""

from __future__ import annotations

import asyncio

import httpx

from callcenter.admin.program import server
from callcenter.settings import AdminSettings
from tests.integration.admin.conftest import ADMIN_SECRET, LINK_SECRET, Filled
from tests.servers import free_port

PROXY, STRANGER = "127.0.0.9", "127.0.0.10"
ALLOWED = 10  # guesses a minute


async def test_a_guesser_behind_the_ingress_locks_out_nobody_else(
    sqlite: Filled, redis_url: str
) -> None:
    """Told apart by the proxy's word; what a stranger says of itself counts for nothing."""
    port = free_port()
    settings = AdminSettings.load(
        redis_url=redis_url,
        link_secret=LINK_SECRET,
        admin_secret=ADMIN_SECRET,
        admin_host="*",
        admin_port=port,
        database_url=sqlite.url,
        forwarded_allow_ips=PROXY,
    )
    app = server(settings, lambda _: None)
    serving = asyncio.create_task(app.serve())
    while not app.started:
        assert not serving.done(), "the admin app did not start"
        await asyncio.sleep(0.01)

    async def guessed(through: str, said: str) -> int:
        transport = httpx.AsyncHTTPTransport(local_address=through)
        headers = {"Authorization": "Bearer ppc_guess", "X-Forwarded-For": said}
        async with httpx.AsyncClient(transport=transport, headers=headers) as http:
            return (await http.get(f"http://127.0.0.1:{port}/v1/personas")).status_code

    try:
        behind = [await guessed(PROXY, "203.0.113.5") for _ in range(ALLOWED + 1)]
        assert behind == [401] * ALLOWED + [429]
        assert await guessed(PROXY, "203.0.113.6") == 401
        direct = [await guessed(STRANGER, f"198.51.100.{n}") for n in range(ALLOWED + 1)]
        assert direct == [401] * ALLOWED + [429]
    finally:
        app.should_exit = True
        await serving
