"""Checkpoint folders, good and bad."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import weights
from engine.config import AGENT_CODEBOOKS
from engine.memory import NoMemory
from engine.weights import (
    CONFIG_FILE,
    LM_FILE,
    MIMI_FILE,
    TEXT_FILE,
    VOICES_ARCHIVE,
    CheckpointError,
    check_room,
    download,
    load_language_model,
    load_mimi,
    load_models,
    load_tokenizer,
    open_checkpoint,
)
from tests.unit.engine import engine_cases

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint, to be spoilt."""
    engine_cases.models()
    target = tmp_path / "checkpoint"
    shutil.copytree(engine_cases.folder() / f"checkpoint-{engine_cases.WINDOW}", target)
    return target


def rewrite(path: Path, **changes: torch.Tensor | None) -> None:
    """Replaces or removes tensors; a double underscore in a name stands for a dot."""
    tensors = load_file(path)
    for name, value in changes.items():
        key = name.replace("__", ".")
        if value is None:
            del tensors[key]
        else:
            tensors[key] = value
    save_file(tensors, path)


def test_sizes_come_from_the_config_file(folder: Path) -> None:
    """The tiny checkpoint says what it is; without the file it would be the 7B."""
    assert open_checkpoint(folder).config == engine_cases.tiny_config()
    (folder / CONFIG_FILE).unlink()
    assert open_checkpoint(folder).config.lm.dim == 4096


def test_language_model_is_what_the_file_says(folder: Path) -> None:
    """Whole: every tensor as saved. For the agent alone: the first rows of each."""
    saved = load_file(folder / LM_FILE)
    checkpoint = open_checkpoint(folder)
    whole = load_language_model(checkpoint, CPU, torch.float32, agent_only=False).state_dict()
    assert whole.keys() == saved.keys()
    assert all(torch.equal(whole[name], saved[name]) for name in saved)
    agent = load_language_model(checkpoint, CPU, torch.bfloat16)
    assert len(agent.depformer_in) == AGENT_CODEBOOKS
    for name, tensor in agent.state_dict().items():
        assert torch.equal(tensor, saved[name][: len(tensor)].bfloat16()), name
    assert not any(parameter.requires_grad for parameter in agent.parameters())


def test_codec_is_what_the_file_says(folder: Path) -> None:
    """Mimi stays in float32 and takes its compatibility from the engine."""
    saved = load_file(folder / MIMI_FILE)
    model = load_mimi(open_checkpoint(folder), CPU, reference_compat=True)
    assert model.config.reference_compat
    state = model.state_dict()
    assert all(torch.equal(state[name], saved[name]) for name in saved)


@pytest.mark.parametrize("file", [LM_FILE, MIMI_FILE])
@pytest.mark.parametrize("kind", ["missing", "extra", "misshapen"])
def test_wrong_tensor_is_named(folder: Path, file: str, kind: str) -> None:
    """Missing, extra and mis-shaped tensors, in either file, are errors that say which."""
    name = {LM_FILE: "out_norm.alpha", MIMI_FILE: "encoder.model.0.conv.conv.bias"}[file]
    key = name.replace(".", "__")
    change, words = {
        "missing": ({key: None}, rf"lacks 1 tensors, the first is {name}"),
        "extra": ({"ghost__weight": torch.ones(1)}, r"1 tensors too many, the first is ghost"),
        "misshapen": ({key: torch.ones(5)}, rf"{name} is \[5\], the model needs"),
    }[kind]
    rewrite(folder / file, **change)
    with pytest.raises(CheckpointError, match=rf"{file}.*{words}"):
        load_models(open_checkpoint(folder), CPU, reference_compat=False)


def test_extra_tensor_in_the_users_half_is_still_checked(folder: Path) -> None:
    """What is not loaded must be there and in shape all the same."""
    rewrite(folder / LM_FILE, linears__15__weight=None)
    with pytest.raises(CheckpointError, match=r"the first is linears\.15\.weight"):
        load_language_model(open_checkpoint(folder), CPU, torch.float32)


def test_damaged_file_is_an_error_that_says_so(folder: Path) -> None:
    """A download that was cut off."""
    content = (folder / LM_FILE).read_bytes()
    (folder / LM_FILE).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        load_language_model(open_checkpoint(folder), CPU, torch.float32)


@pytest.mark.parametrize("name", [LM_FILE, MIMI_FILE, TEXT_FILE])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    """An incomplete folder is noticed before anything is loaded."""
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"has no {name}"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "Expecting"),
        ("[]", "must be an object of objects"),
        (json.dumps({"llm": {}}), "unknown section 'llm'"),
        (json.dumps({"lm": {"dims": 3}}), r"unknown size lm\.dims"),
        (json.dumps({"mimi": {"heads": "2"}}), r"mimi\.heads is '2'; it must be int"),
        (json.dumps({"lm": {"dim": 65}}), "dim must divide"),
    ],
)
def test_config_file_with_a_slip_is_refused(folder: Path, content: str, words: str) -> None:
    """The message names the file and the entry."""
    (folder / CONFIG_FILE).write_text(content)
    with pytest.raises(CheckpointError, match=rf"{CONFIG_FILE}: .*{words}"):
        open_checkpoint(folder)


def test_tokenizer_must_fit_and_be_whole(folder: Path) -> None:
    """More pieces than text tokens, or no model at all."""
    sizes = json.loads((folder / CONFIG_FILE).read_text())
    sizes["lm"]["text_card"] = 100
    (folder / CONFIG_FILE).write_text(json.dumps(sizes))
    with pytest.raises(CheckpointError, match="pieces, the model only 100 text tokens"):
        load_tokenizer(open_checkpoint(folder))
    (folder / TEXT_FILE).write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="is no sentencepiece model"):
        load_tokenizer(open_checkpoint(folder))


def archive(folder: Path, files: dict[str, str]) -> None:
    """Replaces voices/ by a voices.tgz with the given members."""
    shutil.rmtree(folder / "voices")
    with tarfile.open(folder / VOICES_ARCHIVE, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content.encode()))


def test_voices_are_unpacked_once(folder: Path) -> None:
    """voices.tgz becomes voices/NAME.pt; a second start leaves them alone."""
    archive(folder, {"voices/NATF0.pt": "a", "voices/NATM1.pt": "b"})
    assert open_checkpoint(folder).voices().keys() == {"NATF0", "NATM1"}
    (folder / "voices" / "NATF0.pt").write_text("changed")
    assert open_checkpoint(folder).voices()["NATF0"].read_text() == "changed"
    assert not list(folder.glob(".voices-*"))


def test_voices_of_a_folder_that_cannot_be_written_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mounted read-only, as in a pod: they are unpacked elsewhere, and nothing is left there."""
    archive(folder, {"voices/NATF0.pt": "a"})
    made = tempfile.mkdtemp

    def read_only(**wanted: object) -> str:
        if wanted.get("dir") == folder:
            raise PermissionError(13, "Permission denied")
        return made(**wanted)

    monkeypatch.setattr(tempfile, "mkdtemp", read_only)
    voices = open_checkpoint(folder).voices()
    assert voices["NATF0"].read_text() == "a"
    assert not (folder / "voices").exists()


def test_two_workers_unpack_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second takes what the first one left."""
    archive(folder, {"voices/NATF0.pt": "mine"})
    replace_it = os.replace

    def second(source: Path, target: Path) -> None:
        target.mkdir()
        (target / "NATF0.pt").write_text("theirs")
        replace_it(source, target)

    monkeypatch.setattr(os, "replace", second)
    assert open_checkpoint(folder).voices()["NATF0"].read_text() == "theirs"
    assert not list(folder.glob(".voices-*"))


@pytest.mark.parametrize("name", ["../escaped", "voices/../../escaped", "/escaped.pt"])
def test_archive_that_reaches_out_is_refused(folder: Path, name: str) -> None:
    """A member outside the folder stops the unpacking and leaves nothing."""
    archive(folder, {"voices/NATF0.pt": "a", name: "x"})
    with pytest.raises(CheckpointError, match=r"voices\.tgz cannot be unpacked: .*escaped"):
        open_checkpoint(folder)
    assert not (folder.parent / "escaped").exists()
    assert not (folder / "voices").exists()
    assert not list(folder.glob(".voices-*"))


def test_archive_with_a_link_is_refused(folder: Path) -> None:
    """A link could name any file of this machine."""
    archive(folder, {})
    with tarfile.open(folder / VOICES_ARCHIVE, "w:gz") as tar:
        link = tarfile.TarInfo("voices/NATF0.pt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(CheckpointError, match=r"NATF0\.pt is no plain file"):
        open_checkpoint(folder)


def test_weights_id_tells_checkpoints_apart(folder: Path) -> None:
    """The same weights have the same id, on any host; changed ones get another."""
    before = open_checkpoint(folder).weights_id
    assert open_checkpoint(folder).weights_id == before
    copy = folder.parent / "elsewhere"
    shutil.copytree(folder, copy)
    assert open_checkpoint(copy).weights_id == before
    rewrite(folder / LM_FILE, out_norm__alpha=torch.zeros(1, 1, 64))
    assert open_checkpoint(folder).weights_id != before
    (folder / LM_FILE).write_bytes(b"nonsense that is no safetensors file")
    with pytest.raises(CheckpointError, match="is damaged"):
        open_checkpoint(folder)


def test_room_is_asked_for_before_anything_is_loaded(folder: Path) -> None:
    """A GPU that is too small is refused in numbers."""
    checkpoint = open_checkpoint(folder)
    check_room(checkpoint, 1 << 30)
    with pytest.raises(NoMemory, match=r"the weights take 0\.0 GiB and 0\.0 GiB are free"):
        check_room(checkpoint, 1 << 10)


def test_download_asks_for_the_pinned_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """One commit, our files only, with the token."""
    asked: dict[str, object] = {}

    def snapshot(repo_id: str, **options: object) -> str:
        asked.update(options, repo_id=repo_id)
        return "/cache/model"

    monkeypatch.setattr(weights, "snapshot_download", snapshot)
    assert download("owner/model", "0123456789abcdef" * 2 + "01234567", "secret") == Path(
        "/cache/model"
    )
    assert asked["repo_id"] == "owner/model"
    assert asked["token"] == "secret"
    patterns = asked["allow_patterns"]
    assert isinstance(patterns, list)
    assert {LM_FILE, MIMI_FILE, TEXT_FILE, VOICES_ARCHIVE} <= set(patterns)


@pytest.mark.parametrize("revision", ["main", "v1.0", "", "0123456", "g" * 40])
def test_download_of_a_moving_revision_is_refused(revision: str) -> None:
    """A branch or a tag can change under us."""
    with pytest.raises(CheckpointError, match="is not pinned: give the 40 digits"):
        download("owner/model", revision)
