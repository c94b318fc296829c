"""What is published when a worker starts: so that it is as ready as those that were there before.

Without Redis, or before anything is published, there is nothing; the personas' own files count
then. It knows no session.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import structlog

from callcenter.broker.connection import connect
from callcenter.errors import BrokerUnavailable
from callcenter.link.refusals import PromptRefused
from callcenter.published.board import Board, Clips
from callcenter.published.prompts import Prompt, prompts
from callcenter.published.signing import key_ring
from callcenter.settings import WorkerSettings
from callcenter.worker.voices import VoiceIntake
from engine.interface import Engine
from personas.schema import RenderedPersona

CLIP_TIMEOUT_S = 5.0

log = structlog.get_logger(__name__)


async def published_prompts(settings: WorkerSettings) -> list[Prompt]:
    """The prompts that calls will bring, as far as they are published.

    Raises:
        ConfigurationError: CONFIG_PUBLIC_KEY cannot be read.
    """
    keys = key_ring(settings.config_public_key)
    redis = connect(settings.redis_url, timeout_s=CLIP_TIMEOUT_S)
    try:
        snapshot = await Board(redis, keys).snapshot()
    except BrokerUnavailable as error:
        log.warning("published_configuration_not_read", why=str(error))
        return []
    finally:
        await redis.aclose()
    return [] if snapshot is None else prompts(snapshot)


async def with_voices(
    settings: WorkerSettings, engine: Engine, files: Mapping[str, Path], wanted: list[Prompt]
) -> list[RenderedPersona]:
    """The prompts under the engine's names of their voices, which it has from now on.

    Args:
        settings: where Redis is.
        engine: not yet ticking.
        files: the voices that it started with.
        wanted: one whose voice cannot be had is left out.
    """
    found = []
    async with clips_of(settings) as clips:
        intake = VoiceIntake(engine, engine.kind, clips, files)
        for prompt in wanted:
            try:
                voice = await intake.name_of(prompt.persona.voice, prompt.voice_sha256)
            except PromptRefused:  # logged; its calls will be refused with the same words
                continue
            found.append(replace(prompt.persona, voice=voice))
    return found


@asynccontextmanager
async def clips_of(settings: WorkerSettings) -> AsyncIterator[Clips]:
    """The published clips."""
    redis = connect(settings.redis_url, timeout_s=CLIP_TIMEOUT_S, decode_responses=False)
    try:
        yield Clips(redis)
    finally:
        await redis.aclose()
