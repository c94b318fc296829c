"""A caller for the cascade's benchmarks: drives the engine frame by frame, as a worker would.

Simulated time: the engine does its heavy work at once, and a frame takes no time. Real time is
`cascade_manners.py --real-time`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import soxr
from numpy.typing import NDArray

from callcenter.worker.cascade import fixed_lines
from engine.cascade.engine import CascadeEngine
from engine.cascade.spelling import spoken
from engine.interface import FRAME_S, FRAME_SAMPLES, SAMPLE_RATE_HZ, SessionSpec
from personas.library import Library

Samples = NDArray[np.int16]

AUDIBLE = 300  # of 32,767: a frame that a caller hears as speech
LINE_NOISE = 12.0  # of 32,767: a telephone line is never quite silent


def through_telephone(samples: Samples) -> NDArray[np.float32]:
    """Takes int16 at 24 kHz through 8 kHz and mu-law; returns float32 at 16 kHz."""
    narrow = soxr.resample(samples.astype(np.float32) / 32_768, SAMPLE_RATE_HZ, 8_000)
    mu = 255.0
    coded = np.round(np.sign(narrow) * np.log1p(mu * np.abs(narrow)) / np.log1p(mu) * 127) / 127
    decoded = np.sign(coded) * np.expm1(np.abs(coded) * np.log1p(mu)) / mu
    return soxr.resample(decoded, 8_000, 16_000).astype(np.float32)


def kept_lines(library: Library, persona: str) -> frozenset[str]:
    """The lines of a persona that a worker keeps on disk."""
    return frozenset(line for _, line in fixed_lines([library[persona]]))


def session_spec(library: Library, persona: str, session_id: str) -> SessionSpec:
    """Renders a persona with its default variables."""
    rendered = library[persona].render({})
    return SessionSpec(
        session_id, persona, rendered.role_text, "", rendered.greeting, dialogue=rendered.dialogue
    )


@dataclass
class Caller:
    """One call on one slot; keeps what it heard."""

    engine: CascadeEngine
    slot: int
    ticks: int = 0
    heard: list[Samples] = field(default_factory=list)
    lines: list[tuple[float, str]] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    noise: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @property
    def now_s(self) -> float:
        """Seconds since the call began."""
        return self.ticks * FRAME_S

    def frame(self, speech: Samples | None = None) -> bool:
        """Sends one frame (line noise alone if `speech` is None); True if the agent sounded."""
        frame = self.noise.normal(0, LINE_NOISE, FRAME_SAMPLES)
        if speech is not None:
            frame[: len(speech)] += speech
        result = self.engine.tick({self.slot: np.clip(frame, -32_768, 32_767).astype(np.int16)})
        if result.failed:
            raise RuntimeError(result.failed[self.slot])
        output = result.outputs[self.slot]
        self.ticks += 1
        self.heard.append(output.pcm)
        if output.text:
            self.lines.append((self.now_s, output.text))
        if output.action:
            self.actions.append(output.action)
        return bool(np.abs(output.pcm).max() > AUDIBLE)

    def speak(self, samples: Samples) -> None:
        """Sends an utterance."""
        for piece in frames(samples):
            self.frame(piece)

    def listen(self, quiet_s: float = 1.2, limit_s: float = 20.0) -> None:
        """Sends line noise until the agent has spoken and then been quiet, or the limit."""
        began, quiet = False, 0.0
        end_s = self.now_s + limit_s
        while self.now_s < end_s and not (began and quiet >= quiet_s):
            sounded = self.frame()
            began = began or sounded
            quiet = 0.0 if sounded else quiet + FRAME_S


def frames(samples: Samples) -> Iterator[Samples]:
    """Cuts an utterance into frames; the last one may be short."""
    for start in range(0, len(samples), FRAME_SAMPLES):
        yield samples[start : start + FRAME_SAMPLES]


def call(engine: CascadeEngine, spec: SessionSpec) -> Caller:
    """Takes a slot and waits until it is ready."""
    slot = engine.admit(spec)
    while slot not in engine.prime():
        pass  # inline work: ready at the first look
    return Caller(engine, slot)


def words(text: str) -> str:
    """Words only, figures written out: the form in which two transcripts are compared."""
    plain = re.sub(r"[^a-z' ]", " ", spoken(text).lower().replace("’", "'"))
    return " ".join(plain.split())
