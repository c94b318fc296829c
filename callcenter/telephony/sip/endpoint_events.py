"""What an endpoint tells its owner, and what it wants of whoever sends requests of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from callcenter.telephony.sip.call import SipCall
from callcenter.telephony.sip.call_events import CallEvent, Output
from callcenter.telephony.sip.inbound import InboundCall
from callcenter.telephony.sip.message import Request, Response
from callcenter.telephony.sip.trunk import Trunk
from callcenter.telephony.sip.uri import Peer


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """An INVITE that may come in; it rings until its owner answers or refuses."""

    call: InboundCall
    trunk: Trunk


@dataclass(frozen=True, slots=True)
class Turned:
    """A request was turned away before it became a call.

    Attributes:
        code: short, stable: "stranger", "flood" (more messages than a host may send), "foreign"
            (for somebody else's call), "unauthorized", "rate", "half_open", "channels", "draining",
            "route" (a Record-Route that leads away from the trunk), "bad_request".
        trunk: whose; "" for a stranger.
    """

    code: str
    trunk: str = ""


EndpointEvent = IncomingCall | Turned | tuple[SipCall, CallEvent]


class Owner(Protocol):
    """Whoever sends requests of its own: a call, a registration."""

    def __hash__(self) -> int: ...

    def uses(self, peer: Peer) -> bool:
        """Whether it needs a connection to stay open."""
        ...

    def outputs(self) -> list[Output]:
        """What must be sent now."""
        ...

    def receive_response(self, request: Request, response: Response, now: float) -> None:
        """The response to a request of its own."""
        ...

    def next_timer(self) -> float | None:
        """When `handle_timer` is due."""
        ...

    def handle_timer(self, now: float) -> None:
        """Its time has come."""
        ...
