"""Connections of strangers to the edge: Kamailio by itself, and the firewall in front of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import edge_network
from tests.deploy.conftest import EXAMPLES, certificate, rendered
from tests.deploy.test_edge import CONFIG, sip_pod
from tests.servers import free_port

HOST, TRUNK, STRANGER = "127.0.0.1", "127.0.0.2", "127.0.0.9"
SILENT_S, CONNECTIONS = 1, 20
READER_S = 20  # Kamailio's readers keep a connection for some seconds more than its lifetime
OPTIONS = "\r\n".join(
    (
        "OPTIONS sip:edge SIP/2.0",
        "Via: SIP/2.0/TLS 127.0.0.2:5999;branch=z9hG4bK1;rport",
        "From: <sip:trunk@example.com>;tag=1",
        "To: <sip:edge@example.com>",
        "Call-ID: 1@example.com",
        "CSeq: 1 OPTIONS",
        "Max-Forwards: 0",
        "Content-Length: 0\r\n\r\n",
    )
)

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Kamailio with the edge's configuration and few connections; gives the TLS port."""
    if shutil.which("kamailio") is None:
        pytest.skip("kamailio is not installed")
    certificate(tmp_path / "tls.key", tmp_path / "tls.crt")
    tls = f"[server:default]\nprivate_key = {tmp_path}/tls.key\ncertificate = {tmp_path}/tls.crt\n"
    (tmp_path / "tls.cfg").write_text(tls)
    outside, inside = free_port(), free_port(socket.SOCK_DGRAM)
    values = (
        *(f"OUTSIDE=tls:{HOST}:{outside}", f"INSIDE=udp:{HOST}:{inside}"),
        *('GATEWAY="sip:127.0.0.1:9"', 'GATEWAY_HOST="127.0.0.1"', 'RTPENGINE="udp:127.0.0.1:9"'),
        *(f'TLS_CONFIG="{tmp_path}/tls.cfg"', f'TRUNKS="{TRUNK}/32"'),
        *(f"SILENT_S={SILENT_S}", f"CONNECTIONS={CONNECTIONS}"),
    )
    program = ["kamailio", "-f", str(CONFIG), "-DD", "-E", "-Y", str(tmp_path)]
    options = ["-P", f"{tmp_path}/pid", *(part for value in values for part in ("-A", value))]
    with (tmp_path / "log").open("wb") as log:
        edge = subprocess.Popen([*program, *options], stdout=log, stderr=log, process_group=0)
    try:
        give_up_at = time.monotonic() + 20
        while not gets_tls(outside):
            assert edge.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < give_up_at
            time.sleep(0.1)
        yield outside
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(edge.pid, signal.SIGKILL)  # Kamailio is several processes
        edge.wait(10)


def secured(port: int, source: str = TRUNK) -> ssl.SSLSocket:
    """A TLS connection of a host's."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection((HOST, port), timeout=5, source_address=(source, 0))
    try:
        return context.wrap_socket(plain)
    except OSError:
        plain.close()
        raise


def gets_tls(port: int) -> bool:
    """Whether the trunk gets a connection now."""
    with contextlib.suppress(OSError), secured(port):
        return True
    return False


def until(seen: object, within_s: float) -> bool:
    """Whether something becomes true in time."""
    give_up_at = time.monotonic() + within_s
    while time.monotonic() < give_up_at:
        if seen():  # type: ignore[operator]
            return True
        time.sleep(0.1)
    return False


def test_silent_connections_do_not_lock_the_trunk_out(port: int) -> None:
    """More than there may be, from a host that is no trunk: they end, and the trunk gets in."""
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS + 5):
            silent = socket.create_connection((HOST, port), source_address=(STRANGER, 0))
            stack.enter_context(silent)
        assert not gets_tls(port)
        assert until(lambda: gets_tls(port), 10 * SILENT_S)


def test_a_trunks_connection_lasts_and_a_strangers_ends_with_its_request(port: int) -> None:
    """The first request tells them apart; the trunk is answered, the stranger is not."""
    with secured(port) as trunk, secured(port, STRANGER) as stranger:
        trunk.sendall(OPTIONS.encode())
        assert trunk.recv(4_000).startswith(b"SIP/2.0 483 ")
        stranger.sendall(OPTIONS.encode())
        assert stranger.recv(4_000) == b""
        with secured(port) as silent:  # of the trunk, too, while it has asked nothing
            silent.settimeout(SILENT_S + READER_S)
            assert silent.recv(1) == b""
        trunk.sendall(OPTIONS.replace("z9hG4bK1", "z9hG4bK2").encode())
        assert trunk.recv(4_000).startswith(b"SIP/2.0 483 ")


@pytest.mark.parametrize(("trunks", "open_to"), [("10.77.0.0/29", 4), ("fd77::/125", 6)])
def test_the_firewall_lets_the_trunk_connect_and_nobody_else(trunks: str, open_to: int) -> None:
    """Real packets between two hosts; other ports and other protocols stay as they were."""
    if os.geteuid() or not all(map(shutil.which, ("nft", "ip", "unshare", "nsenter"))):
        pytest.skip("needs root, nftables, iproute2 and util-linux")
    lab = [sys.executable, str(Path(edge_network.__file__)), trunks, "3"]
    done = subprocess.run(["unshare", "--net", *lab], capture_output=True, text=True)
    if "Operation not permitted" in done.stderr:
        pytest.skip("network namespaces are not allowed here")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    other = 10 - open_to
    assert seen[f"trunk{open_to}"] == [True, True, True, False, False]
    assert not any(seen[f"trunk{other}"])
    assert (seen["stranger4"], seen["stranger6"]) == (False, False)
    assert (seen["other_port4"], seen["other_port6"], seen["datagram"]) == (True, True, True)
    assert seen["trunk_again"] == [open_to == 4, open_to == 6]
    assert seen["after"] == [True, True]


def test_the_chart_puts_the_firewall_first() -> None:
    """On the node's network, with the edge's port and trunk; it starts before Kamailio."""
    example = next(path for path in EXAMPLES if path.stem == "sip-edge")
    first = sip_pod(rendered("helm4", example))["initContainers"][0]
    assert first["command"] == ["sh", "/etc/edge/firewall.sh"]
    assert first["args"] == ["5061", "198.51.100.0/24", "20"]
    text = edge_network.FIREWALL.read_text(encoding="utf-8")
    assert '"callcenter_edge_$port"' in text
    assert first["livenessProbe"]["exec"]["command"][-1] == "callcenter_edge_5061"
    off = rendered("helm4", example, "--set", "edge.firewall.enabled=false")
    names = [one["name"] for one in sip_pod(off)["initContainers"]]
    assert names == ["rtpengine", "kamailio"]
