"""RehearsalEngine: a partner for developing, load tests and demonstrations. Not a model.

It greets with a recorded line, listens, answers a finished caller turn with the next recorded line
and falls silent within the frame in which the caller starts to speak. It needs neither torch nor
a checkpoint, and the same input gives the same output, sample by sample.

Interruption in two steps, since 80 ms decide nothing and 200 ms are too late:

    speaking --20 ms of speech--> holding --160 ms of speech--> listening (the line is given up)
        ^                            |
        +------ 160 ms of quiet -----+   a cough or a click: the line goes on where it stopped

It doesn't understand a word, and of the persona it uses nothing but the seed.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from importlib import resources
from importlib.resources.abc import Traversable

import numpy as np
from numpy.typing import NDArray

from engine.interface import (
    FRAME_S,
    FRAME_SAMPLES,
    SAMPLE_RATE_HZ,
    Frame,
    FrameOutput,
    NoFreeSlot,
    SessionSpec,
    TickResult,
)

HOP_SAMPLES = 240  # 10 ms: eight looks a frame
HOPS = FRAME_SAMPLES // HOP_SAMPLES
HOP_MS = 10

HOLD_MS = 20
INTERRUPT_MS = 160
RESUME_MS = 160
TURN_MS = 250  # less speech than that is no turn and gets no answer
TURN_END_MS = 560

SPEECH_FLOOR_DB = -46.0  # dBFS of a hop; quieter is never speech
SPEECH_OVER_NOISE_DB = 12.0
OWN_ECHO_DB = -38.0  # while speaking: an echo 25 dB under the lines' loudest hops stays below
NOISE_RISE_DB = 2.0 * FRAME_S  # a frame
FADE_SAMPLES = 120  # 5 ms: a stop without a click

SILENCE: Frame = np.zeros(FRAME_SAMPLES, np.int16)
SILENCE.flags.writeable = False


@dataclass(frozen=True, slots=True)
class Line:
    """A recorded line.

    Attributes:
        text: its words.
        pcm: int16 [N], 24 kHz, N a multiple of the frame.
    """

    text: str
    pcm: NDArray[np.int16]

    @property
    def frames(self) -> int:
        """Its length in frames."""
        return len(self.pcm) // FRAME_SAMPLES

    def piece(self, frame: int) -> str:
        """The words that begin within a frame, if words are spread evenly over the line."""
        words = self.text.split()
        first = -(-frame * len(words) // self.frames)
        last = -(-(frame + 1) * len(words) // self.frames)
        return "".join(f" {word}" for word in words[first:last])


class Ear:
    """Tells speech from quiet by energy, against a noise floor that it follows."""

    def __init__(self) -> None:
        self._noise_db = SPEECH_FLOOR_DB - SPEECH_OVER_NOISE_DB

    def hear(self, frame: Frame, *, speaking: bool) -> NDArray[np.bool_]:
        """Judges one frame.

        Args:
            frame: int16 [1920].
            speaking: whether our own echo may be in it.

        Returns:
            bool [8]: speech or not, in each 10 ms.
        """
        hops = frame.astype(np.float32).reshape(HOPS, HOP_SAMPLES) / 32_768
        levels_db = 10 * np.log10(np.mean(hops * hops, axis=1) + 1e-10)  # [8]
        threshold_db = max(SPEECH_FLOOR_DB, self._noise_db + SPEECH_OVER_NOISE_DB)
        if speaking:
            threshold_db = max(threshold_db, OWN_ECHO_DB)
        self._follow_noise(float(levels_db.min()))
        return np.asarray(levels_db > threshold_db)

    def _follow_noise(self, quietest_db: float) -> None:
        """Falls fast, rises by 2 dB a second: speech has pauses, noise has none."""
        if quietest_db < self._noise_db:
            self._noise_db += 0.5 * (quietest_db - self._noise_db)
        else:
            self._noise_db = min(self._noise_db + NOISE_RISE_DB, quietest_db)
        self._noise_db = max(self._noise_db, -70.0)


class Manner(Enum):
    """What a session is doing."""

    SPEAKING = "speaking"
    HOLDING = "holding"
    LISTENING = "listening"


class Conversation:
    """One session: a frame in, a frame out."""

    def __init__(self, greeting: Line, answers: tuple[Line, ...], seed: int) -> None:
        self._answers = answers
        self._next_answer = seed % len(answers)
        self._ear = Ear()
        self._line = greeting
        self._frame = 0  # the line's next frame
        self._manner = Manner.SPEAKING
        self._fade_in = False
        self._speech_ms = 0  # since the caller's turn, or the hold, began
        self._quiet_ms = 0  # since the last speech

    def step(self, heard: Frame) -> FrameOutput:
        """Listens to 80 ms and says the next 80 ms."""
        speaking = self._manner is Manner.SPEAKING
        speech = self._ear.hear(heard, speaking=speaking)
        self._count(speech)
        if speaking:
            return self._stop() if self._speech_ms >= HOLD_MS else self._speak()
        if self._manner is Manner.HOLDING:
            return self._hold()
        return self._listen()

    def _count(self, speech: NDArray[np.bool_]) -> None:
        """Keeps the times; while speaking, speech counts within one frame only."""
        spoken_ms = HOP_MS * int(np.count_nonzero(speech))
        quiet_after_ms = HOP_MS * int(np.argmax(speech[::-1])) if spoken_ms else HOPS * HOP_MS
        self._quiet_ms = quiet_after_ms + (0 if spoken_ms else self._quiet_ms)
        kept_ms = 0 if self._manner is Manner.SPEAKING else self._speech_ms
        self._speech_ms = kept_ms + spoken_ms

    def _speak(self) -> FrameOutput:
        """The line's next frame; after the last one the caller has the floor."""
        pcm = self._line_pcm(self._frame)
        if self._fade_in:
            pcm = _faded(pcm, np.linspace(0, 1, FADE_SAMPLES))
            self._fade_in = False
        text = self._line.piece(self._frame)
        self._frame += 1
        if self._frame == self._line.frames:
            self._manner = Manner.LISTENING
            self._speech_ms = self._quiet_ms = 0
        return FrameOutput(pcm, text)

    def _stop(self) -> FrameOutput:
        """Falls silent, 5 ms into the frame; the line can go on from here."""
        self._manner = Manner.HOLDING
        pcm = _faded(self._line_pcm(self._frame), np.linspace(1, 0, FADE_SAMPLES))
        pcm[FADE_SAMPLES:] = 0
        return FrameOutput(pcm)

    def _hold(self) -> FrameOutput:
        """Waits to see whether the caller means it."""
        if self._speech_ms >= INTERRUPT_MS:
            self._manner = Manner.LISTENING
        elif self._quiet_ms >= RESUME_MS:
            self._manner = Manner.SPEAKING
            self._fade_in = True
            return self._speak()
        return FrameOutput(SILENCE)

    def _listen(self) -> FrameOutput:
        """Answers a turn that is over; forgets a noise that was none."""
        if self._quiet_ms < TURN_END_MS:
            return FrameOutput(SILENCE)
        turn_ms, self._speech_ms = self._speech_ms, 0
        if turn_ms < TURN_MS:
            return FrameOutput(SILENCE)
        self._line = self._answers[self._next_answer]
        self._next_answer = (self._next_answer + 1) % len(self._answers)
        self._frame = 0
        self._manner = Manner.SPEAKING
        return self._speak()

    def _line_pcm(self, frame: int) -> Frame:
        return self._line.pcm[frame * FRAME_SAMPLES : (frame + 1) * FRAME_SAMPLES]


class RehearsalEngine:
    """Slots that speak recorded lines; see `engine.interface.Engine`.

    Args:
        slots: sessions at once.
        lines: folder of `<name>.wav` and `<name>.txt`, one of them `greeting`; the lines that come
            with the package by default.

    Raises:
        ValueError: a line is not 24 kHz mono 16 bit, has no text, or there is no answer.
    """

    kind = "rehearsal"

    def __init__(self, slots: int = 4, lines: Traversable | None = None) -> None:
        self.slots = slots
        folder = lines or resources.files("engine").joinpath("rehearsal_lines")
        by_name = dict(_load(folder))
        if "greeting" not in by_name or len(by_name) < 2:
            raise ValueError(f"{folder} needs greeting.wav and at least one more line")
        self._greeting = by_name.pop("greeting")
        self._answers = tuple(by_name[name] for name in sorted(by_name))
        self._waiting: dict[int, Conversation] = {}
        self._live: dict[int, Conversation] = {}

    def admit(self, spec: SessionSpec) -> int:
        """Takes the lowest free slot.

        Raises:
            NoFreeSlot: every slot is taken.
        """
        taken = self._waiting.keys() | self._live.keys()
        slot = next((slot for slot in range(self.slots) if slot not in taken), None)
        if slot is None:
            raise NoFreeSlot(f"all {self.slots} slots are taken")
        self._waiting[slot] = Conversation(self._greeting, self._answers, spec.seed)
        return slot

    def prime(self) -> list[int]:
        """Makes all admitted slots ready: there is no prompt work to do."""
        ready = list(self._waiting)
        self._live.update(self._waiting)
        self._waiting.clear()
        return ready

    def tick(self, inputs: Mapping[int, Frame]) -> TickResult:
        """Advances the named slots by one frame of 80 ms.

        Args:
            inputs: slot -> int16 [1920]; a wrong frame fails its own slot only.

        Raises:
            KeyError: a slot is free or not ready.
        """
        outputs: dict[int, FrameOutput] = {}
        failed: dict[int, str] = {}
        for slot, frame in inputs.items():
            if frame.shape != (FRAME_SAMPLES,) or frame.dtype != np.int16:
                failed[slot] = f"input is {frame.dtype} {list(frame.shape)}, not int16 [1920]"
            else:
                outputs[slot] = self._live[slot].step(frame)
        return TickResult(outputs, failed)

    def release(self, slot: int) -> None:
        """Frees the slot; KeyError if it is free already."""
        del (self._waiting if slot in self._waiting else self._live)[slot]


def _load(folder: Traversable) -> Iterator[tuple[str, Line]]:
    """Reads every line of a folder, padded with silence to whole frames."""
    for entry in folder.iterdir():
        name, _, ending = entry.name.rpartition(".")
        if ending != "wav":
            continue
        with entry.open("rb") as file, wave.open(file) as clip:
            form = (clip.getframerate(), clip.getnchannels(), clip.getsampwidth())
            if form != (SAMPLE_RATE_HZ, 1, 2):
                raise ValueError(f"{entry}: must be 24000 Hz, 1 channel, 2 bytes; is {form}")
            pcm = np.frombuffer(clip.readframes(clip.getnframes()), "<i2").astype(np.int16)
        words = folder.joinpath(f"{name}.txt")
        text = words.read_text(encoding="utf-8").strip() if words.is_file() else ""
        if not text:
            raise ValueError(f"{entry}: its words are missing; write them into {name}.txt")
        yield name, Line(text, np.pad(pcm, (0, -len(pcm) % FRAME_SAMPLES)))


def _faded(pcm: Frame, gain: NDArray[np.float64]) -> Frame:
    """A copy with a gain on its first samples."""
    faded = pcm.copy()
    faded[: len(gain)] = (pcm[: len(gain)] * gain).astype(np.int16)
    return faded
