"""Registers at Kamailio with digest, is called through it, and takes the registration back."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callcenter.telephony.sip.registration import Standing
from tests.integration.sip.conftest import SCENARIOS, needs, run
from tests.integration.sip.test_baresip import certificate
from tests.servers import free_port

pytestmark = pytest.mark.timeout(40)


def tls_options(folder: Path) -> tuple[int, tuple[str, ...]]:
    """A TLS port for Kamailio, and what turns it on; the certificate is in the folder."""
    cert, key = certificate(folder)
    (folder / "tls.cfg").write_text(
        f"[server:default]\nmethod = TLSv1.2+\ncertificate = {cert}\nprivate_key = {key}\n"
    )
    port = free_port()
    return port, ("-A", f"TLS_AT={port}", "-A", f'TLS_CONFIG="{folder / "tls.cfg"}"')


@contextlib.asynccontextmanager
async def registrar(folder: Path, algorithm: str, *options: str) -> AsyncIterator[int]:
    """Kamailio; gives its port of UDP and TCP."""
    program, port = needs("kamailio"), free_port(socket.SOCK_DGRAM)
    text = (SCENARIOS / "registrar.cfg").read_text()
    config = folder / "kamailio.cfg"
    config.write_text(text.replace("PORT", str(port)).replace("ALGORITHM", algorithm))
    process = await asyncio.create_subprocess_exec(
        program,
        *("-f", str(config), "-DD", "-E", "-Y", str(folder), "-P", str(folder / "pid")),
        *options,
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
    by_trunk = stand.gateway._registrations.by_trunk
    async with asyncio.timeout(15):
        while [each.standing for each in by_trunk.values()] != [wanted]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def trunk(port: int, password_file: str, transport: str = "udp") -> str:
    """The trunk's lines."""
    return (
        f"register: {{registrar: 'sip:127.0.0.1:{port};transport={transport}', username: agent,"
        f" password_file: {password_file}}}\ndefault: {{persona: bank}}"
    )


async def call_the_account(port: int) -> None:
    """SIPp calls it through the registrar."""
    await run(
        needs("sipp"),
        f"127.0.0.1:{port}",
        *("-i", "127.0.0.1", "-mi", "127.0.0.1", "-s", "agent", "-m", "1", "-nostdin"),
        *("-sf", SCENARIOS / "routed.xml", "-timeout", "15", "-timeout_error"),
        *("-trace_err", "-error_file", "/dev/stdout"),
    )


@pytest.mark.parametrize("algorithm", ["", "SHA-256"])
async def test_registered_and_called(make_stand, tmp_path, algorithm) -> None:
    """A call to the account comes through the registrar, with Record-Route, and ends by BYE."""
    (tmp_path / "password").write_text("registrar-password\n")
    async with registrar(tmp_path, algorithm) as port:
        stand = await make_stand(trunk=trunk(port, "password"))
        await standing(stand, Standing.REGISTERED)
        await call_the_account(port)
        assert len(stand.worker.specs) == 1
        await stand.until_free()
        await stand.gateway.drain(0.1)
        await standing(stand, Standing.UNKNOWN)


async def test_by_an_outbound_proxy_under_a_name_of_its_own(make_stand, tmp_path) -> None:
    """The domain has no address: REGISTER goes to the proxy, the password is another name's."""
    (tmp_path / "password").write_text("registrar-password\n")
    async with registrar(tmp_path, "SHA-256") as port:
        lines = (
            "register: {registrar: 'sip:pbx.invalid', username: agent, auth_username: ax-1,"
            " password_file: password}\n"
            f"outbound_proxy: 'sip:127.0.0.1:{port};transport=tcp'\ndefault: {{persona: bank}}"
        )
        stand = await make_stand(trunk=lines)
        await standing(stand, Standing.REGISTERED)
        await call_the_account(port)
        assert len(stand.worker.specs) == 1
        await stand.until_free()


async def test_registered_and_called_over_tcp(make_stand, tmp_path) -> None:
    """The call comes over the connection of ours, or over one to our Contact."""
    (tmp_path / "password").write_text("registrar-password\n")
    async with registrar(tmp_path, "SHA-256") as port:
        stand = await make_stand(trunk=trunk(port, "password", "tcp"))
        await standing(stand, Standing.REGISTERED)
        await call_the_account(port)
        assert len(stand.worker.specs) == 1
        await stand.until_free()


async def test_registered_over_tls(make_stand, tmp_path) -> None:
    """With digest, at a registrar whose certificate is checked; a strange one is not talked to."""
    (tmp_path / "password").write_text("registrar-password\n")
    port, options = tls_options(tmp_path)
    async with registrar(tmp_path, "SHA-256", *options):
        stand = await make_stand(
            trunk=trunk(port, "password", "tls"), sip_tls_ca=tmp_path / "cert.pem"
        )
        await standing(stand, Standing.REGISTERED)
        await stand.gateway.drain(0.1)
        await standing(stand, Standing.UNKNOWN)
        other = await make_stand(trunk=trunk(port, "password", "tls"))
        await asyncio.sleep(1.0)
        (registration,) = other.gateway._registrations.by_trunk.values()
        assert registration.standing is not Standing.REGISTERED


async def test_a_wrong_password(make_stand, tmp_path) -> None:
    """Refused, and tried again later instead of at once."""
    (tmp_path / "password").write_text("guess\n")
    async with registrar(tmp_path, "") as port:
        stand = await make_stand(trunk=trunk(port, "password"))
        await standing(stand, Standing.REFUSED)
        (registration,) = stand.gateway._registrations.by_trunk.values()
        assert registration.status == 401
        assert registration.next_timer() is not None
