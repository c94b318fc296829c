"""The edge of deploy/edge with real parts: baresip -> Kamailio and rtpengine -> gateway."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from tests.integration.sip.conftest import NUMBER, needs
from tests.integration.sip.test_baresip import certificate, say_speech, talk
from tests.servers import free_port

pytestmark = [pytest.mark.alone, pytest.mark.timeout(60)]
EDGE = Path("deploy/edge").resolve()


async def start(stack: contextlib.AsyncExitStack, *command: object, cwd: Path) -> None:
    """Runs a program until the end of the test."""
    with (cwd / f"{Path(str(command[0])).name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *map(str, command),
            cwd=cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def stop() -> None:
        process.terminate()
        await process.wait()

    stack.push_async_callback(stop)


async def answers(port: int) -> None:
    """Waits until rtpengine answers a ping of its control protocol."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setblocking(False)
        asking.connect(("127.0.0.1", port))
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(OSError):  # not yet
                    await loop.sock_sendall(asking, b"1 d7:command4:pinge")
                    await loop.sock_recv(asking, 1_024)
                    return
                await asyncio.sleep(0.1)


async def edge(stack: contextlib.AsyncExitStack, folder: Path, gateway_port: int) -> int:
    """Kamailio and rtpengine; gives the TLS port."""
    kamailio, rtpengine = needs("kamailio"), needs("rtpengine")
    certificate(folder)
    text = (EDGE / "tls.cfg").read_text()
    (folder / "tls.cfg").write_text(
        text.replace("key.pem", str(folder / "key.pem")).replace(
            "cert.pem", str(folder / "cert.pem")
        )
    )
    control, inside = (free_port(socket.SOCK_DGRAM) for _ in range(2))
    outside = free_port()
    await start(
        stack,
        rtpengine,
        *("--interface=127.0.0.1", f"--listen-ng=127.0.0.1:{control}", "--table=-1"),
        *("--port-min=36000", "--port-max=36999", "--foreground", "--log-stderr"),
        f"--pidfile={folder / 'rtpengine.pid'}",
        cwd=folder,
    )
    await answers(control)
    await start(
        stack,
        kamailio,
        *("-f", EDGE / "kamailio.cfg", "-DD", "-E", "-Y", folder, "-P", folder / "kamailio.pid"),
        *("-A", f"OUTSIDE=tls:127.0.0.1:{outside}", "-A", f"INSIDE=udp:127.0.0.1:{inside}"),
        *("-A", f'GATEWAY="sip:127.0.0.1:{gateway_port}"', "-A", 'GATEWAY_HOST="127.0.0.1"'),
        *("-A", f'RTPENGINE="udp:127.0.0.1:{control}"'),
        *("-A", f'TLS_CONFIG="{folder / "tls.cfg"}"', "-A", 'TRUNKS="127.0.0.0/8"'),
        cwd=folder,
    )
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", outside)
            except OSError:  # not yet
                await asyncio.sleep(0.1)
            else:
                writer.close()
                await writer.wait_closed()
                return outside


async def test_speech_through_the_edge(make_stand, tmp_path) -> None:
    """TLS and SRTP outside, UDP and RTP inside; the speech is the same on both sides."""
    needs("baresip")
    stand = await make_stand(trunk="transports: [udp]\nsrtp: never", sip_tcp_port=-1)
    stand.worker.say = say_speech
    async with contextlib.AsyncExitStack() as stack:
        port = await edge(stack, tmp_path, stand.udp)
        target = f"sip:{NUMBER}@127.0.0.1:{port};transport=tls"
        assert min(await talk(stand, tmp_path, target, "pcmu", 0.99)) >= 0.99
