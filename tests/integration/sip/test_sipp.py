"""SIPp, an independent caller, runs its scenarios over UDP and TCP."""

import asyncio

import pytest

from callcenter.telephony.sip import session_timer
from tests.integration.sip.conftest import NUMBER, SCENARIOS, needs, run

pytestmark = pytest.mark.timeout(40)


async def sipp(stand, scenario: str, *options: str, port: str = "udp") -> str:
    """One scenario; the test fails with SIPp's own words."""
    transport = "u1" if port == "udp" else "t1"
    return await run(
        needs("sipp"),
        f"127.0.0.1:{stand.gateway.ports[port]}",
        *("-i", "127.0.0.1", "-mi", "127.0.0.1", "-t", transport, "-s", NUMBER),
        *("-sf", SCENARIOS / f"{scenario}.xml", "-m", "1", "-nostdin", "-trace_err"),
        *("-error_file", "/dev/stdout", "-timeout", "15", "-timeout_error"),
        *options,
        timeout_s=30,
    )


@pytest.mark.parametrize("port", ["udp", "tcp"])
async def test_features(make_stand, digits, port) -> None:
    """Hold, resume, codec change, INFO, UPDATE, OPTIONS, REFER refused, BYE."""
    stand = await make_stand()
    await sipp(stand, "features", port=port)
    assert digits == ["7"]
    await stand.until_free()


async def test_keys_as_rtp_events(make_stand, digits) -> None:
    """Each key once, however many packets it has (RFC 4733)."""
    stand = await make_stand()
    await sipp(stand, "dtmf")
    assert digits == ["1", "5", "9", "*"]
    await stand.until_free()


async def test_a_repeated_invite(make_stand) -> None:
    """Two copies are one call."""
    stand = await make_stand()
    await sipp(stand, "repeated")
    assert len(stand.worker.specs) == 1
    await stand.until_free()


@pytest.mark.parametrize("scenario", ["expires", "refreshed"])
async def test_session_timers(make_stand, monkeypatch, scenario) -> None:
    """A caller that vanished is hung up on; one that answers our refreshes stays."""
    monkeypatch.setattr(session_timer, "MIN_SE_S", 2)  # 90 s is the least outside of tests
    stand = await make_stand()
    await sipp(stand, scenario)
    await stand.until_free()


@pytest.mark.parametrize("port", ["udp", "tcp"])
async def test_the_agent_hangs_up(make_stand, port) -> None:
    """BYE goes over the caller's own connection."""
    stand = await make_stand()
    running = asyncio.create_task(sipp(stand, "hang_up", port=port))
    async with asyncio.timeout(10):
        while not stand.worker.sessions:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    stand.worker.act("hangup")
    await running
    await stand.until_free()


async def test_cancel(make_stand) -> None:
    """The caller gives up while it rings."""
    stand = await make_stand()
    stand.worker.say = lambda session: asyncio.sleep(60)
    await sipp(stand, "cancel")
    await stand.until_free()


async def test_a_session_timer_under_the_minimum(make_stand) -> None:
    """422 with Min-SE."""
    await sipp(await make_stand(), "short_timer")


@pytest.mark.parametrize(("port", "pause_ms"), [("udp", "600"), ("tcp", "1")])
async def test_a_caller_that_requires_reliable_ringing(make_stand, port, pause_ms) -> None:
    """180 with RSeq comes again until its PRACK does; then the call is answered (RFC 3262)."""
    stand = await make_stand()
    speak = stand.worker.say

    async def say(session) -> None:
        await asyncio.sleep(0.8)  # the 180 has been repeated by then
        await speak(session)

    stand.worker.say = say
    await sipp(stand, "reliable", "-d", pause_ms, port=port)
    await stand.until_free()


async def test_ten_calls_at_once(make_stand) -> None:
    """All are answered and all slots come back."""
    stand = await make_stand(slots=10)
    await sipp(stand, "load", "-m", "10", "-l", "10", "-r", "10")
    await stand.until_free()
