"""Who has the floor: turns, overlaps and barge-ins from the voice activity of both directions.

Edges come with the time they are true for, which lies before the time they are decided (a
detector waits out a hangover before it calls a pause an end). So edges wait here until no earlier
one can come any more (`SETTLE_S`), and are then worked through in the order of their true times.
Events are that much late and exactly dated. The resolution is the detector's: one window of 32 ms,
its onset and end both being window edges.

    barge-in      caller starts while the agent speaks, and both speak for 60 ms: an agent that
                  ends sooner had finished anyway, nothing reacts within less than a frame
    yielded       ... and the agent falls silent: latency = caller's onset -> agent's last sample
    missed        ... and the agent is still speaking 0.5 s after the caller has finished
    backchannel   ... but the caller said < 0.6 s and the agent went on, as it should
    false stop    ... the caller said < 0.6 s, and the agent stopped within 0.5 s after it
    turn gap      caller's end -> agent's onset; never negative: an onset while the caller speaks
                  is an overlap start, counted by itself

Knows nothing of audio, and gives no commands.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from enum import Enum

from callcenter.events import (
    Backchannel,
    BargeIn,
    FalseStop,
    MissedBargeIn,
    OverlapStart,
    SpeechEdge,
    SpeechStarted,
    TurnEvent,
    TurnGap,
    Yielded,
)
from callcenter.media.units import FRAME_S, SPEECH_HANGOVER_S, SPEECH_WINDOW_S

# A detector decides at most a hangover after the truth, plus the frame and the window it waited
# for; one more frame for the frames of the two directions not coming together.
SETTLE_S = SPEECH_HANGOVER_S + SPEECH_WINDOW_S + 2 * FRAME_S

COINCIDENCE_S = 0.06  # two windows, rounded down
BACKCHANNEL_MAX_S = 0.6
AFTERMATH_S = 0.5  # an agent that stops within this after a backchannel stopped because of it


class Party(Enum):
    """The two directions."""

    CALLER = "caller"
    AGENT = "agent"


@dataclass(slots=True)
class TalkTime:
    """Seconds of speech so far."""

    caller_s: float = 0.0
    agent_s: float = 0.0
    both_s: float = 0.0


@dataclass(slots=True)
class _Barge:
    """A caller utterance that began over the agent; `ended_s` once it is over."""

    onset_s: float
    ended_s: float | None = None
    announced: bool = False

    def is_short(self) -> bool:
        return self.ended_s is not None and self.ended_s - self.onset_s < BACKCHANNEL_MAX_S


class TurnTracker:
    """Follows one call."""

    def __init__(self, settle_s: float = SETTLE_S) -> None:
        """`settle_s` 0.0 is for edges that already come in the order of their true times."""
        self._settle_s = settle_s
        self._edges: list[tuple[float, int, Party, bool, float]] = []
        self._serial = 0
        self._speaking = {Party.CALLER: False, Party.AGENT: False}
        self._counted_to_s = 0.0
        self._barge: _Barge | None = None
        self._turn_ended_s: float | None = None
        self._events: list[TurnEvent] = []
        self.talk = TalkTime()

    def hear(self, party: Party, edge: SpeechEdge, playout_lag_s: float = 0.0) -> None:
        """Takes an edge of one direction.

        Args:
            party: who started or stopped.
            edge: the edge, at its true time; for the agent the time its audio was sent.
            playout_lag_s: for the agent, how much later than sent it is heard; negative for the
                end of sound that a flush took away.
        """
        self._serial += 1  # keeps the heap from comparing parties
        starts = isinstance(edge, SpeechStarted)
        heapq.heappush(self._edges, (edge.at_s, self._serial, party, starts, playout_lag_s))

    def pop(self, now: float) -> list[TurnEvent]:
        """Returns what has become certain by `now`, in order."""
        settled_s = now - self._settle_s
        while self._edges and self._edges[0][0] <= settled_s:
            at_s, _, party, starts, lag_s = heapq.heappop(self._edges)
            self._advance(at_s)
            self._edge(party, starts, at_s, lag_s)
        self._advance(settled_s)
        events, self._events = self._events, []
        return events

    def _edge(self, party: Party, starts: bool, at_s: float, lag_s: float) -> None:
        if self._speaking[party] == starts:
            return
        self._speaking[party] = starts
        if party is Party.CALLER:
            self._caller_starts(at_s) if starts else self._caller_stops(at_s)
        else:
            self._agent_starts(at_s) if starts else self._agent_stops(at_s, lag_s)

    def _caller_starts(self, at_s: float) -> None:
        self._turn_ended_s = None
        if not self._speaking[Party.AGENT]:
            return
        if self._barge is not None:  # a pause within one utterance over the agent
            self._barge.ended_s = None
            return
        self._barge = _Barge(at_s)

    def _caller_stops(self, at_s: float) -> None:
        if self._barge is None:
            if not self._speaking[Party.AGENT]:
                self._turn_ended_s = at_s
            return
        self._barge.ended_s = at_s

    def _agent_starts(self, at_s: float) -> None:
        if self._speaking[Party.CALLER]:
            self._events.append(OverlapStart(at_s))
        elif self._turn_ended_s is not None:
            self._events.append(TurnGap(at_s, at_s - self._turn_ended_s))
        self._turn_ended_s = None

    def _agent_stops(self, at_s: float, lag_s: float) -> None:
        barge, self._barge = self._barge, None
        if barge is None:
            return
        if barge.announced and barge.is_short():
            self._events.append(FalseStop(at_s))
            return
        if barge.announced:
            latency_s = at_s - barge.onset_s
            self._events.append(Yielded(at_s, latency_s, latency_s + lag_s))
        self._turn_ended_s = barge.ended_s

    def _advance(self, to_s: float) -> None:
        """Lets time pass to `to_s`: the talk clocks run, and a barge-in may be over."""
        self._count_talk(to_s)
        barge = self._barge
        if barge is None:
            return
        if not barge.announced and to_s >= barge.onset_s + COINCIDENCE_S:
            barge.announced = True
            self._events.append(BargeIn(barge.onset_s))
        if barge.ended_s is None or to_s < barge.ended_s + AFTERMATH_S:
            return
        self._barge = None
        if barge.is_short():
            self._events.append(Backchannel(barge.onset_s, barge.ended_s - barge.onset_s))
        else:
            self._events.append(MissedBargeIn(barge.onset_s))

    def _count_talk(self, to_s: float) -> None:
        elapsed_s = max(0.0, to_s - self._counted_to_s)
        caller, agent = self._speaking[Party.CALLER], self._speaking[Party.AGENT]
        self.talk.caller_s += elapsed_s * caller
        self.talk.agent_s += elapsed_s * agent
        self.talk.both_s += elapsed_s * (caller and agent)
        self._counted_to_s = max(self._counted_to_s, to_s)
