"""Frozen dataclasses that cross stations.

They carry facts and units, no behaviour. Times named `at_s` are seconds on the caller of the pure
core's own clock (`now`), already moved back to the moment when the thing was heard.
"""

from __future__ import annotations

from dataclasses import dataclass

# --- Media: who speaks, and what the other does about it ---------------------------------------


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """One direction went from silence to speech at `at_s`."""

    at_s: float


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """One direction's speech ended at `at_s`; the decision came a hangover later."""

    at_s: float


SpeechEdge = SpeechStarted | SpeechStopped


@dataclass(frozen=True, slots=True)
class TurnGap:
    """The agent answered: caller's speech end -> agent's speech onset, never negative.

    An onset while the caller still speaks is an `OverlapStart`, not a gap of 0.
    """

    at_s: float
    gap_s: float


@dataclass(frozen=True, slots=True)
class OverlapStart:
    """The agent started at `at_s` while the caller was speaking."""

    at_s: float


@dataclass(frozen=True, slots=True)
class BargeIn:
    """The caller started at `at_s` while the agent was speaking; how it ends comes later."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Yielded:
    """The agent fell silent for a barge-in.

    Attributes:
        at_s: when the agent's last sample was sent.
        latency_s: caller's onset -> agent's last sample sent.
        audible_latency_s: the same, plus what the far end had still to play.
    """

    at_s: float
    latency_s: float
    audible_latency_s: float


@dataclass(frozen=True, slots=True)
class MissedBargeIn:
    """The caller spoke longer than a backchannel over the agent, which went on regardless."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Backchannel:
    """A short caller utterance ("mhm") during agent speech, and the agent went on: as it should."""

    at_s: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class FalseStop:
    """The agent fell silent at `at_s` right after a mere backchannel."""

    at_s: float


TurnEvent = TurnGap | OverlapStart | BargeIn | Yielded | MissedBargeIn | Backchannel | FalseStop
