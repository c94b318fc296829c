"""Fetching the model, with a hub made of a dictionary."""

import hashlib
from pathlib import Path

import pytest

from callcenter.errors import ConfigurationError
from callcenter.worker.model import SUMS_FILE, fetch, verify

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"model.safetensors": b"weights", "voices/nora.pt": b"voice"}


def hub(files: dict[str, bytes] = FILES):
    """A download that leaves alone what is there, as the hub's client does."""

    def download(repository: str, revision: str, into: Path) -> None:
        assert (repository, revision) == ("someone/model", COMMIT)
        for name, content in files.items():
            path = into / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_bytes(content)

    return download


def sums(repository: str, revision: str) -> dict[str, str]:
    """What the hub says."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


def test_what_was_fetched_is_proved_and_can_be_proved_again(tmp_path: Path) -> None:
    """Without the hub, by the sums in the folder."""
    assert fetch("someone/model", COMMIT, tmp_path / "new", hub(), sums) == sorted(FILES)
    assert verify(tmp_path / "new") == sorted(FILES)


def test_a_download_that_was_cut_off_is_told_and_goes_on(tmp_path: Path) -> None:
    """A missing file is named; the next run fetches just that."""
    part = {"model.safetensors": FILES["model.safetensors"]}
    with pytest.raises(ConfigurationError, match=r"nora\.pt is missing"):
        fetch("someone/model", COMMIT, tmp_path, hub(part), sums)
    assert fetch("someone/model", COMMIT, tmp_path, hub(), sums) == sorted(FILES)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """One byte is enough."""
    fetch("someone/model", COMMIT, tmp_path, hub(), sums)
    (tmp_path / "model.safetensors").write_bytes(b"weightz")
    with pytest.raises(ConfigurationError, match=r"model\.safetensors is damaged"):
        verify(tmp_path)


@pytest.mark.parametrize("revision", ["main", "", COMMIT[:12]])
def test_a_revision_that_moves_is_refused(tmp_path: Path, revision: str) -> None:
    """Nothing is downloaded."""
    with pytest.raises(ConfigurationError, match="not pinned"):
        fetch("someone/model", revision, tmp_path, hub(), sums)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_sums_cannot_be_proved(tmp_path: Path) -> None:
    """The message says what made it so."""
    with pytest.raises(ConfigurationError, match=SUMS_FILE):
        verify(tmp_path)
