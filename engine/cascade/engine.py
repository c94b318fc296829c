"""The cascade engine behind admit, prime, tick and release: conversation without a GPU.

It is honest about what it is: `kind` is "cascade". The engine owns the shared networks and the
slots; each slot's conversation is a `session.Session`. No torch, no network but the optional
language model.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Set
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from engine.cascade.bursts import BurstJudge
from engine.cascade.dialogue import Conversation
from engine.cascade.endpoint import Endpoint
from engine.cascade.facts import Facts, NoFacts
from engine.cascade.lines import LineCache, Samples
from engine.cascade.llm import LlmClient, LlmSettings
from engine.cascade.matching import Matcher, word_llama
from engine.cascade.models import ModelFiles, find_models, own_voice, sha256
from engine.cascade.phonemes import english
from engine.cascade.recogniser import Recogniser
from engine.cascade.script import Script, parse
from engine.cascade.session import Networks, Session
from engine.cascade.standin import stand_in
from engine.cascade.voice import Voice
from engine.cascade.voicing import VoiceDetector
from engine.cascade.workshop import ThreadWorkshop, Urgency, Workshop
from engine.interface import Frame, FrameOutput, NoFreeSlot, SessionSpec, TickResult

_log = logging.getLogger(__name__)

_MAX_PERSONAS: Final = 64  # a dialogue that a call's values are filled in is a persona of its own


@dataclass(frozen=True, slots=True)
class CascadeSettings:
    """How one cascade engine runs.

    Attributes:
        slots: calls at once.
        threads: worker threads for all calls together.
        whisper: "tiny" or "base" (packaged), or folder or hub id of another recogniser; "" is
            base where it is installed, else tiny.
        voice: path of another Piper voice; "" is the packaged one.
        voices: a persona's voice -> path of the Piper voice that speaks for it; all others are
            spoken by `voice`.
        cache_folder: where fixed lines are kept; None for memory only.
        fixed_lines: lines without personal data, which may be kept there.
        llm: an OpenAI-compatible endpoint; None answers from the persona alone.
    """

    slots: int = 4
    threads: int = 2
    whisper: str = ""
    voice: str = ""
    voices: Mapping[str, str] = field(default_factory=dict)
    cache_folder: Path | None = None
    fixed_lines: Set[str] = frozenset()
    llm: LlmSettings | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """The heavy parts of an engine, loaded once.

    Attributes:
        networks: for listening.
        voices: a persona's voice -> the lines of the voice that speaks for it; "" for all others.
        matcher: trains one on a script's examples.
        facts: finds sentences of a role text that answer a question.
    """

    networks: Networks
    voices: Mapping[str, LineCache]
    matcher: Callable[[Script], Matcher]
    facts: Callable[[str], NoFacts] = field(default=lambda role_text: NoFacts())

    def lines(self, voice: str) -> LineCache:
        """The lines of the voice that speaks for a persona's voice."""
        return self.voices.get(voice, self.voices[""])


@dataclass(slots=True)
class _Slot:
    """A taken slot: its session comes when the persona is prepared and the greeting rendered."""

    spec: SessionSpec
    prepared: Future[tuple[Script, Matcher]]
    greeting: Future[Samples]
    facts: Future[NoFacts]
    session: Session | None = None
    broken: str = ""  # why the persona could not be prepared; the first tick reports it


class CascadeEngine:
    """Recogniser, dialogue and voice behind the engine interface.

    Args:
        settings: how many calls, which models.
        parts: loaded already; None loads them (a few seconds).
        workshop: where heavy work is done; None makes one with `settings.threads`.
        now: the wall clock, for "tomorrow".
    """

    kind = "cascade"

    def __init__(
        self,
        settings: CascadeSettings | None = None,
        parts: Parts | None = None,
        workshop: Workshop | None = None,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        settings = settings or CascadeSettings()
        self._settings = settings
        self.slots = settings.slots
        self._parts = parts or load_parts(settings)
        self._workshop = workshop or ThreadWorkshop(settings.threads)
        self._now = now
        self._taken: dict[int, _Slot] = {}
        self._personas: OrderedDict[str, Future[tuple[Script, Matcher]]] = OrderedDict()

    def admit(self, spec: SessionSpec) -> int:
        """Takes a slot and starts to prepare its persona.

        Raises:
            NoFreeSlot: every slot is taken.
            PromptRejected: the dialogue section cannot be used; the message names the place.
        """
        free = next((slot for slot in range(self.slots) if slot not in self._taken), None)
        if free is None:
            raise NoFreeSlot(f"all {self.slots} slots of the cascade engine are taken")
        prepared = self._prepare(spec)
        render = partial(self._parts.lines(spec.voice).render, spec.greeting)
        greeting = self._workshop.submit(spec.session_id, Urgency.SPEECH, render)
        read = partial(self._parts.facts, spec.role_text)
        facts = self._workshop.submit(spec.session_id, Urgency.AHEAD, read)
        self._taken[free] = _Slot(spec, prepared, greeting, facts)
        return free

    def prime(self) -> list[int]:
        """Makes sessions of the slots whose persona and greeting are ready; returns them."""
        ready = []
        for index, slot in self._taken.items():
            waits = slot.session is None and not slot.broken
            if waits and all(part.done() for part in (slot.prepared, slot.greeting, slot.facts)):
                self._open(slot)
                ready.append(index)
        return ready

    def tick(self, inputs: Mapping[int, Frame]) -> TickResult:
        """Advances the named slots by one frame."""
        outputs: dict[int, FrameOutput] = {}
        failed: dict[int, str] = {}
        for index, frame in inputs.items():
            session = self._taken[index].session
            if session is None:
                failed[index] = self._taken[index].broken or "the slot is not ready"
                continue
            try:
                outputs[index] = session.tick(frame)
            except Exception as error:  # noqa: BLE001  one call's fault must not end the others
                _log.exception("cascade.session_failed", extra={"slot": index})
                failed[index] = f"{type(error).__name__} in the cascade session"
        return TickResult(outputs, failed)

    def release(self, slot: int) -> None:
        """Frees the slot."""
        taken = self._taken.pop(slot)
        if taken.session:
            taken.session.close()

    def close(self) -> None:
        """Ends the worker threads; the engine is of no use afterwards."""
        for slot in list(self._taken):
            self.release(slot)
        self._workshop.close()
        if self._parts.networks.llm:
            self._parts.networks.llm.close()

    def _prepare(self, spec: SessionSpec) -> Future[tuple[Script, Matcher]]:
        """Trains the matcher, unless it is known from one of the last calls."""
        script = parse(spec.dialogue) if spec.dialogue else stand_in(spec.persona)
        if not spec.dialogue:
            _log.warning("cascade.persona_without_dialogue", extra={"persona": spec.persona})
        key = _fingerprint(spec.dialogue)
        if key not in self._personas:
            train = self._parts.matcher
            self._personas[key] = self._workshop.submit(
                spec.session_id, Urgency.AHEAD, lambda: (script, train(script))
            )
        self._personas.move_to_end(key)
        while len(self._personas) > _MAX_PERSONAS:
            self._personas.popitem(last=False)
        return self._personas[key]

    def _open(self, slot: _Slot) -> None:
        error = slot.prepared.exception()
        if error is None:
            slot.session = self._session(slot)
            return
        _log.error("cascade.persona_unusable", exc_info=error)
        slot.broken = f"the persona {slot.spec.persona} could not be prepared"
        self._personas.pop(_fingerprint(slot.spec.dialogue), None)

    def _session(self, slot: _Slot) -> Session:
        script, matcher = slot.prepared.result()
        spec = slot.spec
        return Session(
            spec.session_id,
            Conversation(script, matcher, spec.greeting, slot.facts.result()),
            self._parts.lines(spec.voice),
            self._parts.networks,
            self._workshop,
            self._now(),
            greeting=spec.greeting,
            role_text=spec.role_text,
            vocabulary=script.vocabulary(),
            backchannels=script.backchannels,
        )


def load_parts(settings: CascadeSettings, files: ModelFiles | None = None) -> Parts:
    """Loads all networks.

    Raises:
        ModelFileError: a model file is missing or damaged.
    """
    own_voices = {name: own_voice(Path(path)) for name, path in settings.voices.items()}
    files = files or find_models(settings.whisper, settings.voice, settings.cache_folder)
    tiny = files.whisper == files.burst_whisper
    _log.info("cascade.recogniser", extra={"model": "tiny" if tiny else str(files.whisper)})
    recogniser = Recogniser(files.whisper, workers=settings.threads, prompted=not tiny)
    networks = Networks(
        voicing=VoiceDetector(files.voicing),
        recogniser=recogniser,
        endpoint=Endpoint(files.endpoint),
        judge_burst=BurstJudge(files.burst_whisper).score,
        llm=LlmClient(settings.llm) if settings.llm else None,
    )
    voices = {
        name: _lines(path, settings) for name, path in ({"": files.voice} | own_voices).items()
    }
    return Parts(
        networks,
        voices,
        lambda script: Matcher(script.examples(), word_llama()),
        lambda role_text: Facts(role_text, word_llama()),
    )


def _lines(voice: Path, settings: CascadeSettings) -> LineCache:
    speaker = Voice(voice, english())
    return LineCache(speaker, sha256(voice), settings.cache_folder, settings.fixed_lines)


def _fingerprint(dialogue: Mapping[str, Any] | None) -> str:
    return hashlib.sha256(json.dumps(dialogue, sort_keys=True, default=str).encode()).hexdigest()
