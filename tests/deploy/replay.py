"""Carries out a Dockerfile's steps without a container engine: in a bare Debian root, by chroot.

Knows what our Dockerfiles use: ARG, FROM ... AS, RUN, COPY (also --from), ENV, USER, HEALTHCHECK,
ENTRYPOINT and CMD, and refuses the rest. Needs root and debootstrap. What it cannot show: layers,
the real base image, and how an engine isolates the running container.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.tools import CACHE, ROOT, ToolUnavailable

BASE = CACHE / "debian-bookworm"
VARIABLE = re.compile(r"\$\{?(\w+)\}?")
# How this machine reaches its package registries, which a build machine has to know as well.
PASSED_ON = re.compile(r"PIP_(?!FIND_LINKS|CERT)|(http|https|no)_proxy$", re.IGNORECASE)
HOST_FILES = ("etc/pip.conf", "etc/apt/sources.list", "etc/resolv.conf")
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
# Under another name: installing ca-certificates in there would write its own over it.
OWN_CERTIFICATES = "etc/ssl/replay.pem"
HOST_FOLDERS = ("etc/apt/sources.list.d", "etc/apt/apt.conf.d", "usr/share/keyrings")


@dataclass
class Image:
    """What a stage leaves.

    Attributes:
        root: its file system.
        env: of the programs in it.
        user: who runs them, "uid:gid".
        healthcheck, command: as argument lists.
    """

    root: Path
    env: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    user: str = "0:0"
    healthcheck: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def chroot(self, *command: str, env: Mapping[str, str] | None = None) -> list[str]:
        """The command line that runs a command in here, as the image's user."""
        settings = [f"{name}={value}" for name, value in {**self.env, **(env or {})}.items()]
        return [
            "chroot",
            f"--userspec={self.user}",
            str(self.root),
            "env",
            "-i",
            *settings,
            *command,
        ]


def base_root() -> Path:
    """A bare Debian root, made once.

    Raises:
        ToolUnavailable: no debootstrap, not root, or no package server.
    """
    if not (BASE / "etc/debian_version").exists():
        if os.geteuid() or not shutil.which("debootstrap"):
            raise ToolUnavailable("replaying a Dockerfile needs root and debootstrap")
        shutil.rmtree(BASE, ignore_errors=True)
        scratch = BASE.with_suffix(".part")
        shutil.rmtree(scratch, ignore_errors=True)
        done = subprocess.run(
            ["debootstrap", "--variant=minbase", "bookworm", str(scratch)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise ToolUnavailable(f"debootstrap: {done.stdout.strip().splitlines()[-1:]}")
        scratch.rename(BASE)
    return BASE


def replay(dockerfile: Path, work: Path, leave_out: re.Pattern[str] | None = None) -> Image:
    """Carries out every step; returns the last stage.

    Args:
        dockerfile: its context is the repository's root.
        work: where the stages' roots are made.
        leave_out: packages whose blocks are taken out of the lock files (gigabytes of CUDA).

    Raises:
        subprocess.CalledProcessError: a step failed; its output has been printed.
    """
    work.mkdir(parents=True, exist_ok=True)
    stages: dict[str, Image] = {}
    image: Image | None = None
    for instruction, rest in _instructions(dockerfile.read_text(encoding="utf-8")):
        if instruction == "FROM":
            _, _, name = rest.partition(" AS ")
            image = stages[name or "last"] = _fresh_stage(work / (name or "last"))
        elif instruction != "ARG":
            assert image is not None, f"{instruction} before FROM"
            _step(image, instruction, rest, stages, leave_out)
    return stages["last"]


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", "", lines).splitlines():
        if line.strip():
            instruction, _, rest = line.strip().partition(" ")
            yield instruction, rest.strip()


def _fresh_stage(root: Path) -> Image:
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", str(base_root()), str(root)], check=True)
    for name in HOST_FILES:
        if Path("/", name).exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path("/", name), root / name)
    if Path("/", CERTIFICATES).exists():
        (root / "etc/ssl").mkdir(exist_ok=True)
        shutil.copy(Path("/", CERTIFICATES), root / OWN_CERTIFICATES)
    for name in HOST_FOLDERS:
        if Path("/", name).exists():
            shutil.copytree(Path("/", name), root / name, dirs_exist_ok=True)
    return Image(root)


def _step(
    image: Image,
    instruction: str,
    rest: str,
    stages: Mapping[str, Image],
    leave_out: re.Pattern[str] | None,
) -> None:
    if instruction == "RUN":
        _run(image, rest)
    elif instruction == "COPY":
        _copy(image, rest.split(), stages, leave_out)
    elif instruction == "ENV":
        for name, value in (pair.split("=", 1) for pair in rest.split()):
            image.env[name] = VARIABLE.sub(lambda match: image.env.get(match[1], ""), value)
    elif instruction == "USER":
        image.user = rest
    elif instruction == "HEALTHCHECK":
        image.healthcheck = json.loads(rest[rest.index("CMD ") + 4 :])
    elif instruction == "ENTRYPOINT":
        image.command = json.loads(rest)
    elif instruction == "CMD":
        image.command += json.loads(rest)
    elif instruction != "EXPOSE":
        raise NotImplementedError(f"{instruction} is not replayed")


def _run(image: Image, script: str) -> None:
    passed = {name: value for name, value in os.environ.items() if PASSED_ON.match(name)}
    if (image.root / OWN_CERTIFICATES).exists():
        passed |= {"PIP_CERT": f"/{OWN_CERTIFICATES}", "SSL_CERT_FILE": f"/{OWN_CERTIFICATES}"}
    passed["DEBIAN_FRONTEND"] = "noninteractive"
    command = image.chroot("/bin/sh", "-ec", script, env=passed)
    subprocess.run(command, check=True)


def _copy(
    image: Image, words: list[str], stages: Mapping[str, Image], leave_out: re.Pattern[str] | None
) -> None:
    source_root = ROOT
    if words[0].startswith("--from="):
        source_root = stages[words.pop(0).removeprefix("--from=")].root
    *sources, target = words
    into_folder = target.endswith("/")
    for source in sources:
        there = source_root / source.lstrip("/")
        here = image.root / target.lstrip("/")
        here = here / there.name if into_folder else here
        here.parent.mkdir(parents=True, exist_ok=True)
        if there.is_dir():
            shutil.copytree(there, here, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy(there, here)
        if leave_out and here.suffix == ".lock":
            here.write_text(_without(here.read_text(), leave_out))


def _without(lock: str, leave_out: re.Pattern[str]) -> str:
    """A lock file without some packages: each is a block that begins at the line's start."""
    blocks = re.split(r"(?m)^(?=\S)", lock)
    return "".join(block for block in blocks if not leave_out.match(block))
