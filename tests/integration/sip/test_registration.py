"""Registers at Kamailio with digest, is called through it, and takes the registration back."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callcenter.telephony.sip.registration import Standing
from tests.integration.sip.conftest import SCENARIOS, needs, run

pytestmark = pytest.mark.timeout(40)


def free_port() -> int:
    """A UDP port that is free now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def registrar(folder: Path, algorithm: str) -> AsyncIterator[int]:
    """Kamailio; gives its port."""
    program, port = needs("kamailio"), free_port()
    text = (SCENARIOS / "registrar.cfg").read_text()
    config = folder / "kamailio.cfg"
    config.write_text(text.replace("PORT", str(port)).replace("ALGORITHM", algorithm))
    process = await asyncio.create_subprocess_exec(
        program,
        *("-f", str(config), "-DD", "-E", "-Y", str(folder), "-P", str(folder / "pid")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield port
    finally:
        process.terminate()
        await process.communicate()


async def standing(stand, wanted: Standing) -> None:
    """Waits until the registrar sees us so."""
    (registration,) = stand.gateway._registrations.values()
    async with asyncio.timeout(15):
        while registration.standing is not wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def trunk(port: int, password_file: str) -> str:
    """The trunk's lines."""
    return (
        f"register: {{registrar: 'sip:127.0.0.1:{port}', username: agent,"
        f" password_file: {password_file}}}\ndefault: {{persona: bank}}"
    )


@pytest.mark.parametrize("algorithm", ["", "SHA-256"])
async def test_registered_and_called(make_stand, tmp_path, algorithm) -> None:
    """A call to the account comes through the registrar, with Record-Route, and ends by BYE."""
    (tmp_path / "password").write_text("registrar-password\n")
    async with registrar(tmp_path, algorithm) as port:
        stand = await make_stand(trunk=trunk(port, "password"))
        await standing(stand, Standing.REGISTERED)
        await run(
            needs("sipp"),
            f"127.0.0.1:{port}",
            *("-i", "127.0.0.1", "-mi", "127.0.0.1", "-s", "agent", "-m", "1", "-nostdin"),
            *("-sf", SCENARIOS / "routed.xml", "-timeout", "15", "-timeout_error"),
            *("-trace_err", "-error_file", "/dev/stdout"),
        )
        assert len(stand.worker.specs) == 1
        await stand.until_free()
        await stand.gateway.drain(0.1)
        await standing(stand, Standing.UNKNOWN)


async def test_a_wrong_password(make_stand, tmp_path) -> None:
    """Refused, and tried again later instead of at once."""
    (tmp_path / "password").write_text("guess\n")
    async with registrar(tmp_path, "") as port:
        stand = await make_stand(trunk=trunk(port, "password"))
        await standing(stand, Standing.REFUSED)
        (registration,) = stand.gateway._registrations.values()
        assert registration.status == 401
        assert registration.next_timer() is not None
