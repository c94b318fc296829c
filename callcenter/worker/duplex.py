"""Builds PersonaPlex, the duplex engine, from the settings. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog

from callcenter.errors import ConfigurationError
from callcenter.settings import WorkerSettings
from engine.config import EngineLimits, Execution
from engine.engine import PersonaPlexEngine
from engine.memory import NoMemory
from engine.weights import CheckpointError, download, open_checkpoint

log = structlog.get_logger(__name__)


def build(settings: WorkerSettings, voices: Mapping[str, Path], prompts: int) -> PersonaPlexEngine:
    """Loads the checkpoint and records the step; takes minutes.

    Args:
        settings: of the worker.
        voices: clips by name.
        prompts: how many prompts its calls will ask for, as far as that is known.

    Raises:
        ConfigurationError: the checkpoint is missing or unusable, or the device is too small.
    """
    try:
        engine = PersonaPlexEngine.load(
            open_checkpoint(_checkpoint_folder(settings)),
            limits(settings, prompts),
            voices,
            settings.device,
            execution(settings),
        )
    except CheckpointError as error:
        raise ConfigurationError(f"CHECKPOINT={settings.checkpoint}: {error}") from None
    except NoMemory as error:
        raise ConfigurationError(
            f"DEVICE={settings.device}: {error}; lower WORKER_SLOTS, or set KV_DTYPE=fp8"
        ) from None
    for reason in engine.fallbacks:
        log.warning("engine_fallback", engine=engine.kind, why=reason)
    for name, why in engine.rejected_voices.items():
        log.warning("voice_rejected", voice=name, why=why)
    if engine.memory is not None:
        log.info("engine_memory", engine=engine.kind, plan=str(engine.memory))
    return engine


def limits(settings: WorkerSettings, prompts: int) -> EngineLimits:
    """What the engine may hold."""
    return EngineLimits(
        slots=settings.worker_slots,
        pages=settings.kv_pages,
        min_window_positions=settings.min_window_positions,
        prompt_positions=settings.prompt_positions,
        cached_prompts=max(settings.cached_prompts, prompts),
    )


def execution(settings: WorkerSettings) -> Execution:
    """How the engine runs on a GPU."""
    return Execution(
        kernels=settings.gpu_kernels,
        graphs=settings.gpu_graphs,
        fp8_kv=settings.kv_dtype == "fp8",
        fp8_weights=settings.weights_dtype == "fp8",
        tf32=settings.gpu_tf32,
        reserve_gib=settings.gpu_reserve_gib,
    )


def _checkpoint_folder(settings: WorkerSettings) -> Path:
    """The local folder; a repo id is downloaded first."""
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
