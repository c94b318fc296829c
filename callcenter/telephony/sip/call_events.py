"""What a call hands over: messages that must be sent, and what happened. Values alone."""

from __future__ import annotations

from dataclasses import dataclass

from callcenter.telephony.sip.media_plan import MediaPlan
from callcenter.telephony.sip.message import Request, Response
from callcenter.telephony.sip.uri import Peer

# --- outputs --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer a request, through its transaction."""

    request: Request
    response: Response


@dataclass(frozen=True, slots=True)
class Ask:
    """Send a request, in a transaction of its own (an ACK: in none)."""

    request: Request
    peer: Peer


@dataclass(frozen=True, slots=True)
class Repeat:
    """Send a 2xx once more; no transaction does that (RFC 3261 13.3.1.4)."""

    data: bytes
    peer: Peer


Output = Respond | Ask | Repeat

# --- events ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MediaAgreed:
    """Audio flows, or flows otherwise than before."""

    plan: MediaPlan


@dataclass(frozen=True, slots=True)
class Answered:
    """A call of ours was answered."""


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """A key, by INFO."""

    digit: str


@dataclass(frozen=True, slots=True)
class Transferred:
    """What became of a REFER: the status of the far end's new call; 408 when it never told."""

    status: int


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call is over.

    Attributes:
        reason: "hangup", "cancelled", "refused", "no_ack", "session_expired", "lost", "local".
    """

    reason: str


CallEvent = MediaAgreed | Answered | DigitPressed | Transferred | CallEnded
