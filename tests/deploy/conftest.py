"""What the deployment's tests share: rendering the chart, and skipping where a tool is missing."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import tools
from tests.servers import valkey

CHART = tools.ROOT / "helm" / "personaplex-callcenter"
EXAMPLES = sorted((tools.ROOT / "helm" / "examples").glob("*.yaml"))
TRIAL = next(path for path in EXAMPLES if path.stem == "one-node")
VALUES = EXAMPLES + sorted((Path(__file__).parent / "values").glob("*.yaml"))
HELMS = {"helm3": tools.HELM_3, "helm4": tools.HELM_4}
KUBERNETES = ("1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37")

Manifest = dict[str, Any]


def program(tool: tools.Tool) -> str:
    """The tool's path; the test is skipped if it is not there."""
    try:
        return str(tool.path)
    except tools.ToolUnavailable as error:
        pytest.skip(str(error))


def helm(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Helm 3 or 4."""
    command = [program(HELMS[name]), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@functools.cache
def rendered(name: str, values: Path, *options: str) -> tuple[Manifest, ...]:
    """The chart's manifests with a values file."""
    done = helm(
        name, "template", "cc", str(CHART), "--namespace", "voice", "-f", str(values), *options
    )
    assert done.returncode == 0, done.stderr
    return tuple(yaml_documents(done.stdout))


def yaml_documents(text: str) -> list[Manifest]:
    """A YAML text's documents, without the empty ones; by libyaml, ten times as fast."""
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]


@pytest.fixture(params=VALUES, ids=lambda path: path.stem)
def values(request: pytest.FixtureRequest) -> Path:
    """Each values file of the matrix."""
    path: Path = request.param
    return path


@pytest.fixture
def refusal() -> Callable[..., str]:
    """What Helm says to values that it refuses."""

    def ask(name: str, *options: str) -> str:
        done = helm(name, "template", "cc", str(CHART), "-f", str(TRIAL), *options)
        assert done.returncode != 0, "these values were accepted"
        return done.stderr

    return ask


def pods(manifests: tuple[Manifest, ...]) -> dict[str, Manifest]:
    """Pod templates and pods by their owner's name."""
    found = {}
    for manifest in manifests:
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        if manifest["kind"] == "Pod":
            found[name] = {"metadata": manifest["metadata"], "spec": manifest["spec"]}
        elif "containers" in manifest.get("spec", {}).get("template", {}).get("spec", {}):
            found[name] = manifest["spec"]["template"]
    return found


def certificate(key: Path, chain: Path) -> None:
    """A key and a certificate that it signed itself."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", "/CN=edge", "-keyout", str(key), "-out", str(chain)),
        ],
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Valkey server of this test run."""
    with valkey() as server:
        yield server.connection_url
