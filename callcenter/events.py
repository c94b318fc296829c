"""What the stations of a call tell each other: frozen dataclasses, nothing else.

They know no carrier, no socket and no clock; a moment is always an argument of whoever receives
an event.
"""

from __future__ import annotations

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
    """

    encoding: str
    rate_hz: int
    attributes: Mapping[str, str] = field(default_factory=dict)


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


@dataclass(frozen=True, slots=True)
class LegEnded:
    """The caller or the carrier is gone.

    Attributes:
        reason: "hangup" after an orderly end, "lost" when the connection just broke.
    """

    reason: str


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
        name: "hangup" or "handoff".
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
)
