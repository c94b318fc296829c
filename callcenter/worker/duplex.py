"""Builds PersonaPlex, the duplex engine, from the settings. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog

from callcenter import metrics
from callcenter.errors import ConfigurationError
from callcenter.settings import WorkerSettings
from engine.config import EngineLimits, Execution
from engine.device import Unsuited
from engine.engine import PersonaPlexEngine, Shortened
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
        ConfigurationError: the checkpoint is missing or unusable, or the device is too small or
            cannot run the engine as was asked for.
    """
    if settings.weights_format in ("fp8", "int8") and not settings.engine_kernels:
        raise ConfigurationError(
            f"WEIGHTS_FORMAT={settings.weights_format} needs ENGINE_KERNELS=true"
        )
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
            f"WORKER_SLOTS={settings.worker_slots}, KV_PAGES={settings.kv_pages}, "
            f"KV_FORMAT={settings.kv_format}, WEIGHTS_FORMAT={settings.weights_format}: {error}"
        ) from None
    except Unsuited as error:
        raise ConfigurationError(f"DEVICE={settings.device}: {error}") from None
    if engine.slots < settings.worker_slots:
        log.warning("fewer_slots", wished=settings.worker_slots, slots=engine.slots)
    tell(engine)
    return engine


def limits(settings: WorkerSettings, prompts: int) -> EngineLimits:
    """What the engine may hold."""
    return EngineLimits(
        slots=settings.worker_slots,
        pages=settings.kv_pages,
        min_window_positions=settings.min_window_positions,
        prompt_positions=settings.prompt_positions,
        cached_prompts=max(settings.cached_prompts, prompts),
        phases=min(settings.phase_groups, settings.worker_slots),
    )


def execution(settings: WorkerSettings) -> Execution:
    """How the engine runs on a GPU."""
    return Execution(
        kernels=settings.engine_kernels,
        graphs=settings.engine_graphs,
        kv=settings.kv_format,
        weights=settings.weights_format,
        tf32=settings.engine_tf32,
        reserve_gib=settings.gpu_reserve_gib,
    )


def tell(engine: PersonaPlexEngine) -> None:
    """Logs and counts how the engine came up, and shows its pages from now on."""
    log.info("engine_started", memory=str(engine.memory or "of the host"), slots=engine.slots)
    if (plan := engine.memory) is not None:
        kinds = {"weights": plan.weights, "sessions": plan.sessions, "pages": plan.pages}
        for kind, size in {**kinds, "reserve": plan.reserve}.items():
            metrics.ENGINE_MEMORY_BYTES.labels(engine.kind, kind).set(size)
    for reason in engine.fallbacks:
        log.warning("engine_fallback", reason=reason)
        metrics.ENGINE_FALLBACKS.labels(engine.kind).inc()
    for name, reason in engine.rejected_voices.items():
        log.warning("voice_rejected", voice=name, reason=reason)
    engine.on_shortened = tell_shortened
    pages = metrics.ENGINE_KV_PAGES
    pages.labels(engine.kind, "total").set_function(lambda: engine.stats().pages)
    pages.labels(engine.kind, "free").set_function(lambda: engine.stats().pages_free)
    pages.labels(engine.kind, "shortened").set_function(lambda: engine.stats().pages_shortened)


def tell_shortened(loss: Shortened) -> None:
    """Logs that a call lost memory: at its 1st, 2nd, 4th ... page, so few lines a call."""
    before = loss.pages_in_all - loss.pages
    if loss.pages_in_all.bit_length() > before.bit_length():
        log.warning("window_shortened", call_id=loss.session_id, pages=loss.pages_in_all)


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
