"""Makes the engine that the settings ask for.

Each kind is imported only when it is asked for: a worker with the rehearsal engine needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from callcenter.errors import ConfigurationError
from callcenter.settings import EngineKind, WorkerSettings
from engine.interface import Engine
from personas import library
from personas.errors import PersonaError
from personas.schema import Persona


def build(settings: WorkerSettings) -> Engine:
    """Builds the engine; for the model this takes minutes.

    Raises:
        ConfigurationError: the engine's package or its checkpoint is missing or unusable.
    """
    try:
        return _BUILDERS[settings.engine](settings)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"ENGINE={settings.engine} needs the package {error.name}, which is not installed"
        ) from None


def personas(settings: WorkerSettings) -> list[Persona]:
    """The personas that this worker's calls will ask for, as far as it knows them.

    Raises:
        ConfigurationError: a persona or voice file is wrong; names it.
    """
    found = _library(settings)
    return [found[name] for name in found]


def _library(settings: WorkerSettings) -> library.Library:
    try:
        return library.load(settings.personas_dir or library.SHIPPED)
    except PersonaError as error:
        raise ConfigurationError(str(error)) from None


def _rehearsal(settings: WorkerSettings) -> Engine:
    from engine.rehearsal import RehearsalEngine

    return RehearsalEngine(slots=settings.worker_slots)


def _cascade(settings: WorkerSettings) -> Engine:
    from engine.cascade.engine import CascadeEngine

    cascade: Engine = CascadeEngine(slots=settings.worker_slots)
    return cascade


def _personaplex(settings: WorkerSettings) -> Engine:
    from engine.config import EngineLimits
    from engine.engine import PersonaPlexEngine
    from engine.weights import CheckpointError, open_checkpoint

    prompts = max(EngineLimits().cached_prompts, len(personas(settings)))
    limits = EngineLimits(slots=settings.worker_slots, cached_prompts=prompts)
    try:
        checkpoint = open_checkpoint(_checkpoint_folder(settings))
        duplex: Engine = PersonaPlexEngine.load(
            checkpoint, limits, _voices(settings), settings.device
        )
    except CheckpointError as error:
        raise ConfigurationError(f"CHECKPOINT={settings.checkpoint}: {error}") from None
    return duplex


def _checkpoint_folder(settings: WorkerSettings) -> Path:
    """The local folder; a repo id is downloaded first."""
    from engine.weights import download

    if not settings.checkpoint:
        raise ConfigurationError("ENGINE=personaplex needs CHECKPOINT: a folder or a repo id")
    folder = Path(settings.checkpoint)
    if folder.is_dir():
        return folder
    if settings.checkpoint.count("/") != 1 or not settings.checkpoint_revision:
        raise ConfigurationError(
            f"CHECKPOINT={settings.checkpoint} is no folder; "
            "to download a repo, give CHECKPOINT=owner/name and CHECKPOINT_REVISION"
        )
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    return Path(download(settings.checkpoint, settings.checkpoint_revision, token))


def _voices(settings: WorkerSettings) -> dict[str, Path]:
    """Voice clips by name: a folder of clips if one is set, else those of the personas."""
    if settings.voices_dir is not None:
        return {clip.stem: clip for clip in sorted(settings.voices_dir.iterdir()) if clip.is_file()}
    return {name: voice.clip for name, voice in _library(settings).voices().items()}


_BUILDERS: dict[EngineKind, Callable[[WorkerSettings], Engine]] = {
    "rehearsal": _rehearsal,
    "cascade": _cascade,
    "personaplex": _personaplex,
}
