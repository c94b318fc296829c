"""`python -m callcenter sip` as a process: starts, answers, says what is wrong, leaves in order."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

from callcenter.media import g711
from tests.integration.sip.conftest import LINK_SECRET
from tests.servers import free_port

pytestmark = pytest.mark.timeout(40)
TRUNKS = "trunks: [{name: t, networks: ['127.0.0.1/32'], default: {persona: bank}}]\n"


async def start(
    folder: Path, redis_url: str, trunks: str, program: str = "sip", **settings: object
) -> asyncio.subprocess.Process:
    """A program."""
    (folder / "trunks.yaml").write_text(trunks)
    environment = {
        **os.environ,
        "REDIS_URL": redis_url,
        "LINK_SECRET": LINK_SECRET,
        "TRUNKS_FILE": str(folder / "trunks.yaml"),
        **{name.upper(): str(value) for name, value in settings.items()},
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "callcenter", program),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def test_a_whole_life(make_caller, redis_url, tmp_path) -> None:
    """Healthy, answers OPTIONS, shows metrics, and a signal ends it with 0."""
    udp, http = free_port(socket.SOCK_DGRAM), free_port()
    shown = free_port()
    program = await start(
        tmp_path,
        redis_url,
        TRUNKS,
        sip_udp_port=udp,
        sip_tcp_port=0,
        sip_http_port=http,
        metrics_port=shown,
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{http}") as client:
        async with asyncio.timeout(20):
            while True:
                try:
                    assert (await client.get("/healthz")).status_code == 200
                    break
                except httpx.TransportError:  # not yet
                    await asyncio.sleep(0.1)
        assert (await client.get("/readyz")).status_code == 503
        caller = make_caller(udp)
        assert (await caller.ask("OPTIONS")).startswith("SIP/2.0 200")
        refused = await caller.ask("INVITE", caller.sdp())
        assert 'text="no_capacity"' in refused
        page = (await client.get(f"http://127.0.0.1:{shown}/metrics")).text
        assert 'callcenter_refusals_total{code="no_capacity",transport="sip"} 1.0' in page
    program.send_signal(signal.SIGTERM)
    output, _ = await program.communicate()
    assert program.returncode == 0, output.decode()


async def test_the_rehearsal_engine_greets(make_caller, redis_url, tmp_path) -> None:
    """Three processes: the caller hears the greeting from the answer on, and hangs up."""
    udp, http, pool = free_port(socket.SOCK_DGRAM), free_port(), "sip-rehearsal"
    worker = await start(
        tmp_path,
        redis_url,
        TRUNKS,
        "worker",
        worker_pool=pool,
        worker_port=free_port(),
        worker_http_port=free_port(),
        worker_slots=1,
        engine="rehearsal",
    )
    program = await start(
        tmp_path,
        redis_url,
        TRUNKS,
        sip_udp_port=udp,
        sip_tcp_port=0,
        sip_http_port=http,
        metrics_port=0,
        gateway_pools=pool,
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{http}") as client:
        async with asyncio.timeout(25):
            while not await ready(client):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    caller = make_caller(udp)
    await caller.call()
    heard = await caller.hear(100, timeout_s=5)
    levels = [int(np.abs(g711.decode_ulaw(p[12:]).astype(int)).max()) for p in heard]
    assert max(levels[:50]) > 3_000
    assert (await caller.ask("BYE")).startswith("SIP/2.0 200")
    for process in (program, worker):
        process.send_signal(signal.SIGTERM)
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()


async def ready(client: httpx.AsyncClient) -> bool:
    """Whether the gateway would take a call."""
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx.TransportError:  # not yet
        return False


async def test_a_mistake_in_the_trunks_file(redis_url, tmp_path) -> None:
    """The place is named, without a traceback."""
    program = await start(tmp_path, redis_url, TRUNKS.replace("bank", "nobody"))
    output, _ = await program.communicate()
    assert program.returncode == 2
    assert "trunks[0].default" in output.decode()
    assert "Traceback" not in output.decode()
