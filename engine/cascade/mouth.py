"""The outgoing direction of one call: lines in, frames out, and what of them the caller heard.

It plays one line after the other with a short breath between, and falls silent at once when told,
for good or for a moment.
It does not know who renders lines or why they are said.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.interface import FRAME_SAMPLES, SAMPLE_RATE_HZ, Frame

Samples = NDArray[np.int16]

_BREATH_SAMPLES: Final = int(0.16 * SAMPLE_RATE_HZ)  # between two lines
_FADE_SAMPLES: Final = int(0.010 * SAMPLE_RATE_HZ)  # an abrupt zero clicks
_REWIND_SAMPLES: Final = int(0.24 * SAMPLE_RATE_HZ)  # at most, to a place between two syllables
_UNHEARD_SAMPLES: Final = int(0.06 * SAMPLE_RATE_HZ)  # queued at the far end, and thrown away
_BLOCK_SAMPLES: Final = int(0.02 * SAMPLE_RATE_HZ)
SILENCE: Final[Frame] = np.zeros(FRAME_SAMPLES, np.int16)


@dataclass(slots=True)
class _Line:
    text: str
    sound: Future[Samples]
    position: int = 0  # samples already played


class Mouth:
    """What one call's agent is saying.

    Args:
        render: starts the rendering of a line; it is called for one line ahead, not more.
    """

    def __init__(self, render: Callable[[str, bool], Future[Samples]]) -> None:
        self._render = render
        self._waiting: deque[str] = deque()
        self._lines: deque[_Line] = deque()
        self._breath = 0
        self._held = False
        self._heard: list[str] = []
        self._last_tail = np.zeros(0, np.int16)
        self.failures: list[str] = []

    @property
    def speaking(self) -> bool:
        """True while anything is being said or about to be said."""
        return bool(self._lines or self._waiting)

    @property
    def sounding(self) -> bool:
        """True when the next frame holds sound: the caller hears the agent."""
        return bool(self._lines) and (self._lines[0].position > 0 or self._lines[0].sound.done())

    @property
    def held(self) -> bool:
        """True in a pause of the agent's own."""
        return self._held

    def say(self, *texts: str) -> None:
        """Appends lines."""
        self._waiting.extend(text for text in texts if text)
        self._fetch()

    def hold(self) -> None:
        """Pauses in the middle of the word, with the next frame; nothing without a word."""
        self._keep_tail()
        self._held = bool(self._lines)

    def go_on(self) -> None:
        """Goes on after a pause, from the quietest place shortly before it."""
        if self._held and self._lines:
            _rewind(self._lines[0])
        self._held = False

    def stop(self) -> tuple[str, ...]:
        """Falls silent with the next frame.

        Returns:
            The lines that the caller did not hear to their end, the broken one first.
        """
        unheard = (*(line.text for line in self._lines), *self._waiting)
        if self._lines and self._lines[0].position > 0:
            self._keep_tail()
            self._heard.append(_heard_part(self._lines[0]))
        self._held = False
        for line in self._lines:
            line.sound.cancel()
        self._lines.clear()
        self._waiting.clear()
        self._breath = 0
        return unheard

    def take_heard(self) -> str:
        """Returns what the caller has heard since this was asked last."""
        heard, self._heard = " ".join(part for part in self._heard if part), []
        return heard

    def next_frame(self) -> tuple[Frame, str]:
        """Returns one frame of sound and the text of the lines that begin in it."""
        frame = SILENCE.copy()
        filled = self._play_fade(frame)
        began: list[str] = []
        while filled < FRAME_SAMPLES and self._lines and not self._held:
            line = self._lines[0]
            if not line.sound.done():
                break
            if line.sound.cancelled() or line.sound.exception() is not None:
                self.failures.append(str(line.sound.exception()))
                self._next_line()
                continue
            filled = self._play(line, frame, filled, began)
        return frame, " ".join(began)

    def _play(self, line: _Line, frame: Frame, filled: int, began: list[str]) -> int:
        if self._breath:
            skipped = min(self._breath, FRAME_SAMPLES - filled)
            self._breath -= skipped
            return filled + skipped
        if line.position == 0:
            began.append(line.text)
        samples = line.sound.result()
        piece = samples[line.position : line.position + FRAME_SAMPLES - filled]
        frame[filled : filled + len(piece)] = piece
        line.position += len(piece)
        if line.position >= len(samples):
            self._heard.append(line.text)
            self._next_line()
            self._breath = _BREATH_SAMPLES if self._lines else 0
        return filled + len(piece)

    def _keep_tail(self) -> None:
        """What comes next is faded out instead of cut; silence needs none."""
        if not self._held and self._lines and self._lines[0].position > 0:
            line = self._lines[0]
            self._last_tail = line.sound.result()[line.position : line.position + _FADE_SAMPLES]

    def _play_fade(self, frame: Frame) -> int:
        tail, self._last_tail = self._last_tail, np.zeros(0, np.int16)
        frame[: len(tail)] = (tail * np.linspace(1, 0, len(tail))).astype(np.int16)
        return len(tail)

    def _next_line(self) -> None:
        self._lines.popleft()
        self._fetch()

    def _fetch(self) -> None:
        while self._waiting and len(self._lines) < 2:
            text = self._waiting.popleft()
            self._lines.append(_Line(text, self._render(text, not self._lines)))


def _rewind(line: _Line) -> None:
    """Moves to the quietest 20 ms before what the caller did not hear any more."""
    if line.position == 0:
        return
    first = max(0, line.position - _REWIND_SAMPLES)
    last = max(first, line.position - _UNHEARD_SAMPLES)
    sound = line.sound.result().astype(np.float32)
    starts = range(first, last + 1, _BLOCK_SAMPLES)
    line.position = min(starts, key=lambda at: float(np.abs(sound[at : at + _BLOCK_SAMPLES]).sum()))


def _heard_part(line: _Line) -> str:
    """The words that were played, by their share of the line's letters."""
    total = max(1, len(line.sound.result()))
    letters = int(len(line.text) * line.position / total)
    return line.text[:letters].rsplit(" ", 1)[0] if letters < len(line.text) else line.text
