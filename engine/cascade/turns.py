"""Whose turn is it? Speech judgements in, turn events out.

A pure machine over chunks of 32 ms: it times the caller's bursts and pauses against what the
agent is doing. It knows neither samples nor words; the verdicts that need them (is the turn
complete, is this burst a backchannel) come in as calls.

    silent --voice--> burst --200 ms--> turn --pause--> paused --long enough--> TurnEnded
                        |  agent speaks: surely no backchannel -> Interrupted, then turn
                        |                else -> Hesitated; 240 ms later Interrupted or WentOn
                        '--over before that--> ShortBurst

Over its own speech the agent hesitates as people do: it pauses in the middle of the word as soon as
somebody may want the floor, and makes up its mind while it listens. So an interruption is met with
silence at once, and an "mm-hm" with less than a breath of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

CHUNK_S: Final = 0.032
# 200 ms of speech; less is a click or a breath. Silero hears an onset about 40 ms late.
MIN_SPEECH_S: Final = 0.16
LOOK_AFTER_S: Final = 0.12  # of pause: time to look at the words, for the turn may be over
SURE_END_S: Final = 0.35  # of pause that ends a turn which sounds complete
LIKELY_END_S: Final = 0.6  # ... which may be complete
DOUBTFUL_END_S: Final = 1.1  # ... which sounds cut off: the caller is thinking
HESITATE_AFTER_S: Final = 0.11  # of a burst, as Silero hears it: nearly 200 ms of it are over
CONFIRMED_S: Final = 0.2  # of a burst that may take the floor for good
HESITATION_S: Final = 0.24  # three frames; a longer silence is a stop to whoever listens
# Log-odds of a backchannel: the floor is yielded at once.
SURE_INTERRUPTION: Final = -3.0
DOUBTFUL: Final = -0.3  # yielded to after a hesitation, if it still goes on
LIKELY_INTERRUPTION: Final = -1.5  # yielded to although it is over, or was let pass before
BACKCHANNEL_MAX_S: Final = 0.9  # a burst longer than this is no "mm-hm"
BURST_GAP_S: Final = 0.24  # of silence that ends a burst
SILENCE_S: Final = 6.0  # after which the agent asks
MAX_TURN_S: Final = 28.0  # of one turn; Whisper hears no more
LEAD_IN_S: Final = 0.3  # of sound before the first voice that belongs to the turn


@dataclass(frozen=True, slots=True)
class Event:
    """Something about turns; `start_s` and `end_s` are on the call's clock."""

    start_s: float
    end_s: float


class Paused(Event):
    """The caller pauses: look at [start, end] now, the turn may be over."""


class Resumed(Event):
    """The caller goes on: what was thought about the turn is void."""


class TurnEnded(Event):
    """The caller's turn is over."""


class TurnCut(Event):
    """The caller speaks on, but longer than can be understood at once: answer what there is."""


class Hesitated(Event):
    """The caller may want the floor: pause in the middle of the word."""


class WentOn(Event):
    """The caller did not want it: go on where the pause began."""


class Interrupted(Event):
    """The caller wants the floor: fall silent now."""


class ShortBurst(Event):
    """A short sound during the agent's speech is over; it did not take the floor."""


class LongTurn(Event):
    """A pause inside a long turn: the place for an "mm-hm"."""


class SilenceElapsed(Event):
    """Nobody has spoken for `SILENCE_S`."""


class _State(Enum):
    SILENT = auto()
    BURST = auto()
    TURN = auto()
    PAUSE = auto()


class TurnTracker:
    """The turn state of one call."""

    def __init__(self) -> None:
        self._state = _State.SILENT
        self._start_s = 0.0
        self._first_voice_s = 0.0
        self._voice_s = 0.0
        self._last_voice_s = 0.0
        self._quiet_since_s = 0.0
        self._hesitated_s: float | None = None  # in the present burst
        self._hesitates = False
        self._end_after_s = DOUBTFUL_END_S
        self._looked = False
        self._nodded_s = 0.0

    @property
    def hears_voice(self) -> bool:
        """True while any burst or turn is open."""
        return self._state is not _State.SILENT

    def open_burst(self, now_s: float) -> Event | None:
        """Returns the burst over the agent's speech that wants to be judged now, if there is one.

        It begins with its lead-in and ends at `now_s`; `judge_burst` takes the verdict.
        """
        if self._state is not _State.BURST:
            return None
        return Event(self._start_s, now_s) if self._burst_s(now_s) >= HESITATE_AFTER_S else None

    def update(self, voiced: bool, agent_speaking: bool, now_s: float) -> list[Event]:
        """Takes one chunk that ended at `now_s`."""
        if agent_speaking:
            self._quiet_since_s = now_s
        if voiced:
            return self._voice(agent_speaking, now_s)
        return self._quiet(agent_speaking, now_s)

    def judge_turn(self, finished: float, understood: bool) -> None:
        """Takes the verdict on the present pause; void once the caller goes on.

        Args:
            finished: probability that the turn sounds complete.
            understood: True when its words are surely a complete request.
        """
        if self._state is not _State.PAUSE:
            return
        if finished >= 0.8 or (understood and finished >= 0.3):
            self._end_after_s = SURE_END_S
        elif finished >= 0.5 or understood:
            self._end_after_s = LIKELY_END_S

    def judge_burst(self, backchannel: float, now_s: float) -> list[Event]:
        """Takes the verdict on the open burst.

        Args:
            backchannel: log-odds of "mm-hm" against "excuse me".
            now_s: end of what was judged.
        """
        if self._state is not _State.BURST:
            return []
        if backchannel < SURE_INTERRUPTION and self._burst_s(now_s) >= CONFIRMED_S:
            return self._interrupt(now_s)
        if self._hesitated_s is None:
            return self._hesitate(now_s)
        if now_s - self._hesitated_s < HESITATION_S - CHUNK_S:
            return []
        goes_on = self._last_voice_s >= now_s - 1e-6
        if backchannel < (DOUBTFUL if self._hesitates and goes_on else LIKELY_INTERRUPTION):
            return self._interrupt(now_s)
        return self._go_on(now_s)

    def _voice(self, agent_speaking: bool, now_s: float) -> list[Event]:
        self._voice_s += CHUNK_S
        self._last_voice_s = now_s
        self._quiet_since_s = now_s
        if self._state is _State.SILENT:
            self._open(now_s)
        if self._state is _State.BURST:
            return self._burst(agent_speaking, now_s)
        if self._state is _State.PAUSE:
            self._state = _State.TURN
            if self._looked:
                self._looked = False
                return [Resumed(self._start_s, now_s)]
        if now_s - self._start_s < MAX_TURN_S:
            return []
        self._end(now_s)
        return [TurnCut(self._start_s, now_s)]

    def _open(self, now_s: float) -> None:
        self._state = _State.BURST
        self._first_voice_s = now_s - CHUNK_S
        self._start_s = max(0.0, now_s - CHUNK_S - LEAD_IN_S)
        self._voice_s = CHUNK_S
        self._hesitated_s = None
        self._looked = False
        self._nodded_s = now_s

    def _burst(self, agent_speaking: bool, now_s: float) -> list[Event]:
        if self._voice_s < MIN_SPEECH_S - 1e-6:
            return []
        if not agent_speaking:
            self._state = _State.TURN
            return self._go_on(now_s)
        return self._interrupt(now_s) if self._voice_s >= BACKCHANNEL_MAX_S else []

    def _burst_s(self, now_s: float) -> float:
        """How long the present burst has lasted, its pauses included."""
        return now_s - self._first_voice_s

    def _interrupt(self, now_s: float) -> list[Event]:
        self._state = _State.TURN
        self._hesitates = False
        return [Interrupted(self._start_s, now_s)]

    def _hesitate(self, now_s: float) -> list[Event]:
        self._hesitated_s = now_s
        self._hesitates = True
        return [Hesitated(self._start_s, now_s)]

    def _go_on(self, now_s: float) -> list[Event]:
        hesitated, self._hesitates = self._hesitates, False
        return [WentOn(self._start_s, now_s)] if hesitated else []

    def _quiet(self, agent_speaking: bool, now_s: float) -> list[Event]:
        pause_s = now_s - self._last_voice_s
        if self._state is _State.SILENT:
            return self._nobody(agent_speaking, now_s)
        if self._state is _State.BURST:
            return self._burst_over(now_s) if pause_s >= BURST_GAP_S else []
        if self._state is _State.TURN:
            self._state = _State.PAUSE
            self._end_after_s = DOUBTFUL_END_S
            self._looked = False
        return self._pause(pause_s, now_s)

    def _pause(self, pause_s: float, now_s: float) -> list[Event]:
        if not self._looked and pause_s >= LOOK_AFTER_S:
            self._looked = True
            return [Paused(self._start_s, now_s)]
        if pause_s >= self._end_after_s:
            return self._end(now_s)
        if pause_s >= LIKELY_END_S and now_s - self._nodded_s >= 5.0:
            self._nodded_s = now_s
            return [LongTurn(self._start_s, now_s)]
        return []

    def _burst_over(self, now_s: float) -> list[Event]:
        long_enough = self._voice_s >= 0.6 * MIN_SPEECH_S
        self._state = _State.SILENT
        over: list[Event] = [ShortBurst(self._start_s, now_s)] if long_enough else []
        return self._go_on(now_s) + over

    def _nobody(self, agent_speaking: bool, now_s: float) -> list[Event]:
        if agent_speaking or now_s - self._quiet_since_s < SILENCE_S:
            return []
        self._quiet_since_s = now_s
        return [SilenceElapsed(now_s - SILENCE_S, now_s)]

    def _end(self, now_s: float) -> list[Event]:
        self._state = _State.SILENT
        self._quiet_since_s = now_s
        return [TurnEnded(self._start_s, now_s)]
