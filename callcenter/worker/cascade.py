"""Builds the cascade engine from the settings, and renders its lines while nobody calls.

A persona's fixed lines sound best when they are there before they are needed. With a folder to keep
them in, only the first start has that work; it goes on in the background, line by line, and stands
still while calls are live. It imports no torch.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import structlog
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NoSuchFile,
)

from callcenter.errors import ConfigurationError
from callcenter.settings import WorkerSettings
from engine.cascade.engine import CascadeEngine, CascadeSettings, Parts, load_parts
from engine.cascade.llm import LlmSettings
from engine.cascade.models import ModelFileError
from engine.cascade.script import parse
from engine.interface import PromptRejected, SessionSpec
from personas.errors import PersonaError
from personas.schema import Persona

PROGRESS_EVERY_LINES = 20
CALM_WAIT_S = 0.5

VoicedLine = tuple[str, str]  # a persona's voice, and what it says

UNLOADABLE = (
    *(Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NoSuchFile),  # no ONNX model
    *(OSError, ValueError, KeyError, RuntimeError),  # no JSON, no CTranslate2 model, no hub
)

log = structlog.get_logger(__name__)


def build(settings: WorkerSettings, personas: Iterable[Persona]) -> CascadeEngine:
    """Loads the networks (a few seconds) and begins to render the personas' lines.

    Raises:
        ConfigurationError: a model file is missing, damaged or of another kind.
    """
    lines = fixed_lines(personas)
    own = cascade_settings(settings, lines)
    try:
        parts = load_parts(own)
    except ModelFileError as error:
        raise ConfigurationError(f"ENGINE=cascade: {error}") from None
    except UNLOADABLE as error:  # a file of the operator's own, or a hub out of reach
        raise ConfigurationError(
            f"ENGINE=cascade: a model cannot be loaded: {error} "
            f"(CASCADE_WHISPER={own.whisper}, CASCADE_VOICE={own.voice}, "
            f"CASCADE_VOICES={dict(own.voices)}; an empty one is the packaged one)"
        ) from None
    engine = CalmCascade(own, parts)
    renders = [partial(parts.lines(voice).render, line) for voice, line in lines]
    renderer = SpareTimeRenderer(renders, engine.wait_for_calm)
    renderer.start()
    atexit.register(engine.close)  # a network that still computes when Python ends aborts it
    atexit.register(renderer.stop)  # the first to be called
    return engine


def cascade_settings(settings: WorkerSettings, lines: Iterable[VoicedLine]) -> CascadeSettings:
    """The engine's view of the worker's settings; `lines` may be kept on disk."""
    return CascadeSettings(
        slots=settings.worker_slots,
        threads=settings.cascade_threads,
        whisper=settings.cascade_whisper,
        voice=settings.cascade_voice,
        voices={name: str(path) for name, path in settings.cascade_voices.items()},
        cache_folder=settings.cascade_cache_dir,
        fixed_lines=frozenset(line for _, line in lines),
        llm=_llm_settings(settings),
    )


def fixed_lines(personas: Iterable[Persona]) -> list[VoicedLine]:
    """Every line that is the same in all calls, greetings first, without repetition."""
    greetings: list[VoicedLine] = []
    others: list[VoicedLine] = []
    for persona in personas:
        try:
            rendered = persona.render()
            own = parse(rendered.dialogue).fixed_lines() if rendered.dialogue else []
        except (PersonaError, PromptRejected):  # it needs a call's values, or the warm-up tells
            continue
        greetings.append((rendered.voice, rendered.greeting))
        others += [(rendered.voice, line) for line in own]
    return [voiced for voiced in dict.fromkeys([*greetings, *others]) if voiced[1]]


class CalmCascade(CascadeEngine):
    """A cascade engine that tells when it has no call."""

    def __init__(self, settings: CascadeSettings, parts: Parts) -> None:
        super().__init__(settings, parts)
        self._calls = 0
        self._calm = threading.Event()
        self._calm.set()

    def admit(self, spec: SessionSpec) -> int:
        """As the engine's own; it is calm no longer."""
        slot = super().admit(spec)
        self._calls += 1
        self._calm.clear()
        return slot

    def release(self, slot: int) -> None:
        """As the engine's own; after the last call it is calm."""
        super().release(slot)
        self._calls -= 1
        if not self._calls:
            self._calm.set()

    def wait_for_calm(self) -> bool:
        """Waits a moment for all slots to be free; False if they are not. For other threads."""
        return self._calm.wait(CALM_WAIT_S)


class SpareTimeRenderer:
    """Renders lines one after the other in a thread, each when nobody calls.

    Args:
        renders: each renders one line.
        wait_for_calm: returns True when nobody calls, False after a while without.
    """

    def __init__(
        self,
        renders: Sequence[Callable[[], object]],
        wait_for_calm: Callable[[], bool],
    ) -> None:
        self._renders = renders
        self._wait_for_calm = wait_for_calm
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self.run, name="spare-time-lines", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the present line."""
        self._stopping.set()
        self._thread.join()

    def run(self) -> None:
        """Renders all; tells now and then how far it is."""
        total = len(self._renders)
        for done, render in enumerate(self._renders, start=1):
            while not self._stopping.is_set() and not self._wait_for_calm():
                continue
            if self._stopping.is_set():
                return
            render()
            if done % PROGRESS_EVERY_LINES == 0 or done == total:
                log.info("lines_rendered", done=done, of=total)


def _llm_settings(settings: WorkerSettings) -> LlmSettings | None:
    if settings.llm_base_url is None:
        return None
    key = settings.llm_api_key
    return LlmSettings(
        url=settings.llm_base_url,
        model=settings.llm_model,
        api_key=key.get_secret_value() if key else "",
        first_sentence_s=settings.llm_first_sentence_s,
        next_sentence_s=settings.llm_next_sentence_s,
        max_tokens=settings.llm_max_tokens,
    )
