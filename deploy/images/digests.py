"""Resolves the chart's images to digests, as values for Helm.

    python deploy/images/digests.py --into build/digests.yaml
    helm install cc helm/personaplex-callcenter -f values.yaml -f build/digests.yaml

A tag can be moved to another image; a digest is the image. Needs docker with buildx, and registries
that it reaches. Nothing is written unless every image has been resolved.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "helm" / "personaplex-callcenter"
OWN = ("gateway", "worker", "edge")
TIMEOUT_S = 60.0


class Unresolved(Exception):
    """An image has no digest here; the message says why."""


def digest(reference: str) -> str:
    """The digest that a registry has for a name and tag.

    Raises:
        Unresolved: docker is missing, or the registry does not answer or does not know it.
    """
    ask = ["docker", "buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}"]
    try:
        done = subprocess.run(
            [*ask, reference], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        raise Unresolved("docker is not installed") from None
    except subprocess.TimeoutExpired:
        raise Unresolved(f"{reference}: no answer within {TIMEOUT_S:.0f} s") from None
    found = done.stdout.strip()
    if done.returncode or not re.fullmatch(r"sha256:[0-9a-f]{64}", found):
        why = (done.stderr.strip() or found or "no digest").splitlines()[0]
        raise Unresolved(f"{reference}: {why}")
    return found


def resolved(repository: str, tag: str) -> dict[str, Any]:
    """Values with every image's repository, tag and digest.

    Args:
        repository: where the project's own images are, such as registry.example.com/voice; the
            chart's values when empty.
        tag: of the project's own images; the chart's version when empty.

    Raises:
        Unresolved: one image could not be resolved.
    """
    images = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["images"]
    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
    found = {}
    for name, image in images.items():
        where, what = image["repository"], image["tag"] or version
        if name in OWN:
            where, what = f"{repository}/{name}" if repository else where, tag or what
        found[name] = {"repository": where, "tag": what, "digest": digest(f"{where}:{what}")}
    return {"images": found}


def main() -> int:
    """Writes the file, or says which image could not be resolved."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--repository", default="")
    parser.add_argument("--tag", default="")
    options = parser.parse_args()
    try:
        values = resolved(options.repository, options.tag)
    except Unresolved as error:
        sys.stderr.write(f"not resolved, nothing written: {error}\n")
        return 1
    options.into.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    sys.stdout.write(f"{options.into}: {len(values['images'])} images by digest\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
