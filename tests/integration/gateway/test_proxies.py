"""Visitors behind a reverse proxy: whose word counts for who a visitor is."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.integration.gateway.visitor import Page

PROXY, STRANGER = "127.0.0.9", "127.0.0.10"
LIMIT = 2


@contextlib.asynccontextmanager
async def coming_from(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client with one of the loopback's addresses."""
    transport = httpx.AsyncHTTPTransport(local_address=address)
    async with httpx.AsyncClient(transport=transport) as http:
        yield http


async def asked(base_url: str, origin: str, through: str, forwarded_for: str) -> int:
    """The status of one more request for a call."""
    async with coming_from(through) as http:
        headers = {"Origin": origin, "X-Forwarded-For": forwarded_for}
        url = f"{base_url}/api/session"
        return (await http.post(url, json={"persona": "bank"}, headers=headers)).status_code


@pytest.fixture
async def page(make_page: Any) -> Page:
    """A page whose gateway stands behind a proxy and gives each visitor few calls a minute."""
    _, page = await make_page(forwarded_allow_ips=PROXY, webrtc_requests_per_minute=LIMIT)
    found: Page = page
    return found


async def test_each_visitor_behind_the_proxy_counts_alone(page: Page) -> None:
    """One who has used up the limit takes nothing from another."""
    ask = page.base_url, page.origin, PROXY
    assert [await asked(*ask, "203.0.113.5") for _ in range(LIMIT + 1)] == [200] * LIMIT + [429]
    assert await asked(*ask, "203.0.113.6") == 200


async def test_what_a_visitor_says_of_itself_does_not_count(page: Page) -> None:
    """The proxy appends the address that it has seen; what stood before was the visitor's."""
    ask = page.base_url, page.origin, PROXY
    said = [f"198.51.100.{n}, 203.0.113.5" for n in range(LIMIT + 1)]
    assert [await asked(*ask, one) for one in said] == [200] * LIMIT + [429]


async def test_nobody_but_the_proxy_is_believed(page: Page) -> None:
    """Whoever reaches the gateway directly is who it is."""
    ask = page.base_url, page.origin, STRANGER
    said = [f"203.0.113.{n}" for n in range(LIMIT + 1)]
    assert [await asked(*ask, one) for one in said] == [200] * LIMIT + [429]
    assert await asked(page.base_url, page.origin, PROXY, "203.0.113.1") == 200


async def test_one_star_is_every_address_of_both_families(make_page: Any) -> None:
    """For Services of both families in front of one pod."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    _, page = await make_page(gateway_host="*")
    port = page.base_url.rpartition(":")[2]
    for host in ("127.0.0.1", "[::1]"):
        assert (await page.http.get(f"http://{host}:{port}/healthz")).status_code == 200
