"""Brings published voices to the engine: fetched when a session first asks for one.

    own          the clip was made from a file that the engine started with
    stored       another worker has computed its codes
    computed     this worker has, in a thread beside the ticks; from now on they are stored

An engine without codes (one that speaks with a voice of its own) takes the name as it is. It knows
Redis only as the place where clips and codes are, and does not know sessions.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import structlog

from callcenter import metrics
from callcenter.errors import BrokerUnavailable
from callcenter.link.refusals import PromptRefused
from callcenter.published.board import Clips
from engine.interface import EngineError

log = structlog.get_logger(__name__)


class Shelf(Protocol):
    """Voices of an engine that takes more of them; any thread may call it."""

    def __contains__(self, name: object) -> bool:
        """Whether sessions may ask for that voice."""
        ...

    def encode(self, clip: bytes, sha256: str) -> bytes:
        """Computes a clip's codes; slow. Raises PromptRejected."""
        ...

    def take(self, sha256: str, content: bytes) -> None:
        """Adds a voice under its clip's SHA-256. Raises EngineError."""
        ...


@runtime_checkable
class TakesVoices(Protocol):
    """An engine whose voices are codes."""

    voices: Shelf


class VoiceIntake:
    """What a session's voice is called in the engine; fetched first if need be.

    Args:
        engine: any; voices are brought to one that takes them.
        kind: the engine's, a metric label.
        clips: published clips and codes.
        files: the engine's own voices: name -> file.
    """

    def __init__(self, engine: object, kind: str, clips: Clips, files: Mapping[str, Path]) -> None:
        self._shelf = engine.voices if isinstance(engine, TakesVoices) else None
        self._kind = kind
        self._clips = clips
        self._own = {} if self._shelf is None else _by_sha256(files)
        self._names: dict[str, str] = {}
        self._fetching: dict[str, asyncio.Task[str]] = {}

    async def name_of(self, voice: str, sha256: str) -> str:
        """The engine's name of a session's voice.

        Args:
            voice: its name in the configuration.
            sha256: of its published clip; "" if there is none.

        Raises:
            PromptRefused: it cannot be had; says why.
        """
        if self._shelf is None or not sha256:
            return voice
        if sha256 in self._shelf:
            return sha256
        if sha256 not in self._names:
            # Sessions that give up meanwhile leave the work to those that come after them.
            fetching = self._fetching.get(sha256)
            if fetching is None:
                fetching = asyncio.create_task(self._fetch(self._shelf, voice, sha256))
                self._fetching[sha256] = fetching
                fetching.add_done_callback(lambda _: self._fetching.pop(sha256))
            self._names[sha256] = await asyncio.shield(fetching)
        return self._names[sha256]

    async def _fetch(self, shelf: Shelf, voice: str, sha256: str) -> str:
        try:
            name, how = await self._found(shelf, sha256)
        except (BrokerUnavailable, EngineError) as error:  # Redis is away, or a clip is none
            log.warning("voice_not_taken", voice=voice, voice_sha256=sha256, why=str(error))
            raise PromptRefused(f"voice {voice} cannot be taken in: {error}") from None
        metrics.WORKER_VOICES.labels(self._kind, how).inc()
        log.info("voice_taken", voice=voice, voice_sha256=sha256, how=how)
        return name

    async def _found(self, shelf: Shelf, sha256: str) -> tuple[str, str]:
        """The engine's name, and where the voice came from."""
        own = self._own.get(await self._clips.original(sha256))
        if own is not None and own in shelf:
            return own, "own"
        stored = await self._clips.codes(sha256)
        if stored is not None and self._takes(shelf, sha256, stored):
            return sha256, "stored"
        codes = await asyncio.to_thread(shelf.encode, await self._clip(sha256), sha256)
        if stored is None and not await self._clips.put_codes(sha256, codes):
            codes = await self._clips.codes(sha256) or codes  # all workers speak with the same
        if not self._takes(shelf, sha256, codes):
            raise EngineError("its codes are not usable")
        return sha256, "computed"

    async def _clip(self, sha256: str) -> bytes:
        clip = await self._clips.get(sha256)
        if clip is None:
            raise EngineError("its clip is not published")
        if hashlib.sha256(clip).hexdigest() != sha256:
            raise EngineError("its clip is not the one that was published")
        return clip

    def _takes(self, shelf: Shelf, sha256: str, codes: bytes) -> bool:
        try:
            shelf.take(sha256, codes)
        except EngineError as error:  # another codec's, or not written by one of us
            log.warning("codes_refused", voice_sha256=sha256, why=str(error))
            return False
        return True


def _by_sha256(files: Mapping[str, Path]) -> dict[str, str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest(): name for name, path in files.items()}
