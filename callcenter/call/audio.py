"""One call's audio in both directions, and who speaks in it.

    leg payload -> Uplink -> frames for the engine     caller's speech --.
                                                                          +-> TurnTracker -> events
    engine's frame -> Downlink -> payloads, marks      agent's speech ---'

It joins the cores of `media`; like them it reads no clock and sends nothing. Audio goes on at once;
who speaks in it is judged when somebody asks, so no packet waits for a model. It does not know who
carries the audio, nor what becomes of the events.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from callcenter.events import LegStarted, SpeechEdge, TurnEvent
from callcenter.media.bargein import Party, TurnTracker
from callcenter.media.codec import codec
from callcenter.media.downlink import Downlink, Outgoing
from callcenter.media.framer import Framer
from callcenter.media.quality import CallQuality, call_quality
from callcenter.media.units import FRAME_S, Pcm16, is_silent
from callcenter.media.uplink import Uplink
from callcenter.media.vad import SpeechDetector

MAX_UNJUDGED = 250  # chunks of 80 ms: 10 s of both directions
SENT_KEPT = 16  # frames of the agent: an edge is dated back by less than a second
FLUSHES_KEPT = 8


@dataclass(frozen=True, slots=True)
class _Unjudged:
    """80 ms of one party at the wire's rate; unless flushed, heard `lag_s` later than `start_s`."""

    party: Party
    samples: Pcm16
    start_s: float
    lag_s: float = 0.0


class CallAudio:
    """Both directions of one call.

    Attributes:
        started_at: when media began.
        first_sound_at: when the agent's first audible frame was handed over; None before.
    """

    def __init__(self, leg: LegStarted, now: float) -> None:
        """Prepares for the wire's form, as the leg tells it.

        Raises:
            ProtocolError: the encoding or the rate is not supported.
        """
        encoding, rate_hz = leg.encoding, leg.rate_hz
        self.started_at = now
        self.first_sound_at: float | None = None
        self._uplink = Uplink(encoding, rate_hz)
        self._downlink = Downlink(encoding, rate_hz, paced=leg.paced, any_length=leg.any_length)
        self._bytes_per_s = rate_hz * codec(encoding).bytes_per_sample
        self._heard_s = 0.0
        self._tracker = TurnTracker()
        self._detectors = {party: SpeechDetector(rate_hz) for party in Party}
        self._caller = Framer(round(rate_hz * FRAME_S))
        self._unjudged: deque[_Unjudged] = deque(maxlen=MAX_UNJUDGED)
        self._edges: list[tuple[Party, SpeechEdge]] = []
        self._sent: deque[_Unjudged] = deque(maxlen=SENT_KEPT)
        self._flushed_at_s: deque[float] = deque(maxlen=FLUSHES_KEPT)

    def heard(self, payload: bytes, timestamp_s: float | None, now: float) -> list[Pcm16]:
        """Takes audio of the caller; returns the frames that it completes, int16 [1920] each."""
        self._heard_s += len(payload) / self._bytes_per_s
        self._caller.push(self._uplink.push(payload, now, timestamp_s))
        while (spoken := self._caller.pop()) is not None:
            self._unjudged.append(_Unjudged(Party.CALLER, spoken, now - FRAME_S))
        frames = []
        while (frame := self._uplink.pop(now)) is not None:
            frames.append(frame)
        return frames

    def waited(self, waited_s: float) -> None:
        """The worker says how long a frame of the caller lay there before its tick."""
        self._uplink.waited(waited_s)

    def said(self, frame: Pcm16, now: float) -> list[Outgoing]:
        """Takes one frame of the agent; returns what must be sent to the leg now."""
        if self.first_sound_at is None and not is_silent(frame):
            self.first_sound_at = now
        lag_s = self._downlink.backlog_s(now)
        spoken = self._downlink.push(frame, now)
        lag_s = max(lag_s, self._downlink.backlog_s(now) - FRAME_S)  # a cushion went ahead of it
        self._unjudged.append(_Unjudged(Party.AGENT, spoken, now, lag_s))
        return self._downlink.pop()

    def lead_s(self, now: float) -> float:
        """How far the caller's audio has run ahead of real time; negative after gaps."""
        return self._heard_s - (now - self.started_at)

    def backlog_s(self, now: float) -> float:
        """Agent audio that the caller has still to hear."""
        return self._downlink.backlog_s(now)

    def mark_played(self, name: str, now: float) -> None:
        """The leg says that a mark was reached."""
        self._downlink.mark_played(name, now)

    def flush(self, now: float) -> None:
        """The leg was told to throw away what it has not played."""
        self._downlink.flush(now)
        self._flushed_at_s.append(now)

    def turn_events(self, now: float) -> list[TurnEvent]:
        """What became certain about the turns since the last call."""
        self._judge()
        return self._tracker.pop(now)

    def speech_edges(self) -> list[tuple[Party, SpeechEdge]]:
        """Who began or ceased to speak since the last call, in the order of hearing."""
        self._judge()
        edges, self._edges = self._edges, []
        return edges

    def quality(self) -> CallQuality:
        """All counters so far."""
        return call_quality(self._uplink.counters, self._downlink.counters, self._tracker.talk)

    def _judge(self) -> None:
        """Finds who began or ceased to speak in what has passed since the last time."""
        while self._unjudged:
            chunk = self._unjudged.popleft()
            if chunk.party is Party.AGENT:
                self._sent.append(chunk)
            for edge in self._detectors[chunk.party].push(chunk.samples, chunk.start_s):
                self._edges.append((chunk.party, edge))
                lag_s = self._lag_s(edge.at_s) if chunk.party is Party.AGENT else 0.0
                self._tracker.hear(chunk.party, edge, lag_s)

    def _lag_s(self, at_s: float) -> float:
        """How much later than `at_s` the caller hears what the agent said then.

        Negative for sound that a flush took away before its time had come.
        """
        sent = next((frame for frame in reversed(self._sent) if frame.start_s < at_s), None)
        if sent is None:
            return 0.0
        cut_s = min((at for at in self._flushed_at_s if at >= sent.start_s), default=math.inf)
        return min(at_s + sent.lag_s, cut_s) - at_s
