"""What did the caller say? The jobs that find out, from a pause that may end a turn to its words.

Every pause is looked at while it lasts, so that the words are there when the turn is over. This
module does not know who speaks when (`turns` says so) nor what is answered; it runs on the tick
thread, which submits and polls and never waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.cascade.matching import Match
from engine.cascade.recogniser import Heard
from engine.cascade.turns import Event
from engine.cascade.workshop import TooManyJobsError

Floats = NDArray[np.float32]
Submit = Callable[[Callable[[], Any]], Future[Any]]


@dataclass(frozen=True, slots=True)
class Words:
    """What was heard, and the intents that fit it, best first."""

    heard: Heard
    ranking: Sequence[Match]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of a pause: how likely the turn is complete by its sound, and its words so far."""

    finished: float
    words: Words


@dataclass(frozen=True, slots=True)
class _Look:
    """One look; only a pause inside a turn is asked whether it sounds complete."""

    words: Future[Words]
    finished: Future[float] | None = None

    def cancel(self) -> None:
        self.words.cancel()
        if self.finished:
            self.finished.cancel()


class Looks:
    """The looks at one caller's sound.

    Args:
        sound: the caller's sound in an event's time, float32 [n] at 16 kHz.
        understand: sound -> words; runs in a worker thread.
        finished: sound -> probability of a complete turn; runs in a worker thread.
        submit: hands work to the worker threads; may raise `TooManyJobsError`.
    """

    def __init__(
        self,
        sound: Callable[[Event], Floats],
        understand: Callable[[Floats], Words],
        finished: Callable[[Floats], float],
        submit: Submit,
    ) -> None:
        self._sound = sound
        self._understand = understand
        self._finished = finished
        self._submit = submit
        self._look: _Look | None = None
        self._ended: Event | None = None  # a turn whose words are awaited
        self._short: Future[Words] | None = None

    def pause(self, event: Event) -> None:
        """A pause in a turn; not looked at while the words of the turn before are awaited."""
        if self._ended is not None:
            return
        self._drop()
        speech = self._sound(event)
        try:
            finished = self._submit(lambda: self._finished(speech))
            words = self._submit(lambda: self._understand(speech))
        except TooManyJobsError:
            return  # the end of the turn looks again
        self._look = _Look(words, finished)

    def resumed(self) -> None:
        """The caller goes on: the look at the pause is void."""
        if self._ended is None:
            self._drop()

    def turn_ended(self, event: Event) -> None:
        """The turn is over; one that nobody has understood yet belongs to it."""
        if self._ended is not None:
            self._drop()
            event = Event(self._ended.start_s, event.end_s)
        self._ended = event

    def burst_over(self, event: Event) -> None:
        """A short sound over the agent's speech; a second one at the same time is let go."""
        if self._short is not None:
            return
        speech = self._sound(event)
        try:
            self._short = self._submit(lambda: self._understand(speech))
        except TooManyJobsError:
            return  # and so is one in a storm of work

    def pause_verdict(self) -> Verdict | None:
        """What is known about the present pause; None before, and once the turn is over."""
        look = self._look
        if self._ended is not None or look is None or look.finished is None:
            return None
        if not (look.words.done() and look.finished.done()):
            return None
        return Verdict(look.finished.result(), look.words.result())

    def turn_words(self) -> Words | None:
        """Returns the words of a turn that is over, once."""
        if self._ended is None:
            return None
        if self._look is None:
            self._look_at_turn(self._ended)
        if self._look is None or not self._look.words.done():
            return None
        words = self._look.words.result()
        self._look = self._ended = None
        return words

    def burst_words(self) -> Words | None:
        """Returns the words of a short sound, once."""
        if self._short is None or not self._short.done():
            return None
        words, self._short = self._short.result(), None
        return words

    def close(self) -> None:
        """Drops what is still under way."""
        self._drop()
        if self._short:
            self._short.cancel()

    def _look_at_turn(self, event: Event) -> None:
        speech = self._sound(event)
        try:
            self._look = _Look(self._submit(lambda: self._understand(speech)))
        except TooManyJobsError:
            return  # the next tick tries again

    def _drop(self) -> None:
        if self._look:
            self._look.cancel()
            self._look = None
