"""Makes the engine that the settings ask for.

Each kind is imported only when it is asked for: a worker with the rehearsal engine needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from callcenter import metrics
from callcenter.errors import ConfigurationError
from callcenter.settings import EngineKind, WorkerSettings
from engine.interface import Engine
from personas import library
from personas.errors import PersonaError
from personas.schema import Persona

if TYPE_CHECKING:
    from engine.engine import PersonaPlexEngine

log = structlog.get_logger(__name__)


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
    from engine.config import EngineLimits, Execution
    from engine.engine import PersonaPlexEngine
    from engine.memory import NoMemory
    from engine.weights import CheckpointError, open_checkpoint

    prompts = max(EngineLimits().cached_prompts, len(personas(settings)))
    limits = EngineLimits(slots=settings.worker_slots, cached_prompts=prompts)
    if settings.weights_fp8 and not settings.engine_kernels:
        raise ConfigurationError("WEIGHTS_FP8=true needs ENGINE_KERNELS=true")
    execution = Execution(
        kernels=settings.engine_kernels,
        fp8_kv=settings.kv_fp8,
        fp8_weights=settings.weights_fp8,
    )
    try:
        checkpoint = open_checkpoint(_checkpoint_folder(settings))
        duplex = PersonaPlexEngine.load(
            checkpoint, limits, _voices(settings), settings.device, execution
        )
    except CheckpointError as error:
        raise ConfigurationError(f"CHECKPOINT={settings.checkpoint}: {error}") from None
    except NoMemory as error:
        raise ConfigurationError(f"WORKER_SLOTS={settings.worker_slots}: {error}") from None
    _tell(duplex)
    engine: Engine = duplex
    return engine


def _tell(engine: PersonaPlexEngine) -> None:
    """Logs and counts how the engine came up, and shows its pages from now on."""
    log.info("engine_started", memory=str(engine.memory), slots=engine.slots)
    for reason in engine.fallbacks:
        log.warning("engine_fallback", reason=reason)
        metrics.ENGINE_FALLBACKS.labels(engine.kind).inc()
    pages = metrics.ENGINE_KV_PAGES
    pages.labels(engine.kind, "total").set_function(lambda: engine.stats().pages)
    pages.labels(engine.kind, "free").set_function(lambda: engine.stats().pages_free)
    pages.labels(engine.kind, "shortened").set_function(lambda: engine.stats().pages_shortened)


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
