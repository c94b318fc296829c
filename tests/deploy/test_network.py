"""Who reaches whom: network policies, listeners, address families, proxies."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from callcenter.settings import AdminSettings, GatewaySettings
from tests.deploy.conftest import CHART, VALUES, Manifest, pods, rendered

BY_NAME = {path.stem: path for path in VALUES}
EVERYTHING = BY_NAME["everything"]
ANYWHERE = {"0.0.0.0/0", "::/0"}
METADATA = ipaddress.ip_address("169.254.169.254")
API_SERVER = ipaddress.ip_address("10.96.0.1")

pytestmark = pytest.mark.timeout(120)


def policies(manifests: tuple[Manifest, ...]) -> dict[str, Manifest]:
    """Network policies by their pods' component."""
    return {
        manifest["metadata"]["name"].rsplit("-", 1)[1]: manifest["spec"]
        for manifest in manifests
        if manifest["kind"] == "NetworkPolicy"
    }


def variables(manifests: tuple[Manifest, ...], component: str) -> dict[str, Any]:
    """A component's environment, as far as it is plain."""
    (pod,) = [
        pod
        for name, pod in pods(manifests).items()
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] == component
        and (component != "worker" or name.endswith("-main"))
    ]
    (container, *_) = pod["spec"]["containers"]
    return {entry["name"]: entry.get("value") for entry in container["env"]}


def test_what_no_policy_allows_is_denied(values: Path) -> None:
    """One policy selects every pod of the release and allows nothing; all are about both ways."""
    manifests = rendered("helm4", values)
    found = policies(manifests)
    deny = found["deny"]
    assert (deny["ingress"], deny["egress"]) == ([], [])
    selected = deny["podSelector"]["matchLabels"].items()
    assert all(selected <= pod["metadata"]["labels"].items() for pod in pods(manifests).values())
    assert all(one["policyTypes"] == ["Ingress", "Egress"] for one in found.values())


def test_nothing_is_open_to_all_namespaces(values: Path) -> None:
    """Neither by an empty selector nor by everybody's network; but for calls' media and TURN."""
    for name, policy in policies(rendered("helm4", values)).items():
        for rule in policy["ingress"]:
            sources = rule.get("from")
            if sources is None:
                udp = {port["protocol"] for port in rule["ports"]} == {"UDP"}
                assert udp or name == "turn", name
                continue
            assert sources, f"{name}: an empty list of sources is everybody"
            for source in sources:
                assert source.get("namespaceSelector", {"a": "b"}), name
                assert source.get("ipBlock", {}).get("cidr") not in ANYWHERE, name


def test_the_default_opens_nothing() -> None:
    """Without a value that names somebody no other namespace and no address comes in."""
    manifests = rendered("helm4", BY_NAME["one-node"])
    for policy in policies(manifests).values():
        for rule in policy["ingress"]:
            assert all("podSelector" in source for source in rule["from"])
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    network = values["networkPolicy"]
    assert network["ingressNamespaces"] == network["monitoringNamespaces"] == []


def reached(policy: Manifest, address: ipaddress.IPv4Address, port: int) -> bool:
    """Whether egress rules let a pod connect to an address outside of the release."""
    for rule in policy["egress"]:
        ports = rule.get("ports", [{"port": port, "protocol": "TCP"}])
        if not any(p["protocol"] == "TCP" and p.get("port") == port for p in ports):
            continue
        if "to" not in rule:
            return True
        for peer in rule["to"]:
            block = peer.get("ipBlock")
            if block and address in ipaddress.ip_network(block["cidr"]):
                outside = map(ipaddress.ip_network, block.get("except", []))
                if not any(address in network for network in outside):
                    return True
    return False


def test_https_goes_to_the_internet_and_not_to_the_cluster() -> None:
    """A webhook's address that leads inside gets nowhere, whatever the program thinks of it."""
    found = policies(rendered("helm4", EVERYTHING))
    public = ipaddress.ip_address("1.1.1.1")
    inside = ipaddress.ip_address("10.9.1.7")  # networkPolicy.httpsCidrs
    for name in ("gateway", "admin"):
        assert reached(found[name], public, 443)
        assert reached(found[name], inside, 443)
        for address in (API_SERVER, METADATA, ipaddress.ip_address("192.168.1.1")):
            assert not reached(found[name], address, 443), name
    assert not reached(found["worker"], public, 443)
    assert reached(found["worker"], API_SERVER, 443)
    off = policies(rendered("helm4", EVERYTHING, "--set", "networkPolicy.httpsEgress=false"))
    assert not reached(off["admin"], public, 443)
    assert reached(off["admin"], inside, 443)


def test_a_language_model_elsewhere_is_reached_by_its_port() -> None:
    """The cascade's endpoint, which the worker's environment names."""
    worker = policies(rendered("helm4", BY_NAME["ipv6"]))["worker"]
    assert reached(worker, ipaddress.ip_address("1.1.1.1"), 8443)
    assert not reached(worker, API_SERVER, 6443)


def test_sip_pods_talk_to_trunks_and_parts_only() -> None:
    """Signalling to the trunks, RTP, workers and Redis."""
    sip = policies(rendered("helm4", EVERYTHING))["sip"]
    assert reached(sip, ipaddress.ip_address("198.51.100.9"), 5060)
    assert not reached(sip, ipaddress.ip_address("1.1.1.1"), 5060)
    assert not reached(sip, API_SERVER, 443)
    udp = [r for r in sip["egress"] if r.get("ports", [{}])[0].get("endPort")]
    assert [r["to"] for r in udp] == [[{"ipBlock": {"cidr": "198.51.100.0/23"}}]]
    edge = policies(rendered("helm4", BY_NAME["edge-in-pod-network"]))["sip"]
    (tls, rtp) = edge["ingress"]
    assert tls["from"] == [{"ipBlock": {"cidr": "198.51.100.0/24"}}]
    assert "from" not in rtp


def test_turn_relays_to_the_internet_and_to_gateways() -> None:
    """A second bound beside the server's own list of peers."""
    turn = policies(rendered("helm4", BY_NAME["ipv6"]))["turn"]
    (rule,) = turn["egress"]
    assert {port["protocol"] for port in rule["ports"]} == {"UDP"}
    networks = [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]
    assert METADATA in ipaddress.ip_network("169.254.0.0/16")
    assert "169.254.0.0/16" in networks[0]["except"]
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"} <= set(networks[0]["except"])
    assert networks[1]["cidr"] == "2000::/3"


def test_the_nodes_reach_the_link_and_never_the_embedded_redis() -> None:
    """SIP pods in the node's network have the node's address."""
    worker = policies(rendered("helm4", BY_NAME["on-premises-sip"]))["worker"]
    (link, _) = worker["ingress"]
    assert {"ipBlock": {"cidr": "10.30.0.0/24"}} in link["from"]
    assert [port["port"] for port in link["ports"]] == ["link"]
    for values in VALUES:
        redis = policies(rendered("helm4", values)).get("redis", {"ingress": []})
        for rule in redis["ingress"]:
            assert all("podSelector" in source for source in rule["from"]), values.stem


def test_only_voice_uses_the_nodes_network(values: Path) -> None:
    """And there every program listens on one address that is named, or on the loopback."""
    for name, pod in pods(rendered("helm4", values)).items():
        spec = pod["spec"]
        if not spec.get("hostNetwork"):
            continue
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        assert component in ("sip", "turn"), name
        hosts = [
            e.get("value") for c in spec["containers"] for e in c["env"] if "HOST" in e["name"]
        ]
        assert set(hosts) <= {"$(POD_IP)", "127.0.0.1"}, name


def test_programs_listen_on_what_the_pod_has(values: Path) -> None:
    """The link and the metrics on the pod's address; gateways and admin app on both families."""
    manifests = rendered("helm4", values)
    worker = variables(manifests, "worker")
    assert worker["WORKER_HOST"] == "$(POD_IP)"
    assert "WORKER_URL" not in worker
    gateway = variables(manifests, "gateway")
    assert (gateway["GATEWAY_HOST"], gateway["METRICS_HOST"]) == ("*", "$(POD_IP)")


@pytest.mark.parametrize(
    ("stem", "families"),
    [
        ("ipv6", ("SingleStack", ["IPv6"])),
        ("everything", ("PreferDualStack", ["IPv4", "IPv6"])),
        ("one-gpu", (None, None)),
    ],
)
def test_services_have_the_families_that_are_asked_for(
    stem: str, families: tuple[str | None, list[str] | None]
) -> None:
    """All of them alike; the cluster's default where nothing is asked."""
    services = [m for m in rendered("helm4", BY_NAME[stem]) if m["kind"] == "Service"]
    assert len(services) >= 3
    for service in services:
        spec = service["spec"]
        found = spec.get("ipFamilyPolicy"), spec.get("ipFamilies")
        assert found == families, service["metadata"]["name"]


def test_programs_take_the_proxies_as_the_chart_gives_them() -> None:
    """Both kinds of address; gateway and admin app."""
    manifests = rendered("helm4", EVERYTHING)
    common = {"link_secret": "l" * 32}
    told = variables(manifests, "gateway")["FORWARDED_ALLOW_IPS"]
    assert told == variables(manifests, "admin")["FORWARDED_ALLOW_IPS"]
    gateway = GatewaySettings.load(
        **common,
        public_base_url="https://voice.example.com",
        twilio_auth_token="t" * 32,
        forwarded_allow_ips=told,
    )
    admin = AdminSettings.load(**common, admin_secret="a" * 32, forwarded_allow_ips=told)
    networks = ("10.42.0.0/16", "fd00:42::/56")
    assert gateway.forwarded_allow_ips == admin.forwarded_allow_ips == networks
    public = rendered(
        "helm4", BY_NAME["one-gpu"], "--set", "gateway.service.type=LoadBalancer"
    )  # a balancer in front, and no proxy: the visitor's own address arrives
    (service,) = [m for m in public if m["metadata"]["name"].endswith("callcenter-gateway")
                  and m["kind"] == "Service"]  # fmt: skip
    assert service["spec"]["externalTrafficPolicy"] == "Local"


@pytest.mark.parametrize("name", ["helm3", "helm4"])
@pytest.mark.parametrize("where", ["gateway", "sip", "admin", "workers.pools.main"])
def test_large_numbers_stay_whole(name: str, where: str, tmp_path: Path) -> None:
    """In the environment of every program; fractions and words stay as they are."""
    wanted = {
        "MAX_MESSAGE_BYTES": 1_048_576,
        "A_BILLION": 1_000_000_000_000,
        "NEGATIVE": -2_000_000,
        "FRACTION": 0.25,
        "FLAG": True,
        "WORD": "million",
    }
    tree: dict[str, Any] = {"env": wanted}
    for part in reversed(where.split(".")):
        tree = {part: tree}
    path = tmp_path / "large.yaml"
    path.write_text(yaml.safe_dump(tree))
    manifests = rendered(name, EVERYTHING, "-f", str(path))
    component = "worker" if where.startswith("workers") else where
    env = variables(manifests, component)
    assert {key: env[key] for key in wanted} == {
        "MAX_MESSAGE_BYTES": "1048576",
        "A_BILLION": "1000000000000",
        "NEGATIVE": "-2000000",
        "FRACTION": "0.25",
        "FLAG": "true",
        "WORD": "million",
    }
    text = yaml.safe_dump_all(m for m in manifests if m["kind"] != "ConfigMap")
    assert not re.search(r"\b\d(\.\d+)?e\+\d+\b", text)
