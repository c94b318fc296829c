"""Whom a visitor's TURN credential reaches: a real coturn with the options of compose and chart."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from pathlib import Path

import pytest
import yaml

from tests.deploy import tools
from tests.deploy.conftest import VALUES, pods, rendered
from tests.integration.gateway import coturn
from tests.integration.gateway.coturn import TCP, Visitor

FORBIDDEN, WRONG_TRANSPORT, NO_TCP, QUOTA = 403, 442, 403, 486
# One address or more of every entry of IANA's special-purpose registries that is not global
# (RFC 6890), and what public clouds keep for themselves.
REFUSED_V4 = (
    *("0.0.0.1", "10.0.0.1", "10.96.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1"),
    *("168.63.129.16", "169.254.169.254", "172.16.0.1", "172.17.0.2", "172.31.255.255"),
    *("192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255"),
    *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1"),
    "255.255.255.255",
)
REFUSED_V6 = (
    *("::", "::1", "::10.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::ffff:0:10.0.0.1"),
    *("64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "100::1", "2001::1"),
    *("2001:2::1", "2001:20::1", "2001:db8::1", "2002:a00:1::1", "3fff::1", "5f00::1"),
    *("fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1"),
)
GRANTED_V4 = ("1.1.1.1", "9.255.255.255", "11.0.0.1", "172.15.255.255", "172.32.0.1", "223.0.0.1")
GRANTED_V6 = ("2001:4860:4860::8888", "2a00::1", "2606:4700:4700::1111")

pytestmark = [
    pytest.mark.timeout(40),
    pytest.mark.skipif(coturn.TURNSERVER is None, reason="needs coturn: apt-get install coturn"),
]


def chart_options() -> list[str]:
    """What the chart gives coturn in the values file that turns everything on."""
    path = next(path for path in VALUES if path.stem == "everything")
    (pod,) = [pod for name, pod in pods(rendered("helm4", path)).items() if name.endswith("-turn")]
    return coturn.without_own(pod["spec"]["containers"][0]["args"])


@pytest.fixture(params=[coturn.compose_options, chart_options], ids=["compose", "chart"])
def options(request: pytest.FixtureRequest) -> list[str]:
    """Options of both ways to run it."""
    found: list[str] = request.param()
    return found


def has_ipv6() -> bool:
    """Whether this machine has a loopback of version 6."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_the_lists_agree_and_the_tables_mean_it() -> None:
    """Chart and compose refuse the same; what the table of public addresses has is public."""
    refused = [
        [option for option in options if option.startswith("--denied-peer-ip")]
        for options in (coturn.compose_options(), chart_options())
    ]
    assert refused[0] == refused[1]
    assert all(ipaddress.ip_address(peer).is_global for peer in (*GRANTED_V4, *GRANTED_V6))


@pytest.mark.parametrize(
    ("host", "refused", "granted"),
    [
        ("127.0.0.1", REFUSED_V4, GRANTED_V4),
        pytest.param(
            *("::1", REFUSED_V6, GRANTED_V6),
            marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here"),
        ),
    ],
    ids=["IPv4", "IPv6"],
)
async def test_peers_are_public_addresses_only(
    host: str,
    refused: tuple[str, ...],
    granted: tuple[str, ...],
    options: list[str],
    tmp_path: Path,
) -> None:
    """Permissions and channels alike; nothing is sent there."""
    family = "--allocation-default-address-family=keep"  # a relay of the client's own family
    async with (
        coturn.running(host, tmp_path, options, family) as address,
        Visitor.connected(address, "visit") as visitor,
    ):
        assert await visitor.allocate() == 0
        permitted = {peer: await visitor.permitted(peer) for peer in (*refused, *granted)}
        assert {peer for peer, error in permitted.items() if error != FORBIDDEN} == set(granted)
        bound = {peer: await visitor.bound(peer, 0x4000 + n) for n, peer in enumerate(refused)}
        assert set(bound.values()) == {FORBIDDEN}
        assert {permitted[peer] for peer in granted} == {0}


async def test_a_mapped_address_is_no_way_round(options: list[str], tmp_path: Path) -> None:
    """A version 6 address within a relay of version 4."""
    async with (
        coturn.running("127.0.0.1", tmp_path, options) as address,
        Visitor.connected(address, "visit") as visitor,
    ):
        assert await visitor.allocate() == 0
        for peer in ("::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1"):
            assert await visitor.permitted(peer) != 0, peer


async def test_nothing_is_relayed_over_tcp(options: list[str], tmp_path: Path) -> None:
    """RFC 6062 opens connections: to whatever listens."""
    async with (
        coturn.running("127.0.0.1", tmp_path, options) as address,
        Visitor.connected(address, "visit") as visitor,
    ):
        assert await visitor.allocate(TCP) in (WRONG_TRANSPORT, NO_TCP)


async def test_a_credential_has_a_bound_of_relays(options: list[str], tmp_path: Path) -> None:
    """One visitor more than its quota is refused; another session still gets one."""
    (quota,) = [int(o.partition("=")[2]) for o in options if o.startswith("--user-quota=")]
    async with contextlib.AsyncExitStack() as stack:
        server = coturn.running("127.0.0.1", tmp_path, options)
        address = await stack.enter_async_context(server)

        async def relay(session: str) -> int:
            visitor = await stack.enter_async_context(Visitor.connected(address, session))
            return await visitor.allocate()

        assert [await relay("greedy") for _ in range(quota + 1)] == [0] * quota + [QUOTA]
        assert await relay("modest") == 0


def test_bandwidth_and_lifetime_are_bounded(options: list[str]) -> None:
    """The server's capacity is what all relays together may use, and a dead relay ends soon."""
    numbers = dict(option.split("=", 1) for option in options if "=" in option)
    every, one = int(numbers["--total-quota"]), int(numbers["--max-bps"])
    assert int(numbers["--bps-capacity"]) == every * one
    assert int(numbers["--max-allocate-lifetime"]) <= 600


def test_the_image_is_the_same_in_chart_and_compose() -> None:
    """Of one version, which is named whole."""
    values = yaml.safe_load(
        (tools.ROOT / "helm/personaplex-callcenter/values.yaml").read_text(encoding="utf-8")
    )
    tag = values["images"]["turn"]["tag"]
    compose = (tools.ROOT / "deploy/compose/gpu.yaml").read_text(encoding="utf-8")
    assert f"coturn/coturn:{tag}\n" in compose
    assert len(tag.split("-")[0].split(".")) == 3
