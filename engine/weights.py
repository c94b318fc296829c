"""Checkpoint folders: finding them, checking them, loading them.

    model.safetensors                              the language model, 475 tensors
    tokenizer-e351c8d8-checkpoint125.safetensors   Mimi, 318 tensors
    tokenizer_spm_32k_3.model                      the sentencepiece model of the text stream
    voices/ or voices.tgz                          published voices, NAME.pt
    callcenter_config.json                         optional: sizes other than the published ones

Loading is strict: a missing, an extra or a mis-shaped tensor is an error that names it. This
module knows no session and no prompt.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import sentencepiece
import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from engine.config import AGENT_CODEBOOKS, CheckpointConfig
from engine.memory import GIB, NoMemory
from engine.model.lm import LanguageModel
from engine.model.mimi import Mimi
from engine.voices import PUBLISHED_SUFFIX

LM_FILE = "model.safetensors"
MIMI_FILE = "tokenizer-e351c8d8-checkpoint125.safetensors"
TEXT_FILE = "tokenizer_spm_32k_3.model"
VOICES_FOLDER = "voices"
VOICES_ARCHIVE = "voices.tgz"
CONFIG_FILE = "callcenter_config.json"

COMMIT = re.compile(r"[0-9a-f]{40}")

ID_BYTES = 1024  # of each tensor


class CheckpointError(Exception):
    """A checkpoint cannot be used; the message names the file, the tensor and the remedy."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder whose files are there.

    Attributes:
        folder: where the files lie.
        config: the sizes.
        weights_id: tells one set of weights from another, on any host.
        voices_folder: where the published voices lie.
    """

    folder: Path
    config: CheckpointConfig
    weights_id: str
    voices_folder: Path

    def voices(self) -> dict[str, Path]:
        """The published voices: name -> file."""
        files = sorted(self.voices_folder.glob(f"*{PUBLISHED_SUFFIX}"))
        return {file.stem: file for file in files}


def download(repo_id: str, revision: str, token: str | None = None) -> Path:
    """Fetches a checkpoint from Hugging Face; an interrupted download goes on where it stopped.

    Args:
        repo_id: such as "nvidia/personaplex-7b-v1".
        revision: a full commit id, so that the weights cannot change under us.
        token: an access token, for a gated repository.

    Returns:
        The folder in the local cache.

    Raises:
        CheckpointError: the revision is no commit id.
    """
    if not COMMIT.fullmatch(revision):
        raise CheckpointError(
            f"revision {revision!r} of {repo_id} is not pinned: give the 40 digits of a commit"
        )
    files = [LM_FILE, MIMI_FILE, TEXT_FILE, VOICES_ARCHIVE, f"{VOICES_FOLDER}/*", CONFIG_FILE]
    folder = snapshot_download(repo_id, revision=revision, token=token, allow_patterns=files)
    return Path(folder)


def open_checkpoint(folder: Path) -> Checkpoint:
    """Checks that the files are there, unpacks the voices and reads the sizes.

    Raises:
        CheckpointError: a file is missing or the sizes are not understood.
    """
    for name in (LM_FILE, MIMI_FILE, TEXT_FILE):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} has no {name}: it is no complete checkpoint")
    config = _read_config(folder / CONFIG_FILE)
    return Checkpoint(folder, config, weights_id(folder / LM_FILE), unpack_voices(folder))


def _read_config(path: Path) -> CheckpointConfig:
    if not path.is_file():
        return CheckpointConfig()
    try:
        return CheckpointConfig.parse(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:  # not JSON, or not our sizes
        raise CheckpointError(f"{path}: {error}") from error


def weights_id(path: Path) -> str:
    """A fingerprint of a safetensors file that reads little of it.

    SHA-256 over its size, its header and the beginning of every tensor: fine-tunes of one model
    share names and shapes, and differ in their numbers.

    Raises:
        CheckpointError: it has no header.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(size.to_bytes(8, "little"))
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            header = file.read(min(length, size))
            begins = [tensor["data_offsets"][0] for name, tensor in json.loads(header).items()
                      if name != "__metadata__"]  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path} is damaged: {error}; fetch it again") from error
        digest.update(header)
        for begin in sorted(begins):
            file.seek(8 + length + begin)
            digest.update(file.read(ID_BYTES))
    return digest.hexdigest()[:16]


def unpack_voices(folder: Path) -> Path:
    """Unpacks voices.tgz beside itself, once; only plain files inside its folder.

    Into a folder that cannot be written to nothing is unpacked: the voices then lie in a folder of
    this process.

    Returns:
        Where the voices are.

    Raises:
        CheckpointError: the archive is damaged or reaches out of its folder.
    """
    archive, target = folder / VOICES_ARCHIVE, folder / VOICES_FOLDER
    if target.exists() or not archive.is_file():
        return target
    try:
        scratch = Path(tempfile.mkdtemp(dir=folder, prefix=".voices-"))
    except OSError:  # mounted read-only, or another's
        scratch = Path(tempfile.mkdtemp(prefix="voices-"))
        atexit.register(shutil.rmtree, scratch, ignore_errors=True)
        _unpack_all(archive, scratch)
        return scratch
    try:
        _unpack_all(archive, scratch)
        os.replace(scratch, target)
    except OSError:
        if not target.is_dir():
            raise
        # Another worker of this folder was first; its voices are the same.
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def _unpack_all(archive: Path, folder: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                _unpack(tar, member, folder)
    except tarfile.TarError as error:
        raise CheckpointError(f"{archive} cannot be unpacked: {error}") from error


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Writes one file of an archive into a folder, without the folders of its name.

    `TarFile.extractall(filter=...)` would do, but Debian 12's Python is older than it.
    """
    name = PurePosixPath(member.name)
    if member.isdir():
        return
    content = tar.extractfile(member) if member.isfile() else None
    if content is None or name.is_absolute() or ".." in name.parts:
        raise tarfile.TarError(f"{member.name} is no plain file inside the archive")
    with content, (folder / name.name).open("wb") as file:
        shutil.copyfileobj(content, file)


@dataclass(frozen=True, slots=True)
class Models:
    """What a checkpoint gives: the language model, the codec and the tokenizer."""

    lm: LanguageModel
    mimi: Mimi
    tokenizer: sentencepiece.SentencePieceProcessor
    weights_id: str


def check_room(checkpoint: Checkpoint, free: int) -> None:
    """Asks before anything is loaded whether a GPU has room for the weights.

    Args:
        checkpoint: what is to be loaded.
        free: bytes on the device.

    Raises:
        NoMemory: names both sizes.
    """
    with torch.device("meta"):
        lm = LanguageModel(checkpoint.config.lm, AGENT_CODEBOOKS)
        mimi = Mimi(checkpoint.config.mimi)
    needed = sum(2 * tensor.numel() for tensor in lm.state_dict().values())
    needed += sum(tensor.nbytes for tensor in mimi.state_dict().values())
    if needed > free:
        raise NoMemory(
            f"the weights take {needed / GIB:.1f} GiB and {free / GIB:.1f} GiB are free on the "
            "device: take a card with more memory, or end what else runs on this one"
        )


def load_models(checkpoint: Checkpoint, device: torch.device, reference_compat: bool) -> Models:
    """Loads a checkpoint: float32 on a CPU, bfloat16 elsewhere (Mimi float32 everywhere).

    Raises:
        CheckpointError: names what is wrong.
    """
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    return Models(
        lm=load_language_model(checkpoint, device, dtype),
        mimi=load_mimi(checkpoint, device, reference_compat),
        tokenizer=load_tokenizer(checkpoint),
        weights_id=checkpoint.weights_id,
    )


def load_language_model(
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
    agent_only: bool = True,
) -> LanguageModel:
    """Loads the language model.

    Args:
        checkpoint: where from.
        device: where to.
        dtype: float32 on a CPU, bfloat16 on a GPU.
        agent_only: leave out the depth steps that speak for the user: 1.2 GB less to read in
            every tick, and no output depends on them.

    Raises:
        CheckpointError: names the first missing, extra or mis-shaped tensor.
    """
    config = checkpoint.config.lm
    with torch.device("meta"):
        whole = LanguageModel(config)
        model = LanguageModel(config, AGENT_CODEBOOKS) if agent_only else whole
    load_tensors(checkpoint.folder / LM_FILE, whole, model, device, dtype)
    model.eval().requires_grad_(False).prepare()
    return model


def load_mimi(checkpoint: Checkpoint, device: torch.device, reference_compat: bool) -> Mimi:
    """Loads the codec, in float32.

    Raises:
        CheckpointError: names the first missing, extra or mis-shaped tensor.
    """
    config = replace(checkpoint.config.mimi, reference_compat=reference_compat)
    with torch.device("meta"):
        model = Mimi(config)
    load_tensors(checkpoint.folder / MIMI_FILE, model, model, device, torch.float32)
    model.eval().prepare(fused=device.type == "cuda")
    return model


def load_tensors(
    path: Path, whole: nn.Module, model: nn.Module, device: torch.device, dtype: torch.dtype
) -> None:
    """Fills `model` from a file that must hold exactly `whole`'s tensors.

    Args:
        path: a safetensors file.
        whole: gives the names and shapes that the file must have.
        model: a part of `whole`; a tensor with fewer rows gets the first ones.
        device: where to.
        dtype: what floating-point tensors become.

    Raises:
        CheckpointError: names the first missing, extra or mis-shaped tensor.
    """
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - not a mapping
            check_shapes(path, whole, shapes)
            tensors: dict[str, Tensor] = {}
            for name, wanted in model.state_dict().items():
                part = file.get_slice(name)[: wanted.shape[0]]
                tensors[name] = part.to(dtype) if part.is_floating_point() else part
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged: {error}; fetch it again") from error
    model.load_state_dict(tensors, strict=True, assign=True)


def check_shapes(path: Path, model: nn.Module, found: Mapping[str, tuple[int, ...]]) -> None:
    """Compares a file's tensors with the model's.

    Raises:
        CheckpointError: names the first missing, extra or mis-shaped tensor.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if missing := sorted(wanted.keys() - found.keys()):
        raise CheckpointError(f"{path} lacks {len(missing)} tensors, the first is {missing[0]}")
    if extra := sorted(found.keys() - wanted.keys()):
        raise CheckpointError(f"{path} has {len(extra)} tensors too many, the first is {extra[0]}")
    for name, shape in sorted(wanted.items()):
        if found[name] != shape:
            raise CheckpointError(
                f"{path}: {name} is {list(found[name])}, the model needs {list(shape)}"
            )


def load_tokenizer(checkpoint: Checkpoint) -> sentencepiece.SentencePieceProcessor:
    """Loads the text stream's tokenizer.

    Raises:
        CheckpointError: it is damaged or has more pieces than the model has text tokens.
    """
    path = checkpoint.folder / TEXT_FILE
    tokenizer = sentencepiece.SentencePieceProcessor()
    try:
        tokenizer.Load(str(path))
    except (RuntimeError, OSError) as error:
        raise CheckpointError(f"{path} is no sentencepiece model: {error}") from error
    pieces, card = tokenizer.GetPieceSize(), checkpoint.config.lm.text_card
    if pieces > card:
        raise CheckpointError(f"{path} has {pieces} pieces, the model only {card} text tokens")
    return tokenizer
