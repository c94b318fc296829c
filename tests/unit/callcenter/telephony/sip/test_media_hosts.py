"""Hosts that an SDP names."""

import asyncio
import socket
import threading

from callcenter.telephony.sip.media_hosts import KEPT_S, MAX_WAITING, Hosts


async def test_a_name_is_looked_up_once_a_minute() -> None:
    """And an address never."""
    asked, now = [], [0.0]

    def look_up(name: str, family: socket.AddressFamily) -> str:
        asked.append(name)
        return "192.0.2.7"

    hosts = Hosts(look_up, lambda: now[0])
    assert await hosts.find("192.0.2.1", socket.AF_INET) == "192.0.2.1"
    assert [await hosts.find("media.example.com", socket.AF_INET) for _ in range(3)] == [
        "192.0.2.7"
    ] * 3
    now[0] = KEPT_S
    await hosts.find("media.example.com", socket.AF_INET)
    assert asked == ["media.example.com"] * 2


async def test_what_is_not_found_is_none() -> None:
    """An unknown name, and one that can be none."""

    def unknown(name: str, family: socket.AddressFamily) -> str:
        raise socket.gaierror("no such name")

    assert await Hosts(unknown).find("nowhere.example.com", socket.AF_INET) is None
    assert await Hosts().find("a" * 64 + ".example.com", socket.AF_INET) is None
    assert await Hosts().find("a." * 200, socket.AF_INET) is None


async def test_a_silent_dns_server_holds_nobody_up(monkeypatch) -> None:
    """Each asker gives up in time; no more than a few wait for a thread."""
    monkeypatch.setattr("callcenter.telephony.sip.media_hosts.LOOK_UP_S", 0.05)
    released = threading.Event()

    def silent(name: str, family: socket.AddressFamily) -> str:
        released.wait(5)
        return "192.0.2.7"

    hosts = Hosts(silent)
    names = [f"{n}.example.com" for n in range(2 * MAX_WAITING)]
    began = asyncio.get_running_loop().time()
    found = await asyncio.gather(*[hosts.find(name, socket.AF_INET) for name in names])
    assert found == [None] * len(names)
    assert asyncio.get_running_loop().time() - began < 2.0
    assert await hosts.find("late.example.com", socket.AF_INET) is None
    released.set()
