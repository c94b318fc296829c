"""What the test caller says, and when: a list of steps, each waiting for its moment.

A step waits for the call's time, for the agent to have finished, or for the agent to be in the
middle of speaking (an interruption). Knows no socket and no clock: the mouth is asked for the
next 20 ms and told what the ear has heard.

As a file (`--script`), paths relative to it:

    - say: question.wav
      when: agent_done        # the agent has spoken and has been silent for `seconds`
      seconds: 0.7
    - say: stop.wav
      when: agent_speaking    # the agent has been speaking for `seconds`, and is just now
      seconds: 1.0
    - dtmf: "12#"
      when: call_time         # `seconds` after the call's start
      seconds: 20
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from callcenter.errors import ConfigurationError
from callcenter.evaluation.playback import PACKET_BYTES
from callcenter.evaluation.wav import read_wav
from callcenter.media.framer import split
from callcenter.media.units import PACKET_S, Pcm16, is_silent

When = Literal["call_time", "agent_done", "agent_speaking"]
PAUSE_WITHIN_SPEECH_S = 0.3
DTMF_EVERY_S = 0.2


class StepSpec(BaseModel):
    """One entry of a script file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    say: Path | None = None
    dtmf: str | None = None
    when: When = "agent_done"
    seconds: float = 0.7
    patience_s: float = 15.0

    @model_validator(mode="after")
    def _one_thing(self) -> StepSpec:
        if (self.say is None) == (self.dtmf is None):
            raise ValueError("a step needs exactly one of 'say' and 'dtmf'")
        if self.dtmf is not None and not set(self.dtmf) <= set("0123456789*#ABCD"):
            raise ValueError(f"dtmf digits {self.dtmf!r}: use 0-9, *, #, A-D")
        return self


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to say (int16 [n] at 8 kHz) or digits to press, and when.

    After `patience_s` of waiting the step begins anyway.
    """

    audio: Pcm16
    digits: str
    when: When
    seconds: float
    patience_s: float


def load_step(spec: StepSpec, folder: Path) -> Step:
    """Reads the step's WAV.

    Raises:
        ConfigurationError: the WAV cannot be read.
    """
    audio = read_wav(folder / spec.say) if spec.say else np.zeros(0, np.int16)
    if spec.when == "agent_speaking":
        audio = _from_first_sound(audio)
    return Step(audio, spec.dtmf or "", spec.when, spec.seconds, spec.patience_s)


def _from_first_sound(audio: Pcm16) -> Pcm16:
    """An interruption begins with its voice, not with the file's silence."""
    packets = split(audio, PACKET_BYTES)
    silent = sum(1 for _ in takewhile(is_silent, packets))
    return audio[silent * PACKET_BYTES :] if silent < len(packets) else audio


def load_script(path: Path) -> list[Step]:
    """Reads a script file with its WAVs.

    Raises:
        ConfigurationError: the file or one of its entries is wrong; names both.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
        specs = TypeAdapter(list[StepSpec]).validate_python(entries)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise ConfigurationError(f"{path}: not a call script: {error}") from error
    return [load_step(spec, path.parent) for spec in specs]


class Ear:
    """What a listener would say of the agent, from 20 ms packets: by level, with a hangover."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._onset_s: float | None = None
        self._last_sound_s: float | None = None

    def hear(self, packet: Pcm16) -> None:
        """Takes the next heard packet."""
        self.now_s += PACKET_S
        if is_silent(packet):
            if self.silent_for_s() >= PAUSE_WITHIN_SPEECH_S:
                self._onset_s = None
            return
        if self._onset_s is None:
            self._onset_s = self.now_s - PACKET_S
        self._last_sound_s = self.now_s

    def speaking_for_s(self) -> float:
        """How long the agent has been speaking; 0.0 while silent."""
        return 0.0 if self._onset_s is None else self.now_s - self._onset_s

    def silent_for_s(self) -> float:
        """How long the agent has been silent; counts from the call's start at first."""
        return self.now_s - (self._last_sound_s or 0.0)

    def spoke_since(self, since_s: float) -> bool:
        """Whether any sound came after that time."""
        return self._last_sound_s is not None and self._last_sound_s > since_s


@dataclass(frozen=True, slots=True)
class Utterance:
    """20 ms of the caller: audio int16 [160] and a digit pressed, or ""."""

    audio: Pcm16
    digit: str = ""


class Mouth:
    """Works through the steps."""

    def __init__(self, steps: list[Step]) -> None:
        self._steps = list(steps)
        self._audio: Pcm16 = np.zeros(0, np.int16)
        self._digits = ""
        self._next_digit_s = 0.0
        self._began_s = 0.0  # the last step began; an answer counts from there
        self._idle_since_s = 0.0
        self.packets = 0

    @property
    def finished(self) -> bool:
        """Whether everything has been said and pressed."""
        return not (self._steps or self._audio.size or self._digits)

    def next(self, ear: Ear) -> Utterance:
        """Returns the caller's next 20 ms."""
        self.packets += 1
        if self._audio.size or self._digits:
            self._idle_since_s = ear.now_s
        elif self._steps and self._due(self._steps[0], ear):
            self._begin(self._steps.pop(0), ear)
        return Utterance(self._next_audio(), self._next_digit(ear.now_s))

    def answered(self, ear: Ear, silent_s: float) -> bool:
        """Whether the agent spoke after the last step began and has been silent for a while."""
        return ear.spoke_since(self._began_s) and ear.silent_for_s() >= silent_s

    def idle_for_s(self, ear: Ear) -> float:
        """How long nothing has been said or pressed."""
        return ear.now_s - self._idle_since_s

    def _due(self, step: Step, ear: Ear) -> bool:
        if step.when == "call_time":
            return ear.now_s >= step.seconds
        if self.idle_for_s(ear) >= step.patience_s:
            return True
        if step.when == "agent_speaking":
            # Not in a pause between two of its words: nobody could tell when it stopped.
            return ear.speaking_for_s() >= step.seconds and ear.silent_for_s() == 0.0
        return self.answered(ear, step.seconds)

    def _begin(self, step: Step, ear: Ear) -> None:
        self._audio, self._digits = step.audio, step.digits
        self._began_s = self._idle_since_s = self._next_digit_s = ear.now_s

    def _next_audio(self) -> Pcm16:
        packet = np.zeros(PACKET_BYTES, np.int16)
        spoken, self._audio = self._audio[:PACKET_BYTES], self._audio[PACKET_BYTES:]
        packet[: spoken.size] = spoken
        return packet

    def _next_digit(self, now_s: float) -> str:
        if not self._digits or now_s < self._next_digit_s:
            return ""
        digit, self._digits = self._digits[0], self._digits[1:]
        self._next_digit_s = now_s + DTMF_EVERY_S
        return digit
