"""Fetches the model, as a step of its own: licence, download, checksums.

The download goes on where it was interrupted. When it is complete, every file is compared with the
checksum that the hub gives for that commit, and the sums are kept beside the files, so that a copy
of the folder can be proved later without the hub. It loads no weights and knows no engine.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from callcenter.errors import ConfigurationError

LICENCE_NOTICE = """\
{repository} is not part of this project. It is published by its authors under a licence of its own
(PersonaPlex-7B: the NVIDIA Open Model License), which you accept by downloading it. Read it at
https://huggingface.co/{repository} and accept it there with the account of your HF_TOKEN.
"""
SUMS_FILE = "SHA256SUMS"
CHUNK_BYTES = 1 << 22
COMMIT = re.compile(r"[0-9a-f]{40}")

Download = Callable[[str, str, Path], object]  # repository, revision, folder
Sums = Callable[[str, str], Mapping[str, str]]  # repository, revision -> SHA-256 by file


def fetch(repository: str, revision: str, into: Path, download: Download, sums: Sums) -> list[str]:
    """Downloads a pinned model and proves every file.

    Args:
        repository: such as "nvidia/personaplex-7b-v1".
        revision: a full commit id.
        into: the folder; files that are there and complete are not fetched again.
        download: fetches all files into a folder.
        sums: the hub's checksums.

    Returns:
        The names of the files that were proved.

    Raises:
        ConfigurationError: the revision is no commit id, or a file is not what the hub has.
    """
    if not COMMIT.fullmatch(revision):
        raise ConfigurationError(
            f"--revision {revision!r} is not pinned: give the 40 digits of a commit of {repository}"
        )
    into.mkdir(parents=True, exist_ok=True)
    expected = sums(repository, revision)
    download(repository, revision, into)
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(expected.items()))
    (into / SUMS_FILE).write_text(lines, encoding="utf-8")
    return verify(into)


def verify(folder: Path) -> list[str]:
    """Proves a folder by the sums that lie in it.

    Returns:
        The names of the files.

    Raises:
        ConfigurationError: there are no sums, or a file is missing or damaged; names it.
    """
    path = folder / SUMS_FILE
    if not path.is_file():
        raise ConfigurationError(f"{folder} has no {SUMS_FILE}: it was not made by this command")
    names = []
    for line in path.read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ", 1)
        file = folder / name
        if not file.is_file():
            raise ConfigurationError(f"{file} is missing: fetch the model again")
        if sha256(file) != digest:
            raise ConfigurationError(f"{file} is damaged: delete it and fetch the model again")
        names.append(name)
    return names


def sha256(path: Path) -> str:
    """A file's SHA-256, in hex; reads it in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def hub_download(token: str | None) -> Download:
    """Downloads from Hugging Face; resumes."""
    from huggingface_hub import snapshot_download

    def download(repository: str, revision: str, into: Path) -> object:
        return snapshot_download(repository, revision=revision, local_dir=into, token=token)

    return download


def hub_sums(token: str | None) -> Sums:
    """Checksums from Hugging Face: of the large files, which are the ones that tear."""
    from huggingface_hub import HfApi

    def sums(repository: str, revision: str) -> Mapping[str, str]:
        info = HfApi(token=token).model_info(repository, revision=revision, files_metadata=True)
        files = info.siblings or []
        return {file.rfilename: file.lfs.sha256 for file in files if file.lfs is not None}

    return sums


def run(repository: str, revision: str, into: Path, token: str | None) -> list[str]:
    """The `model` command, once the licence has been accepted: fetches, proves, unpacks.

    The workers mount the folder read-only, so whatever has to be written into it is written now.

    Raises:
        ConfigurationError: the model cannot be had, or is damaged; says which file.
    """
    from engine.weights import CheckpointError, unpack_voices

    try:
        names = fetch(repository, revision, into, hub_download(token), hub_sums(token))
        unpack_voices(into)
    except (OSError, CheckpointError) as error:  # the hub's and the disk's refusals are OSErrors
        raise ConfigurationError(f"{repository} cannot be fetched: {error}") from None
    return names
