"""The chart on Helm 3 and 4: lint, manifests by their schemas, and what must hold in them."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from callcenter import settings
from tests.deploy import tools
from tests.deploy.conftest import (
    CHART,
    EXAMPLES,
    HELMS,
    KUBERNETES,
    VALUES,
    Manifest,
    helm,
    pods,
    program,
    rendered,
    yaml_documents,
)

GOLDEN = Path(__file__).parent / "golden"
EVERYTHING = Path(__file__).parent / "values" / "everything.yaml"
CUSTOM = re.compile(
    r"(keda\.sh|monitoring\.coreos\.com|gateway\.networking\.k8s\.io|external-secrets\.io)/"
)
PROGRAMS = {  # component -> the settings that its program reads
    "gateway": settings.GatewaySettings,
    "worker": settings.WorkerSettings,
    "sip": settings.SipSettings,
    "admin": settings.AdminSettings,
}
HELPER_VARIABLES = {"POD_IP", "REDIS_PASSWORD"}  # only parts of other variables' values

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("name", HELMS)
def test_lint_finds_nothing(name: str, values: Path) -> None:
    """Strict: a warning is an error."""
    done = helm(name, "lint", "--strict", str(CHART), "-f", str(values))
    assert done.returncode == 0, done.stdout + done.stderr


def test_helm_3_and_4_render_the_same(values: Path) -> None:
    """Whoever has which does not matter."""
    three, four = rendered("helm3", values), rendered("helm4", values)
    assert [without_noise(one) for one in three] == [without_noise(one) for one in four]


def unique(manifests: Iterator[Manifest]) -> list[Manifest]:
    """Each manifest once; the matrix has most of them several times."""
    return list({json.dumps(manifest, sort_keys=True): manifest for manifest in manifests}.values())


def every_manifest() -> Iterator[Manifest]:
    """All manifests of the matrix."""
    for path in VALUES:
        yield from rendered("helm4", path)


@pytest.mark.parametrize("version", KUBERNETES)
def test_manifests_fit_kubernetes(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strictly: an unknown field is an error."""
    judge = pytest.importorskip("kubernetes_validate.utils")
    # It would read megabytes of definitions anew for every manifest.
    monkeypatch.setattr(judge, "schema_contents", functools.cache(judge.schema_contents))
    own = (manifest for manifest in every_manifest() if not CUSTOM.match(manifest["apiVersion"]))
    for manifest in unique(own):
        judge.validate(manifest, version, strict=True)


def test_a_wrong_manifest_would_be_found() -> None:
    """The check before this one can fail."""
    kubernetes = pytest.importorskip("kubernetes_validate")
    service = next(m for m in rendered("helm4", VALUES[0]) if m["kind"] == "Service")
    wrong = {**service, "spec": {**service["spec"], "selektor": {}}}
    with pytest.raises(kubernetes.ValidationError, match="selektor"):
        kubernetes.validate(wrong, KUBERNETES[-1], strict=True)


def test_custom_resources_fit_their_schemas() -> None:
    """KEDA, Prometheus operator, Gateway API, External Secrets."""
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    program(tools.SCHEMAS)
    custom = unique(m for m in every_manifest() if CUSTOM.match(m["apiVersion"]))
    wrong = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "wrong"},
        "spec": {"scaleTargetRef": {}, "triggers": []},
    }
    done = subprocess.run(
        ["node", str(Path(__file__).parent / "crds.mjs"), str(tools.CACHE / tools.SCHEMAS.name)],
        input="".join(json.dumps(manifest) + "\n" for manifest in [*custom, wrong]),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *answers, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer for answer in answers if answer["error"]] == []
    assert {manifest["kind"] for manifest in custom} == {
        *("ScaledObject", "ServiceMonitor", "PrometheusRule", "HTTPRoute", "ExternalSecret")
    }
    assert "scaleTargetRef" in last["error"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_golden_renders(example: Path) -> None:
    """What a change of the chart changes for whoever runs it, to be read in review.

    `GOLDEN=write python -m pytest tests/deploy/test_chart.py` writes them anew.
    """
    manifests = [without_noise(manifest) for manifest in rendered("helm4", example)]
    golden = GOLDEN / example.name
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        golden.write_text(yaml.safe_dump_all(manifests, sort_keys=True), encoding="utf-8")
    assert yaml_documents(golden.read_text(encoding="utf-8")) == manifests


def without_noise(manifest: Manifest) -> Manifest:
    """Without random secrets, and without files that have tests of their own."""
    copy = json.loads(json.dumps(manifest))
    if copy["kind"] == "Secret":
        copy["data"] = dict.fromkeys(copy["data"], "random")
    if "dashboard" in copy["metadata"]["name"]:
        copy["data"] = dict.fromkeys(copy["data"], "a file of its own")
    if copy["kind"] == "PrometheusRule":
        copy["spec"]["groups"] = [group["name"] for group in copy["spec"]["groups"]]
    return copy


def test_pods_obey_the_restricted_profile(values: Path) -> None:
    """Non-root, nothing to write on, no capability, no token that isn't needed."""
    for name, pod in pods(rendered("helm4", values)).items():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"], name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        mounts_token = spec.get("automountServiceAccountToken", True)
        assert not mounts_token or "-worker-" in name, name
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"], name
            assert not security["allowPrivilegeEscalation"], name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert set(container["resources"]) == {"requests", "limits"}, name


def test_a_worker_may_do_nothing_but_patch_pods(values: Path) -> None:
    """The chart's only role."""
    roles = [m for m in rendered("helm4", values) if m["kind"] in ("Role", "ClusterRole")]
    assert [role["rules"] for role in roles] == [
        [{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]
    ]


def test_grace_is_longer_than_the_longest_call(values: Path) -> None:
    """Of gateways, SIP gateways and workers alike."""
    manifests = rendered("helm4", values)
    longest_s = 0.0
    drains = {}
    for name, pod in pods(manifests).items():
        env = environment(pod)
        longest_s = max(longest_s, float(env.get("MAX_CALL_S", 0)))
        drain_s = float(env.get("GATEWAY_DRAIN_S") or env.get("DRAIN_DEADLINE_S") or 0)
        if drain_s:
            drains[name] = drain_s
            assert pod["spec"]["terminationGracePeriodSeconds"] >= drain_s + 30, name
    assert drains
    assert all(drain_s >= longest_s for drain_s in drains.values())


def environment(pod: Manifest) -> dict[str, Any]:
    """Variables with a plain value."""
    variables = pod["spec"]["containers"][0].get("env", [])
    return {entry["name"]: entry.get("value") for entry in variables}


def test_every_variable_is_a_setting_of_its_program(values: Path) -> None:
    """A misspelled one would be ignored without a word."""
    for name, pod in pods(rendered("helm4", values)).items():
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        reads = PROGRAMS.get(component)
        if reads is not None:
            known = {field.upper() for field in reads.model_fields} | HELPER_VARIABLES
            assert environment(pod).keys() <= known, name


def test_prefixes_of_transfers_reach_every_carrier() -> None:
    """Both gateways judge the numbers that operators type."""
    found = {
        pod["metadata"]["labels"]["app.kubernetes.io/component"]: environment(pod)
        for pod in pods(rendered("helm4", EVERYTHING)).values()
    }
    for component in ("gateway", "sip"):
        assert found[component]["TRANSFER_PREFIXES"] == "+49,+1800"


def test_commands_exist(values: Path) -> None:
    """Each pod of ours runs a command of the command line, with options that it has."""
    from callcenter.__main__ import app

    commands = get_command(app).commands
    for name, pod in pods(rendered("helm4", values)).items():
        container = pod["spec"]["containers"][0]
        ours = "personaplex" in container["image"] or "/voice/" in container["image"]
        if ours and "command" not in container:
            command, *options = container["args"]
            assert command in commands, name
            known = {one for parameter in commands[command].params for one in parameter.opts}
            assert {option.split("=")[0] for option in options} <= known, name


def policies(manifests: tuple[Manifest, ...]) -> dict[str, Manifest]:
    """Network policies by their pods' component."""
    found = {}
    for manifest in manifests:
        if manifest["kind"] == "NetworkPolicy":
            name = manifest["metadata"]["name"].rsplit("-", 1)[1]
            found[name] = manifest["spec"]
    return found


def test_admin_reaches_what_it_works_with() -> None:
    """It primes workers before it publishes, and what it publishes is what gateways go by."""
    manifests = rendered("helm4", EVERYTHING)
    found = policies(manifests)
    (link, _) = found["worker"]["ingress"]
    (who,) = [source["podSelector"] for source in link["from"] if "podSelector" in source]
    assert set(who["matchExpressions"][0]["values"]) == {"gateway", "sip", "admin"}
    reached = [
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for rule in found["admin"]["egress"]
        for peer in rule.get("to", [])
    ]
    assert set(reached) == {"redis", "worker"}
    gateway = environment(pods(manifests)["Deployment/cc-gateway"])
    assert "ROUTES_FILE" not in gateway
    assert "https://admin.example.com" in gateway["WEBRTC_ORIGINS"].split(",")
    admin = environment(pods(manifests)["Deployment/cc-admin"])
    assert admin["BROWSER_GATEWAY_URL"] == gateway["PUBLIC_BASE_URL"]


def test_a_routes_file_may_win_over_the_admin_app() -> None:
    """Where both are there."""
    manifests = rendered("helm4", EVERYTHING, "--set", "routes.source=file")
    gateway = environment(pods(manifests)["Deployment/cc-gateway"])
    assert gateway["ROUTES_FILE"] == "/etc/callcenter/routes.yaml"


def test_services_and_budgets_select_pods_that_exist(values: Path) -> None:
    """A selector that matches nothing is a silent mistake."""
    manifests = rendered("helm4", values)
    labels = [pod["metadata"]["labels"] for pod in pods(manifests).values()]

    def selects(selector: dict[str, str]) -> bool:
        return any(selector.items() <= one.items() for one in labels)

    for manifest in manifests:
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        if manifest["kind"] == "Service":
            assert selects(manifest["spec"]["selector"]), name
        elif manifest["kind"] == "PodDisruptionBudget":
            assert selects(manifest["spec"]["selector"]["matchLabels"]), name
        elif manifest["kind"] == "NetworkPolicy":
            assert selects(manifest["spec"]["podSelector"]["matchLabels"]), name


def test_scaled_pools_leave_their_replicas_to_the_scaler(values: Path) -> None:
    """A fixed number would undo the scaler's at every upgrade."""
    manifests = rendered("helm4", values)
    scaled = {
        m["spec"]["scaleTargetRef"]["name"]
        for m in manifests
        if m["kind"] in ("ScaledObject", "HorizontalPodAutoscaler")
    }
    for manifest in manifests:
        if manifest["kind"] == "Deployment":
            fixed = "replicas" in manifest["spec"]
            assert fixed != (manifest["metadata"]["name"] in scaled), manifest["metadata"]["name"]


def test_metrics_are_never_public(values: Path) -> None:
    """Ingress and Gateway API carry calls only."""
    for manifest in rendered("helm4", values):
        if manifest["kind"] == "Ingress" and "gateway" in manifest["metadata"]["name"]:
            paths = manifest["spec"]["rules"][0]["http"]["paths"]
            public = {(path["path"], path["pathType"]) for path in paths}
        elif manifest["kind"] == "HTTPRoute":
            matches = [rule["matches"][0]["path"] for rule in manifest["spec"]["rules"]]
            public = {(match["value"], match["type"]) for match in matches}
        else:
            continue
        assert ("/", "Prefix") not in public
        assert ("/", "PathPrefix") not in public
        assert not any(path.startswith("/metrics") for path, _ in public)


def test_business_hours_become_cron_triggers() -> None:
    """Pre-warm reaches back before the doors open."""
    manifests = rendered("helm4", EVERYTHING)
    (scaled,) = [m for m in manifests if m["kind"] == "ScaledObject"]
    busy, cron = scaled["spec"]["triggers"]
    assert cron["metadata"] == {
        "timezone": "Europe/Berlin",
        "start": "50 7 * * 1-5",
        "end": "0 18 * * 1-5",
        "desiredReplicas": "4",
    }
    assert busy["metadata"]["threshold"] == "32"
    for part in ("worker_slots_used", "rejected_capacity", "+ 8"):
        assert part in busy["metadata"]["query"]


def in_a_namespace(manifest: Manifest) -> Manifest:
    """As Helm installs it."""
    return {**manifest, "metadata": {"namespace": "voice", **manifest["metadata"]}}


def test_policies_hold_but_for_the_exceptions() -> None:
    """Checkov's Kubernetes policies; each exception stands with its reason in checkov.yaml."""
    checkov = program(tools.CHECKOV)
    folder = Path(__file__).parent
    exceptions = yaml.safe_load((folder / "checkov.yaml").read_text(encoding="utf-8"))
    manifests = [in_a_namespace(m) for path in VALUES for m in rendered("helm4", path)]
    own = unique(m for m in manifests if not CUSTOM.match(m["apiVersion"]))
    text = yaml.dump_all(own, Dumper=yaml.CSafeDumper)
    target = tools.CACHE / "rendered.yaml"
    target.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, checkov, "--framework", "kubernetes", "--skip-download", "--quiet"),
            *("--compact", "-o", "json", "-f", str(target)),
        ],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(checkov).parents[1]), "PATH": "/usr/bin:/bin", "HOME": "/tmp"},
    )
    report = json.loads(done.stdout)
    failed = {
        (one["check_id"], one["resource"].split(".")[0])
        for one in report["results"]["failed_checks"]
    }
    allowed = {(rule, kind) for rule, entry in exceptions.items() for kind in entry["kinds"]}
    assert failed - allowed == set()
    assert allowed - failed == set(), "exceptions that nothing needs"
    assert report["summary"]["passed"] > 1_000
