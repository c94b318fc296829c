"""The chart's edge: its programs run with the arguments that the chart gives them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.deploy import tools
from tests.deploy.conftest import EXAMPLES, VALUES, Manifest, certificate, rendered
from tests.servers import free_port

CONFIG = tools.ROOT / "deploy" / "edge" / "kamailio.cfg"
EXAMPLE = next(path for path in EXAMPLES if path.stem == "sip-edge")
HOST = "127.0.0.1"

pytestmark = pytest.mark.timeout(60)


def sip_pod(manifests: tuple[Manifest, ...]) -> Manifest:
    """The SIP gateway's pod."""
    (found,) = [
        manifest["spec"]["template"]["spec"]
        for manifest in manifests
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"].endswith("-sip")
    ]
    pod: Manifest = found
    return pod


def programs(manifests: tuple[Manifest, ...]) -> dict[str, Manifest]:
    """The edge's containers by name."""
    return {one["name"]: one for one in sip_pod(manifests)["initContainers"]}


def test_every_value_of_the_configuration_is_given() -> None:
    """Those that its head lists, and no other."""
    listed = set(re.findall(r"(?m)^#   ([A-Z_]+) +\S", CONFIG.read_text(encoding="utf-8")))
    kamailio = programs(rendered("helm4", EXAMPLE))["kamailio"]
    given = {
        value.split("=")[0]
        for flag, value in zip(kamailio["args"], kamailio["args"][1:], strict=False)
        if flag == "-A"
    }
    assert given == listed


def test_an_address_of_version_6_stands_in_brackets() -> None:
    """As Kamailio reads it; rtpengine takes it bare."""
    manifests = rendered("helm4", next(path for path in VALUES if path.stem == "ipv6"))
    edge = programs(manifests)
    assert "OUTSIDE=tls:[$(POD_IP)]:5061" in edge["kamailio"]["args"]
    assert "--interface=$(POD_IP)" in edge["rtpengine"]["args"]


def test_the_gateway_listens_on_the_loopback_only() -> None:
    """Nothing reaches it but through the edge; the edge's programs outlive it at a shutdown."""
    pod = sip_pod(rendered("helm4", EXAMPLE))
    (gateway,) = pod["containers"]
    env = {entry["name"]: entry.get("value") for entry in gateway["env"]}
    assert (env["SIP_BIND_HOST"], env["SIP_TCP_PORT"]) == (HOST, "-1")
    assert "SIP_TLS_PORT" not in env
    assert {port["name"] for port in gateway["ports"]} == {"http", "metrics"}
    assert {one["restartPolicy"] for one in pod["initContainers"]} == {"Always"}


@contextmanager
def running(container: Manifest, places: dict[str, str], folder: Path) -> Iterator[None]:
    """A container's program on this machine, until its startup probe has been answered."""
    if shutil.which(container["command"][0]) is None:
        pytest.skip(f"{container['command'][0]} is not installed")

    def placed(text: str) -> str:
        for there, here in places.items():
            text = text.replace(there, here)
        return text

    command = [*container["command"], *map(placed, container["args"])]
    with (folder / f"{container['name']}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, process_group=0)
    probe = container["startupProbe"]["exec"]["command"]
    try:
        give_up_at = time.monotonic() + 20
        while subprocess.run(probe, env={"POD_IP": HOST}, capture_output=True).returncode:
            assert process.poll() is None, (folder / f"{container['name']}.log").read_text()
            assert time.monotonic() < give_up_at
            time.sleep(0.1)
        yield
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(process.pid, signal.SIGKILL)  # Kamailio is several processes
        process.wait(10)


def test_both_programs_start_as_the_chart_has_them(tmp_path: Path) -> None:
    """With the chart's arguments, TLS configuration and probes."""
    ports = {
        "sip.tls.port": free_port(socket.SOCK_STREAM),
        "edge.ports.inside": free_port(socket.SOCK_DGRAM),
        "edge.ports.rtpengine": free_port(socket.SOCK_DGRAM),
        "edge.ports.rtpengineHttp": free_port(socket.SOCK_STREAM),
    }
    options = [part for name, port in ports.items() for part in ("--set", f"{name}={port}")]
    manifests = rendered("helm4", EXAMPLE, *options)
    places = {
        "$(POD_IP)": HOST,
        "/tmp": str(tmp_path),
        "/etc/edge/kamailio.cfg": str(CONFIG),
        "/etc/edge-config": str(tmp_path),
        "/etc/edge-tls": str(tmp_path),
    }
    (tls,) = [m["data"]["tls.cfg"] for m in manifests if m["metadata"]["name"].endswith("-edge")]
    (tmp_path / "tls.cfg").write_text(tls.replace("/etc/edge-tls", str(tmp_path)))
    certificate(tmp_path / "tls.key", tmp_path / "tls.crt")
    with ExitStack() as stack:
        edge = programs(manifests)
        for container in (edge["rtpengine"], edge["kamailio"]):
            stack.enter_context(running(container, places, tmp_path))
