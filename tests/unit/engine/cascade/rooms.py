"""A room for conversations in simulated time: real ears and turns, scripted words and voice."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.cascade.engine import CascadeEngine, CascadeSettings, Parts
from engine.cascade.lines import LineCache
from engine.cascade.llm import LlmClient
from engine.cascade.matching import Matcher, word_llama
from engine.cascade.models import find_models
from engine.cascade.recogniser import Heard
from engine.cascade.session import Networks
from engine.cascade.voicing import VoiceDetector
from engine.cascade.workshop import InlineWorkshop
from engine.interface import FRAME_SAMPLES, FrameOutput, SessionSpec
from tests.recordings import CALLERS, read_mulaw
from tests.unit.engine.cascade.scripts import SECTION

Samples = NDArray[np.int16]


def recording(name: str) -> Samples:
    """A caller's recording by the beginning of its name, int16 at 24 kHz."""
    [path] = CALLERS.glob(f"{name}*.wav")
    return read_mulaw(path)


def said(text: str, language: str = "en", no_speech: float = 0.0) -> Heard:
    """What a recogniser makes of clear speech."""
    return Heard((text,) if text else (), -0.2, language, 0.99, no_speech)


class _Endpoint:
    """Plays the end-of-turn network."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def finished(self, speech: NDArray[np.float32]) -> float:
        """The room decides."""
        return self._room.finished


@lru_cache(maxsize=1)
def detector() -> VoiceDetector:
    """The real voice activity network, loaded once."""
    return VoiceDetector(find_models("tiny").voicing)


@dataclass
class Room:
    """One engine with one call in it; words come from `words`, whatever the sound.

    Attributes:
        words: what the recogniser will have heard, in this order; then nothing.
        backchannel: what the judge of bursts will say, as log-odds.
        finished: what the end-of-turn network will say.
    """

    words: deque[Heard] = field(default_factory=deque)
    backchannel: float = -5.0
    finished: float = 0.95
    section: dict[str, object] | None = field(default_factory=lambda: SECTION)
    greeting: str = ""
    llm: LlmClient | None = None
    lines: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        networks = Networks(
            detector(), self, _Endpoint(self), lambda burst: self.backchannel, self.llm
        )  # type: ignore[arg-type]
        self.voice = LineCache(self, "test")
        parts = Parts(networks, {"": self.voice}, lambda s: Matcher(s.examples(), word_llama()))
        self.engine = CascadeEngine(CascadeSettings(slots=2), parts, InlineWorkshop())
        spec = SessionSpec(
            "call-1", "test", "You are Alex.", "", self.greeting, dialogue=self.section
        )
        self.slot = self.engine.admit(spec)
        assert self.engine.prime() == [self.slot]

    def transcribe(self, speech: NDArray[np.float32], vocabulary: str = "") -> Heard:
        """Plays the recogniser; a look at a turn is repeated until the turn is over."""
        return self.words[0] if self.words else said("")

    def say(self, sentence: str) -> Samples:
        """Plays the voice: 80 ms a letter."""
        return np.full(FRAME_SAMPLES * len(sentence), 5_000, np.int16)

    def frame(self, samples: Samples | None = None) -> FrameOutput:
        """Sends one frame."""
        frame = np.zeros(FRAME_SAMPLES, np.int16)
        if samples is not None:
            frame[: len(samples)] = samples
        result = self.engine.tick({self.slot: frame})
        assert not result.failed
        output = result.outputs[self.slot]
        if output.text:
            self.lines.append(output.text)
        if output.action:
            self.actions.append(output.action)
        return output

    def speak(self, samples: Samples, words: Heard | str = "") -> list[bool]:
        """Says something that will be heard as `words`; tells when the agent sounded."""
        if words:
            self.words.append(said(words) if isinstance(words, str) else words)
        starts = range(0, len(samples), FRAME_SAMPLES)
        return [bool(self.frame(samples[i : i + FRAME_SAMPLES]).pcm.any()) for i in starts]

    def wait(self, seconds: float) -> list[bool]:
        """Stays silent; tells when the agent sounded."""
        return [bool(self.frame().pcm.any()) for _ in range(round(seconds / 0.08))]

    def turn(self, samples: Samples, words: Heard | str, seconds: float = 1.5) -> list[str]:
        """Speaks, waits, and returns the lines that began."""
        self.lines.clear()
        self.speak(samples, words)
        self.wait(seconds)
        if self.words:
            self.words.popleft()
        return list(self.lines)


def ask_endpoint(client: LlmClient) -> list[str]:
    """Asks where to park; returns what is said when the endpoint has answered or was given up."""
    room = Room(llm=client)
    session = room.engine._taken[room.slot].session
    assert session is not None
    room.speak(recording("manners/question"), "where can i park")
    room.wait(0.6)
    while session._answers.pending:
        threading.Event().wait(0.01)  # the endpoint's thread needs time that is not simulated
        room.frame()
    room.wait(0.3)
    return room.lines
