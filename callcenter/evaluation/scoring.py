"""Judges a recorded call: the caller's and the agent's channel, on one clock, at 8 kHz.

Silero finds the utterances; their edges are then moved to where the sound begins and ends, to
5 ms. Turns and barge-ins are the call path's own definitions (`media.bargein`), here applied to
what was heard. Knows nothing of how the recording came about.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from callcenter.events import (
    Backchannel,
    BargeIn,
    FalseStop,
    MissedBargeIn,
    OverlapStart,
    SpeechStarted,
    SpeechStopped,
    TurnEvent,
    TurnGap,
    Yielded,
)
from callcenter.media.bargein import Party, TurnTracker
from callcenter.media.units import NARROWBAND_HZ, SILENCE_RMS, Pcm16, rms
from callcenter.media.vad import SpeechDetector

_BLOCK_SAMPLES = 40  # 5 ms
_SEARCH_S = 0.2  # how far Silero's edge may lie from the sound's
_RELATIVE_LEVEL = 0.01  # 40 dB below the utterance's loudest block: its edge, not its echo
_TAIL_S = 1.0


@dataclass(frozen=True, slots=True)
class Segment:
    """One utterance, seconds from the recording's start."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Score:
    """What happened between the two.

    Attributes:
        first_speech_s: the agent's first onset, None if it never spoke.
        turn_gaps_s: caller's end -> agent's onset.
        bargein_stops_s: caller's onset -> last agent sample heard, of each yielded barge-in.
        bargeins, missed_bargeins, false_stops, backchannels, overlap_starts: counts.
    """

    first_speech_s: float | None
    turn_gaps_s: list[float]
    bargein_stops_s: list[float]
    bargeins: int
    missed_bargeins: int
    false_stops: int
    backchannels: int
    overlap_starts: int
    agent_talk_s: float
    caller_talk_s: float
    double_talk_s: float


def segments(samples: Pcm16) -> list[Segment]:
    """Finds the utterances in int16 [n] at 8 kHz."""
    detector = SpeechDetector(NARROWBAND_HZ)
    tail = np.zeros(round(_TAIL_S * NARROWBAND_HZ), np.int16)  # closes speech at the very end
    edges = detector.push(np.concatenate((samples, tail)), 0.0)
    starts = [edge.at_s for edge in edges if isinstance(edge, SpeechStarted)]
    stops = [edge.at_s for edge in edges if isinstance(edge, SpeechStopped)]
    levels = _levels(samples)
    return [_refine(levels, Segment(*pair)) for pair in zip(starts, stops, strict=True)]


def score(caller: Pcm16, agent: Pcm16) -> Score:
    """Judges two channels, int16 [n] each, at 8 kHz, as heard at the caller's end."""
    agent_segments = segments(agent)
    tracker = TurnTracker(settle_s=0.0)
    for party, found in ((Party.CALLER, segments(caller)), (Party.AGENT, agent_segments)):
        for segment in found:
            tracker.hear(party, SpeechStarted(segment.start_s))
            tracker.hear(party, SpeechStopped(segment.end_s))
    events = tracker.pop(max(caller.size, agent.size) / NARROWBAND_HZ + _TAIL_S)
    return Score(
        first_speech_s=_rounded(agent_segments[0].start_s) if agent_segments else None,
        turn_gaps_s=[_rounded(e.gap_s) for e in events if isinstance(e, TurnGap)],
        bargein_stops_s=[_rounded(e.audible_latency_s) for e in events if isinstance(e, Yielded)],
        bargeins=_count(events, BargeIn),
        missed_bargeins=_count(events, MissedBargeIn),
        false_stops=_count(events, FalseStop),
        backchannels=_count(events, Backchannel),
        overlap_starts=_count(events, OverlapStart),
        agent_talk_s=_rounded(tracker.talk.agent_s),
        caller_talk_s=_rounded(tracker.talk.caller_s),
        double_talk_s=_rounded(tracker.talk.both_s),
    )


def _count(events: list[TurnEvent], kind: type[TurnEvent]) -> int:
    return sum(isinstance(event, kind) for event in events)


def _rounded(seconds: float) -> float:
    return round(seconds, 3)


def _levels(samples: Pcm16) -> list[float]:
    """RMS of each 5 ms block."""
    return [rms(samples[i : i + _BLOCK_SAMPLES]) for i in range(0, samples.size, _BLOCK_SAMPLES)]


def _refine(levels: list[float], rough: Segment) -> Segment:
    """Moves both edges to the first and the last sound near them."""
    block_s = _BLOCK_SAMPLES / NARROWBAND_HZ
    first, last = int(rough.start_s / block_s), int(rough.end_s / block_s)
    reach = round(_SEARCH_S / block_s)
    threshold = max(SILENCE_RMS, _RELATIVE_LEVEL * max(levels[first:last], default=0.0))
    loud = [
        index
        for index in range(max(0, first - reach), min(len(levels), last + reach))
        if levels[index] >= threshold
    ]
    if not loud:
        return rough
    return Segment(loud[0] * block_s, (loud[-1] + 1) * block_s)
