"""What a call adds to the metrics and to its record, while it goes on.

It observes and nothing else: no decision hangs on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from callcenter import metrics
from callcenter.call.machine import Outcome
from callcenter.events import (
    Backchannel,
    FalseStop,
    LegEnd,
    MissedBargeIn,
    OverlapStart,
    TurnEvent,
    TurnGap,
    Yielded,
)
from callcenter.media.quality import CallQuality
from callcenter.records.journal import Note

_RESULTS: dict[type[TurnEvent], str] = {
    Yielded: "yielded",
    Backchannel: "ignored_backchannel",
    MissedBargeIn: "missed",
    FalseStop: "false_stop",
}


def unrecorded(kind: str, data: Mapping[str, Any]) -> None:
    """The pen of a call that leaves no record."""


class CallMeter:
    """One call's metrics.

    Args:
        transport: of the leg.
        persona: slug.
        announced_at: when the carrier first spoke of the call.
        note: writes into the call's record.
    """

    def __init__(
        self, transport: str, persona: str, announced_at: float, note: Note = unrecorded
    ) -> None:
        self._note = note
        self._transport = transport
        self._persona = persona
        self._announced_at = announced_at
        self._engine = ""  # until a session is ready, nobody speaks and no turn is counted
        self._is_set_up = False
        self._sound_seen = False
        self._counted: CallQuality | None = None

    def began(self) -> None:
        """The leg is open."""
        metrics.CALLS_ACTIVE.labels(self._transport).inc()

    def ended(self, outcome: Outcome, *, worker_lost: bool = False) -> None:
        """The call is over; `worker_lost` if that is because no other worker took it over."""
        if worker_lost:
            metrics.RECLAIMS.labels("lost").inc()
        metrics.CALLS_ACTIVE.labels(self._transport).dec()
        metrics.CALLS.labels(self._transport, outcome.value).inc()

    def leg_ended(self, reason: LegEnd) -> None:
        """The caller or the carrier is gone."""
        metrics.LEG_ENDS.labels(self._transport, reason.value).inc()

    def session_ready(self, now: float, engine: str) -> None:
        """Media flows both ways; only a call's first session counts as its set-up."""
        self._engine = engine
        metrics.SESSIONS.labels(self._persona, engine).inc()
        if self._is_set_up:
            metrics.RECLAIMS.labels("moved").inc()
            return
        self._is_set_up = True
        elapsed_s = max(0.0, now - self._announced_at)
        metrics.CALL_SETUP_SECONDS.labels(self._transport).observe(elapsed_s)
        self._note("session_ready", {"setup_s": round(elapsed_s, 3)})

    def first_sound(self, after_s: float) -> None:
        """The agent's first sound, so long after media began; later calls change nothing."""
        if not self._sound_seen:
            self._sound_seen = True
            metrics.FIRST_AUDIO_SECONDS.labels(self._transport, self._persona).observe(after_s)
            self._note("first_sound", {"after_s": round(after_s, 3)})

    def turn(self, event: TurnEvent) -> None:
        """Something became certain about the turns."""
        speaker = self._persona, self._engine
        self._note("turn", _turn_data(event))
        if isinstance(event, TurnGap):
            metrics.TURN_GAP_SECONDS.labels(*speaker, "gap").observe(event.gap_s)
        elif isinstance(event, OverlapStart):
            metrics.TURN_OVERLAP_STARTS.labels(*speaker).inc()
        if (result := _RESULTS.get(type(event))) is not None:
            metrics.BARGEIN.labels(*speaker, result).inc()
        if isinstance(event, Backchannel):
            metrics.BACKCHANNELS.labels(self._persona, "user").inc()
        if isinstance(event, Yielded):
            overrun_s = event.audible_latency_s - event.latency_s
            metrics.BARGEIN_STOP_SECONDS.labels(*speaker).observe(event.latency_s)
            metrics.BARGEIN_AUDIBLE_STOP_SECONDS.labels(*speaker).observe(event.audible_latency_s)
            metrics.BARGEIN_OVERRUN_SECONDS.labels(*speaker).observe(max(0.0, overrun_s))

    def waited(self, waited_s: float) -> None:
        """A frame of the caller lay so long at the worker before its tick."""
        metrics.MEDIA_JITTER_BUFFER_SECONDS.labels(self._transport).observe(waited_s)

    def send_lead(self, backlog_s: float) -> None:
        """Samples how much agent audio waits at the far end."""
        metrics.MEDIA_SEND_LEAD_SECONDS.labels(self._transport).observe(backlog_s)

    def quality(self, now_is: CallQuality) -> None:
        """Adds what the call's counters gained since the last time."""
        before = self._counted
        self._counted = now_is
        gains = {
            name: getattr(now_is, name) - (getattr(before, name) if before else 0)
            for name in CallQuality.__dataclass_fields__
        }
        metrics.MEDIA_PACKETS.labels(self._transport, "in").inc(gains["packets_in"])
        metrics.MEDIA_PACKETS.labels(self._transport, "out").inc(gains["packets_out"])
        metrics.MEDIA_PACKETS_LOST.labels(self._transport).inc(max(0, gains["packets_lost"]))
        metrics.MEDIA_FRAMES_DROPPED.labels("in", "late_or_fast").inc(gains["frames_dropped"])
        metrics.MEDIA_PACKETS_TRIMMED.labels(self._transport).inc(gains["packets_trimmed"])
        metrics.MEDIA_PACKETS_CONCEALED.labels(self._transport).inc(gains["packets_concealed"])
        metrics.AGENT_TALK_SECONDS.labels(self._persona).inc(gains["agent_talk_s"])
        metrics.USER_TALK_SECONDS.labels(self._persona).inc(gains["caller_talk_s"])
        metrics.DOUBLE_TALK_SECONDS.labels(self._persona).inc(gains["double_talk_s"])


def _turn_data(event: TurnEvent) -> dict[str, Any]:
    """A turn event for the record: its kind and durations; `at_s` is a clock of this process."""
    durations = {name: round(value, 3) for name, value in asdict(event).items() if name != "at_s"}
    return {"kind": type(event).__name__, **durations}
