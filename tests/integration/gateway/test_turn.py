"""Calls through a TURN server: coturn, with the secret that the gateway shares with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aioice import stun, turn
from aioice.ice import get_host_addresses
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection
from aiortc.rtcconfiguration import RTCIceTransportPolicy

from callcenter.telephony.webrtc.turn import IcePlan, credential
from tests.integration.gateway import coturn
from tests.integration.gateway.visitor import Browser, Page, call

TURN_SECRET = coturn.SECRET
TTL_S = 60
ADDRESSES = get_host_addresses(use_ipv4=True, use_ipv6=False)

pytestmark = [
    pytest.mark.timeout(40),
    pytest.mark.skipif(coturn.TURNSERVER is None, reason="needs coturn: apt-get install coturn"),
    pytest.mark.skipif(not ADDRESSES, reason="needs an address besides the loopback's"),
]


@pytest.fixture
async def turn_address(tmp_path: Path) -> AsyncIterator[tuple[str, int]]:
    """A running coturn as the compose file starts it, on a private address that may be a peer."""
    host = ADDRESSES[0]
    allowed = f"--allowed-peer-ip={host}"
    async with coturn.running(host, tmp_path, coturn.compose_options(), allowed) as address:
        yield address


async def allocate(address: tuple[str, int], username: str, password: str) -> None:
    """Takes a relay and gives it back.

    Raises:
        stun.TransactionFailed: the server refuses it.
    """
    transport, _ = await turn.create_turn_endpoint(
        asyncio.DatagramProtocol, server_addr=address, username=username, password=password
    )
    transport.close()


async def test_a_minted_credential_gets_a_relay(turn_address: tuple[str, int]) -> None:
    """The server computes the same password; a session's credential is its own."""
    plan = IcePlan(turn_urls=["turn:ignored"], turn_secret=TURN_SECRET, turn_ttl_s=TTL_S)
    (one,), (other,) = (plan.servers(name, time.time()) for name in ("one", "other"))
    assert one.credential != other.credential
    for server in (one, other):
        await allocate(turn_address, str(server.username), str(server.credential))


@pytest.mark.parametrize(
    ("ends_in_s", "minted_for", "secret"),
    [(-5, None, TURN_SECRET), (TTL_S, None, "a guess"), (TTL_S, TTL_S - 30, TURN_SECRET)],
    ids=["expired", "forged", "prolonged"],
)
async def test_other_credentials_get_none(
    turn_address: tuple[str, int], ends_in_s: int, minted_for: int | None, secret: str
) -> None:
    """Out of date, made without the secret, or made for another moment than the name says."""
    now = int(time.time())
    username = f"{now + ends_in_s}:session"
    made_for = username if minted_for is None else f"{now + minted_for}:session"
    with pytest.raises(stun.TransactionFailed) as refused:
        await allocate(turn_address, username, credential(made_for, secret))
    assert refused.value.response.attributes["ERROR-CODE"][0] == 401


async def test_a_call_that_only_a_relay_can_carry(
    make_page: Any, turn_address: tuple[str, int]
) -> None:
    """Audio goes both ways; the only address that the browser tells is the relay's."""
    host, port = turn_address
    stand, page = await make_page(
        turn_urls=f"turn:{host}:{port}?transport=udp", turn_secret=TURN_SECRET, turn_ttl_s=TTL_S
    )
    caller = await relayed_browser(page)
    try:
        await call(page, caller)
        told = str(caller.peer.localDescription.sdp)
        candidates = [line for line in told.splitlines() if line.startswith("a=candidate")]
        assert candidates
        assert all("typ relay" in line for line in candidates)
        await caller.hear(40)
        (worker,) = stand.workers
        assert next(iter(worker.frames_heard.values())) > 5
    finally:
        await caller.close()
    await stand.until_used(0)


async def relayed_browser(page: Page) -> Browser:
    """A browser that may use nothing but the relay of its session."""
    (told,) = (await page.session()).json()["ice_servers"]
    server = RTCIceServer(told["urls"], told["username"], told["credential"])
    return Browser(
        RTCPeerConnection(
            RTCConfiguration(iceServers=[server], iceTransportPolicy=RTCIceTransportPolicy.RELAY)
        )
    )
