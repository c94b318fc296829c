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


def build(settings: WorkerSettings, prompts: int = 0) -> Engine:
    """Builds the engine; for the model this takes minutes.

    Args:
        settings: of the worker.
        prompts: how many prompts are published; it keeps those of the personas' files, or these.

    Raises:
        ConfigurationError: the engine's package or its checkpoint is missing or unusable.
    """
    try:
        return _BUILDERS[settings.engine](settings, prompts)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"ENGINE={settings.engine} needs the package {error.name}, which is not installed: "
            f"pip install 'personaplex-callcenter[{_EXTRAS[settings.engine]}]'"
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


def _rehearsal(settings: WorkerSettings, _: int) -> Engine:
    from engine.rehearsal import RehearsalEngine

    return RehearsalEngine(slots=settings.worker_slots)


def _cascade(settings: WorkerSettings, _: int) -> Engine:
    from callcenter.worker.cascade import build

    return build(settings, personas(settings))


def _personaplex(settings: WorkerSettings, prompts: int) -> Engine:
    from callcenter.worker.duplex import build

    return build(settings, voices(settings), max(prompts, len(personas(settings))))


def voices(settings: WorkerSettings) -> dict[str, Path]:
    """Voice clips by name: a folder of clips if one is set, else those of the personas."""
    if settings.voices_dir is not None:
        return {clip.stem: clip for clip in sorted(settings.voices_dir.iterdir()) if clip.is_file()}
    return {name: voice.clip for name, voice in _library(settings).voices().items()}


_BUILDERS: dict[EngineKind, Callable[[WorkerSettings, int], Engine]] = {
    "rehearsal": _rehearsal,
    "cascade": _cascade,
    "personaplex": _personaplex,
}
_EXTRAS: dict[EngineKind, str] = {
    "rehearsal": "demo",
    "cascade": "cascade",
    "personaplex": "worker",
}
