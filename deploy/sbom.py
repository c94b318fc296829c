"""Writes what an environment is made of: packages, licences, hashes, and the models inside of them.

    python deploy/sbom.py --tool cyclonedx-py --into build/sbom.json

One CycloneDX document of the environment that runs this: the tool lists what is installed, with
licences; the locks add the SHA-256 of every file that a package may have come as; the model files
add the SHA-256 that the program itself checks at start. A package that is installed and in no lock
is told on standard error: nothing says where it came from.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from callcenter.media import vad
from engine.cascade import models

ROOT = Path(__file__).parents[1]
PROJECT = "personaplex-callcenter"
LOCKS = [ROOT / "deploy" / "demo.lock", ROOT / "deploy" / "images" / "build.lock"]
# Of packages whose metadata names none, by the licence files that they carry.
LICENCES = {"protobuf": "BSD-3-Clause", "wordllama": "MIT"}


def listed(tool: str, *arguments: str) -> dict[str, Any]:
    """What the tool says to `environment` or `requirements`.

    Raises:
        CalledProcessError: the tool failed; its own words are on standard error.
    """
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [tool, *arguments, "--output-reproducible", "--of", "JSON", "-o", file.name]
        subprocess.run(command, check=True)
        document: dict[str, Any] = json.loads(Path(file.name).read_text(encoding="utf-8"))
    return document


def normal(name: str) -> str:
    """A package's name as indices compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def model_files() -> dict[str, list[dict[str, Any]]]:
    """Model files by the package that carries them, as components."""
    found: dict[str, list[dict[str, Any]]] = {}
    files = [(f.distribution or PROJECT, f.path, f.sha256, f.purpose) for f in models.packaged()]
    heard_by = "Silero VAD (MIT), voice activity on calls"
    files.append((normal(vad.MODEL_PACKAGE), vad.MODEL_FILE, vad.MODEL_SHA256, heard_by))
    for name, path, sha256, purpose in files:
        component = {
            "type": "machine-learning-model",
            "name": Path(path).name,
            "description": purpose,
            "hashes": [{"alg": "SHA-256", "content": sha256}],
        }
        found.setdefault(name, []).append(component)
    return found


def document(tool: str, locks: list[Path]) -> tuple[dict[str, Any], list[str]]:
    """The whole document, and the names of packages that no lock knows.

    Args:
        tool: cyclonedx-py.
        locks: pins with hashes.
    """
    project = str(ROOT / "pyproject.toml")
    environment = listed(tool, "environment", sys.executable, "--pyproject", project)
    pinned = {
        (normal(each["name"]), each["version"]): each
        for lock in locks
        for each in listed(tool, "requirements", str(lock))["components"]
    }
    carried, strangers = model_files(), []
    for component in environment["components"]:
        name = normal(component["name"])
        source = pinned.get((name, component["version"]))
        if source is None:
            strangers.append(component["name"])
        else:
            references = component.get("externalReferences", [])
            component["externalReferences"] = references + source["externalReferences"]
        if "licenses" not in component and name in LICENCES:
            stated = {"id": LICENCES[name], "acknowledgement": "concluded"}
            component["licenses"] = [{"license": stated}]
        if name in carried:
            component["components"] = carried[name]
    environment["metadata"]["component"]["components"] = carried[PROJECT]
    return environment, strangers


def main() -> int:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", default="cyclonedx-py")
    parser.add_argument("--into", type=Path, required=True)
    options = parser.parse_args()
    try:
        written, strangers = document(options.tool, LOCKS)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{options.tool} did not list the environment: {error}\n")
        return 1
    options.into.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{options.into}: {len(written['components'])} packages\n")
    if strangers:
        sys.stderr.write(f"in no lock: {', '.join(sorted(strangers))}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
