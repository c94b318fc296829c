"""What the stations of a call tell each other: frozen dataclasses, nothing else.

They know no carrier, no socket and no clock; a moment is always an argument of whoever receives
an event. Times named `at_s` are seconds on that receiver's clock (`now`), already moved back to the
moment when the thing was heard.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

# === leg: what a carrier says about its side of the call ==========================================


@dataclass(frozen=True, slots=True)
class LegStarted:
    """Media may flow. The carrier says in which form.

    Attributes:
        encoding: the carrier's name of the codec, such as "audio/x-mulaw".
        rate_hz: samples a second on the wire.
        attributes: what the carrier knows besides, by its own names.
        paced: the leg itself sends a packet every 20 ms from a queue of its own, so that no
            network stands before its playout; less audio needs to wait there.
        any_length: the far end takes audio of any length in one message, so that a frame of the
            agent costs one and not four.
    """

    encoding: str
    rate_hz: int
    attributes: Mapping[str, str] = field(default_factory=dict)
    paced: bool = False
    any_length: bool = False


@dataclass(frozen=True, slots=True)
class LegAudio:
    """Audio of the caller, as it came over the wire; usually one packet of 20 ms.

    Attributes:
        payload: encoded samples.
        timestamp_s: the carrier's media time of the first sample; None where it tells none.
    """

    payload: bytes
    timestamp_s: float | None = None


@dataclass(frozen=True, slots=True)
class LegDigit:
    """The caller pressed a key: 0-9, *, # or A-D."""

    digit: str


@dataclass(frozen=True, slots=True)
class LegMarkPlayed:
    """Everything that was sent before this mark was played, or thrown away by a clear."""

    name: str


class LegEnd(enum.StrEnum):
    """Why a leg ended; in the record it is the call's end code."""

    HANGUP = "hangup"  # in order: somebody hung up, or took the caller over
    LOST = "lost"  # the connection broke, or the far end no longer answered
    RTP_TIMEOUT = "rtp_timeout"  # signalling was there, but no audio came any more
    SESSION_EXPIRED = "session_expired"  # the far end no longer refreshed the call (RFC 4028)
    NO_ACK = "no_ack"  # our answer was never acknowledged (RFC 3261 13.3.1.4)


@dataclass(frozen=True, slots=True)
class LegEnded:
    """The caller or the carrier is gone.

    Attributes:
        reason: why.
    """

    reason: LegEnd


@dataclass(frozen=True, slots=True)
class LegMisbehaved:
    """The carrier's side broke the protocol; nothing more is read from it.

    Attributes:
        code: short and stable, a metric label: "malformed", "too_large", "too_fast", ...
        detail: for the log: what was wrong.
    """

    code: str
    detail: str


LegEvent = LegStarted | LegAudio | LegDigit | LegMarkPlayed | LegEnded | LegMisbehaved

# === call: what happens to the session and to the call as a whole =================================


@dataclass(frozen=True, slots=True)
class SessionReady:
    """The worker admitted the session; frames flow from now on."""


@dataclass(frozen=True, slots=True)
class SessionLost:
    """No (more) session on that worker: refused, ended by the worker, or the link broke.

    Attributes:
        code: short and stable: "no_capacity", "draining", "unauthorized", "link_lost", ...
    """

    code: str


@dataclass(frozen=True, slots=True)
class SlotClaimed:
    """The broker found a new slot for a call that had lost its session."""


@dataclass(frozen=True, slots=True)
class SlotRefused:
    """The broker found none.

    Attributes:
        code: "no_capacity" or "broker_unavailable".
    """

    code: str


@dataclass(frozen=True, slots=True)
class ActionRequested:
    """The agent asks for a command to the call.

    Attributes:
        name: "hangup", "handoff", or "yield": let the caller hear nothing of what is queued.
    """

    name: str


@dataclass(frozen=True, slots=True)
class TransferDone:
    """The carrier took the caller over to the transfer's target."""


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """The carrier did not; the caller is still on the line.

    Attributes:
        detail: for the log.
    """

    detail: str


@dataclass(frozen=True, slots=True)
class TimeIsUp:
    """The machine's own deadline passed; which one depends on its state."""


@dataclass(frozen=True, slots=True)
class GatewayStops:
    """This gateway is going away and its grace is over."""


@dataclass(frozen=True, slots=True)
class OperatorHangsUp:
    """A person who watches the call ends it."""


@dataclass(frozen=True, slots=True)
class OperatorTransfers:
    """A person who watches the call hands the caller over.

    Attributes:
        number: to whom.
    """

    number: str


CallEvent = (
    LegEvent
    | SessionReady
    | SessionLost
    | SlotClaimed
    | SlotRefused
    | ActionRequested
    | TransferDone
    | TransferFailed
    | TimeIsUp
    | GatewayStops
    | OperatorHangsUp
    | OperatorTransfers
)

# === media: who speaks, and what the other does about it ==========================================


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
        audible_latency_s: caller's onset -> the last that the caller heard: the same, plus what the
            far end had still to play, unless it was flushed.
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
