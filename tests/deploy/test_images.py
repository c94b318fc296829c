"""Dockerfiles, lock files and compose files, as far as they can be judged without an engine."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import time
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from callcenter import settings
from tests.deploy import replay, tools
from tests.deploy.conftest import certificate, program

IMAGES = tools.ROOT / "deploy" / "images"
COMPOSE = tools.ROOT / "deploy" / "compose"
DOCKERFILES = sorted(IMAGES.glob("*.Dockerfile"))
COMPOSE_FILES = [COMPOSE / "laptop.yaml", COMPOSE / "gpu.yaml"]
EXTRAS = {"gateway": ("webrtc", "sip", "admin", "otel"), "worker": ("worker", "otel")}
HEAVY = re.compile(r"(torch|triton|nvidia|cuda|sympy|networkx|mpmath)")  # gigabytes; left out
HELPERS = {"REDIS_PASSWORD", "HF_HOME"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
@pytest.mark.timeout(60)
def test_hadolint_finds_nothing(path: Path) -> None:
    """The one ignored rule has its reason in .hadolint.yaml."""
    command = [program(tools.HADOLINT), "--config", str(IMAGES / ".hadolint.yaml"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_images_run_as_nobody_in_particular_and_tell_their_health(path: Path) -> None:
    """As the user that the chart runs them as."""
    text = path.read_text(encoding="utf-8")
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert "HEALTHCHECK" in text
    assert text.rindex("USER ") > text.rindex("RUN ")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_an_image_copies_is_in_the_build_context(path: Path) -> None:
    """It exists, and .dockerignore, which leaves out everything else, lets it through."""
    ignore = (tools.ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = [line[1:] for line in ignore if line.startswith("!")]
    copied = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", path.read_text(encoding="utf-8"))
    sources = [source for sources in copied for source in sources.split()]
    assert sources
    for source in sources:
        assert (tools.ROOT / source).exists(), source
        folders = [source, *map(str, Path(source).parents)]
        assert any(fnmatch(part, each) for part in folders for each in let_through), source


@pytest.mark.parametrize("image", EXTRAS)
def test_locks_satisfy_the_project(image: str) -> None:
    """`deploy/images/lock.sh` writes them anew after a change of dependencies."""
    pins = locked(image)
    with (tools.ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    wanted = list(project["dependencies"])
    for extra in EXTRAS[image]:
        wanted += project["optional-dependencies"].get(extra, [])
    for requirement in map(Requirement, wanted):
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is missing in {image}.lock"
        assert requirement.specifier.contains(pins[name], prereleases=True), requirement


def test_the_gateways_image_carries_no_torch() -> None:
    """It would be fifty times the size."""
    assert not [name for name in locked("gateway") if HEAVY.match(name)]
    assert "torch" in locked("worker")


def locked(image: str) -> dict[str, str]:
    """Versions by package; every one must have a hash."""
    text = (IMAGES / f"{image}.lock").read_text(encoding="utf-8")
    blocks = [block for block in re.split(r"(?m)^(?=\S)", text) if "==" in block]
    assert all("--hash=sha256:" in block for block in blocks)
    pins = (block.split(None, 1)[0].split("==") for block in blocks)
    return {canonicalize_name(name.split("[")[0]): version for name, version in pins}


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_compose_files_fit_the_specification(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A strict reader takes them once the variables are filled in, and no misspelled ones."""
    monkeypatch.syspath_prepend(str(Path(program(tools.COMPOSE)).parents[1]))
    parse = importlib.import_module("compose_spec").PyCompose.from_yaml
    filled = re.sub(r"\$\{(\w+)[^}]*\}", "/filled-in", path.read_text(encoding="utf-8"))
    document = yaml.safe_load(filled)
    assert "gateway" in parse(yaml.safe_dump(document)).service_names()
    document["services"]["gateway"]["prots"] = []
    with pytest.raises(ValueError, match="prots"):
        parse(yaml.safe_dump(document))


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_compose_files_fit_the_programs_and_each_other(path: Path) -> None:
    """Variables are settings, mounted files exist, services wait for services that exist."""
    text, document = path.read_text(encoding="utf-8"), compose(path)
    secrets = set(re.findall(r"^(\w+)=", (COMPOSE / "env.sh").read_text(), re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+)", text)) <= secrets
    known = {
        field.upper()
        for reads in (settings.GatewaySettings, settings.WorkerSettings)
        for field in reads.model_fields
    }
    for name, service in document["services"].items():
        if "personaplex" in service["image"]:
            assert set(service.get("environment", {})) <= known | HELPERS, name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (COMPOSE / source).exists(), volume
        assert set(service.get("depends_on", {})) <= set(document["services"]), name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name


def compose(path: Path) -> dict[str, object]:
    """A compose file with its anchors merged."""
    document: dict[str, object] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def test_env_sh_writes_secrets_once(tmp_path: Path) -> None:
    """Readable by their owner only; a second run changes nothing."""
    script = tmp_path / "env.sh"
    script.write_text((COMPOSE / "env.sh").read_text(encoding="utf-8"))
    subprocess.run(["sh", str(script)], check=True, capture_output=True)
    written = (tmp_path / ".env").read_text(encoding="utf-8")
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    values = dict(re.findall(r"^(\w+)=(.*)$", written, re.MULTILINE))
    made = [value for name, value in values.items() if name.endswith(("SECRET", "TOKEN")) and value]
    assert len(set(made)) == len(made) >= 4
    assert min(map(len, made)) >= 64
    subprocess.run(["sh", str(script)], check=True, capture_output=True)
    assert (tmp_path / ".env").read_text(encoding="utf-8") == written


def test_build_sh_resolves_the_base_to_a_digest(tmp_path: Path) -> None:
    """With an engine that writes down what it is asked."""
    fake = tmp_path / "docker"
    fake.write_text(
        '#!/bin/sh\nif [ "$2" = imagetools ]; then echo sha256:abc; '
        f'else printf "%s\\n" "$@" > {tmp_path}/asked; fi\n'
    )
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["sh", str(IMAGES / "build.sh"), "gateway", "v1"]
    subprocess.run(command, check=True, env=environment)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert "BASE_IMAGE=docker.io/library/debian:bookworm-slim@sha256:abc" in asked
    assert {"--sbom=true", "--provenance=mode=max", "personaplex-callcenter/gateway:v1"} <= set(
        asked
    )


@dataclass(frozen=True)
class Trial:
    """How an image's program is tried.

    Attributes:
        image: its name.
        environment, arguments: of the program, beside the image's own.
        leave_out: packages that are not installed.
    """

    image: str
    environment: dict[str, str]
    arguments: tuple[str, ...] = ()
    leave_out: re.Pattern[str] | None = None


COMMON = {"LINK_SECRET": "s" * 32, "REDIS_URL": "redis://127.0.0.1:1", "LOG_LEVEL": "error"}
TRIALS = [
    Trial(
        "gateway",
        COMMON
        | {
            "PUBLIC_BASE_URL": "https://voice.example.com",
            "ROUTES_FILE": "/tmp/routes.yaml",
            "TWILIO_AUTH_TOKEN": "t" * 32,
            "METRICS_PORT": "0",
        },
    ),
    # Without torch and CUDA, so it runs the rehearsal engine.
    Trial("worker", COMMON | {"ENGINE": "rehearsal", "WORKER_PORT": "0"}, leave_out=HEAVY),
    Trial(
        "edge",
        {},
        tuple(
            part
            for value in (
                *("OUTSIDE=tls:127.0.0.1:5061", "INSIDE=udp:127.0.0.1:5070"),
                *('GATEWAY="sip:127.0.0.1:5060"', 'GATEWAY_HOST="127.0.0.1"'),
                *('RTPENGINE="udp:127.0.0.1:2223"', 'TLS_CONFIG="/tmp/tls.cfg"'),
                'TRUNKS="192.0.2.0/24"',
            )
            for part in ("-A", value)
        ),
    ),
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.image)
def test_the_images_steps_work_on_a_bare_debian(trial: Trial, tmp_path: Path) -> None:
    """Every step is carried out; then the program runs as in the image, and is healthy.

    Minutes, and most of it downloads: `REPLAY=gateway,edge`, or `REPLAY=all`, asks for it.
    """
    if not {trial.image, "all"} & set(os.environ.get("REPLAY", "").split(",")):
        pytest.skip(f"REPLAY={trial.image} or REPLAY=all carries out this image's steps")
    dockerfile = IMAGES / f"{trial.image}.Dockerfile"
    try:
        made = replay.replay(dockerfile, tmp_path / "stages", trial.leave_out)
    except tools.ToolUnavailable as error:
        pytest.skip(str(error))
    (made.root / "tmp/routes.yaml").write_text("default: {persona: bank}\n")
    tls = "[server:default]\nprivate_key = /tmp/tls.key\ncertificate = /tmp/tls.crt\n"
    (made.root / "tmp/tls.cfg").write_text(tls)
    certificate(made.root / "tmp/tls.key", made.root / "tmp/tls.crt")
    (made.root / "tmp/tls.key").chmod(0o644)
    command = made.chroot(*made.command, *trial.arguments, env=trial.environment)
    with subprocess.Popen(command, process_group=0) as running:
        try:
            give_up_at = time.monotonic() + 60
            while subprocess.run(made.chroot(*made.healthcheck), capture_output=True).returncode:
                assert running.poll() is None, "the program ended"
                assert time.monotonic() < give_up_at, "the program did not become healthy"
                time.sleep(0.5)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGTERM)
    assert running.returncode in (0, -signal.SIGTERM)  # uvicorn ends by the signal that it got
