"""What every engine offers the worker: admit, prime, tick, release.

The worker drives an engine from one thread, with plain numbers in and out:

    slot = engine.admit(spec)            # take a slot, queue the prompt
    while slot not in engine.prime(): ...  # bounded pieces of prompt work between ticks
    result = engine.tick({slot: pcm})    # every 80 ms: one frame in, one frame out, all live slots
    engine.release(slot)

This module knows no tensor, no clock and no network; it imports without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 24_000
FRAME_SAMPLES = 1_920
FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ  # 0.08 s: Mimi's 12.5 Hz

Frame = NDArray[np.int16]  # shape [1920], mono PCM16 at 24 kHz


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling of the text and audio streams; the defaults are the reference's."""

    text_temperature: float = 0.7
    text_top_k: int = 25
    audio_temperature: float = 0.8
    audio_top_k: int = 250


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """Everything an engine needs to know about one session.

    Attributes:
        session_id: names the session in errors and logs.
        persona: the persona's slug; a label, no behaviour hangs on it.
        role_text: the rendered role prompt; personal data may stand in it, so it is never logged.
        voice: name of a voice that the engine was given at start-up.
        greeting: the first line of engines that speak lines (rehearsal, cascade); a duplex
            model greets by itself.
        seed: same seed, same input, same tokens, whatever else is in the batch.
        sampling: how tokens are drawn.
        dialogue: the persona's dialogue section as plain data, for the cascade engine.
    """

    session_id: str
    persona: str
    role_text: str
    voice: str
    greeting: str = ""
    seed: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    dialogue: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class FrameOutput:
    """What one slot says in one tick.

    Attributes:
        pcm: int16 [1920], 24 kHz mono.
        text: the piece of text that belongs to this tick; "" in most ticks.
        action: "" or a command of the engine to the call: "hangup", "handoff", or "yield": it fell
            silent for the caller, who should not hear what still waits at the far end.
        record: what the caller asked for and confirmed, by name ("task" is its kind, then the
            form's fields); empty in almost all ticks. Personal data: it is never logged.
    """

    pcm: Frame
    text: str = ""
    action: str = ""
    record: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TickResult:
    """All outputs of one tick, and the slots whose session failed in it (slot -> reason).

    A failed slot has no output and must be released; the other slots are not touched by it.
    """

    outputs: Mapping[int, FrameOutput]
    failed: Mapping[int, str] = field(default_factory=dict)


class EngineError(Exception):
    """Base of the errors that an engine raises at admission."""


class NoFreeSlot(EngineError):
    """Every slot is taken, or memory for one more session is missing."""


class PromptRejected(EngineError):
    """The role text or the voice cannot be used; the message says why and what to do."""


class Engine(Protocol):
    """One batch of slots on one device. Not thread-safe: one thread owns it."""

    kind: str  # "personaplex", "cascade" or "rehearsal": a metric label, shown to operators
    slots: int  # capacity

    def admit(self, spec: SessionSpec) -> int:
        """Takes a slot and queues its prompt.

        Returns:
            The slot's index, in range(self.slots).

        Raises:
            NoFreeSlot: every slot is taken.
            PromptRejected: unknown voice, prompt over budget, unreadable clip.
        """
        ...

    def prime(self) -> list[int]:
        """Does one bounded piece of prompt work (a few ms), if any waits.

        Returns:
            The slots that became ready by it; with a known prompt that is the slot's first call.

        Raises:
            NoFreeSlot: memory for the work is missing; the slots that wait are to be released.
        """
        ...

    def tick(self, inputs: Mapping[int, Frame]) -> TickResult:
        """Advances exactly the slots in `inputs` by one frame of 80 ms.

        Args:
            inputs: slot -> int16 [1920]. Only slots that are ready may be named.
        """
        ...

    def release(self, slot: int) -> None:
        """Frees the slot at once; releasing a free slot is an error (KeyError)."""
        ...


@runtime_checkable
class PhasedEngine(Engine, Protocol):
    """An engine whose slots stand in groups that may tick at different times.

    A tick about slots of one group costs no more than that group; slots of several groups may
    still be named together.
    """

    phases: int  # how many groups

    def phase_of(self, slot: int) -> int:
        """The group of a slot, in range(self.phases)."""
        ...
