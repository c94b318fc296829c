"""What a call does next: one table, state x event -> next state and commands.

    WAITING --LegStarted--> OPENING --SessionReady--> LIVE --handoff--> TRANSFERRING
                             |   ^                     |  ^                  |
                   SessionLost  SlotClaimed  SessionLost  +--TransferFailed--+
                             v   |                     |
                           RECLAIMING <----------------+
    every one of them --> ENDED

It knows no carrier, no Redis, no audio and no clock: `now` is an argument, the deadline is read
from `next_timer()`, and every command is carried out by the runner, which reports back by events.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from callcenter.events import (
    ActionRequested,
    CallEvent,
    GatewayStops,
    LegEnded,
    LegMisbehaved,
    LegStarted,
    OperatorHangsUp,
    OperatorTransfers,
    SessionLost,
    SessionReady,
    SlotClaimed,
    SlotRefused,
    TimeIsUp,
    TransferDone,
    TransferFailed,
)

# --- commands -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Open the link to the claimed slot; answer with SessionReady or SessionLost."""


@dataclass(frozen=True, slots=True)
class CloseSession:
    """Close the link, tell the worker why, and give the slot back."""

    reason: str


@dataclass(frozen=True, slots=True)
class ClaimSlot:
    """Find a slot on another worker; answer with SlotClaimed or SlotRefused."""


@dataclass(frozen=True, slots=True)
class FlushPlayout:
    """Throw away what is queued at the far end."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """Let the queued audio play out, then end the call at the carrier."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Hand the caller over; answer with TransferDone or TransferFailed."""

    number: str


@dataclass(frozen=True, slots=True)
class CloseLeg:
    """Leave the call to the carrier's fallback verb."""

    code: str


Command = OpenSession | CloseSession | ClaimSlot | FlushPlayout | HangUp | Transfer | CloseLeg

# --- states ---------------------------------------------------------------------------------------


class State(enum.Enum):
    """Where a call stands."""

    WAITING = "waiting"  # the socket is open, the carrier has not said "start"
    OPENING = "opening"  # a slot is claimed, the worker has not said "ready"
    LIVE = "live"
    RECLAIMING = "reclaiming"  # the worker is gone, another one is looked for
    TRANSFERRING = "transferring"  # the carrier was asked to take the caller over
    ENDED = "ended"


class Outcome(enum.StrEnum):
    """How a call ended: the values of a metric label."""

    ANSWERED = "answered"
    ABANDONED = "abandoned"  # the caller left before the agent was there
    TRANSFERRED = "transferred"
    REJECTED_CAPACITY = "rejected_capacity"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds one call.

    Attributes:
        start_timeout_s: from the open socket to the carrier's "start".
        max_call_s: from "start" to our hang-up.
        reclaims: how many lost workers one call survives.
        transfer_number: where a handoff goes; None leaves it to the carrier's fallback verb.
    """

    start_timeout_s: float
    max_call_s: float
    reclaims: int = 1
    transfer_number: str | None = None


class CallMachine:
    """One call, from the open socket to its end.

    Attributes:
        state: where it stands.
        outcome: how it ended; None before the end.
        end_code: why it ended, short and stable; "" before the end.
    """

    def __init__(self, limits: Limits, now: float) -> None:
        self.state = State.WAITING
        self.outcome: Outcome | None = None
        self.end_code = ""
        self.limits = limits
        self.reclaims_left = limits.reclaims
        self.was_live = False
        self.has_session = False
        self._deadline: float | None = now + limits.start_timeout_s

    @property
    def lost_its_worker(self) -> bool:
        """Whether the agent was there, went, and none came in its place before the end."""
        return self.outcome is Outcome.FAILED and self.was_live and not self.has_session

    def next_timer(self) -> float | None:
        """When `TimeIsUp` is due; None after the end."""
        return self._deadline

    def handle(self, event: CallEvent, now: float) -> list[Command]:
        """Takes one event.

        Returns:
            What the runner must do now, in order. An event that means nothing in the present
            state is ignored: two sides that end at once are no error.
        """
        rule = TABLE[self.state].get(type(event))
        if rule is None:
            return []
        before = self.state
        self.state, commands = rule(self, event)
        if before is State.WAITING and self.state is State.OPENING:
            self._deadline = now + self.limits.max_call_s
        if self.state is State.ENDED:
            self._deadline = None
        return commands


# --- rules ----------------------------------------------------------------------------------------

Step = tuple[State, list[Command]]
Rule = Callable[[CallMachine, Any], Step]  # the table pairs each rule with its type of event


def _end(machine: CallMachine, outcome: Outcome, code: str, *last: Command) -> Step:
    """Every way out gives the slot back first and closes the leg last."""
    machine.outcome, machine.end_code = outcome, code
    return State.ENDED, [CloseSession(code), *last, CloseLeg(code)]


def _open(machine: CallMachine, event: CallEvent) -> Step:
    return State.OPENING, [OpenSession()]


def _go_live(machine: CallMachine, event: CallEvent) -> Step:
    machine.was_live = machine.has_session = True
    return State.LIVE, []


def _session_lost(machine: CallMachine, event: SessionLost) -> Step:
    machine.has_session = False
    if machine.reclaims_left == 0:
        return _end(machine, Outcome.FAILED, event.code)
    machine.reclaims_left -= 1
    return State.RECLAIMING, [CloseSession(event.code), FlushPlayout(), ClaimSlot()]


def _slot_refused(machine: CallMachine, event: SlotRefused) -> Step:
    full = event.code == "no_capacity" and not machine.was_live
    return _end(machine, Outcome.REJECTED_CAPACITY if full else Outcome.FAILED, event.code)


def _leg_ended(machine: CallMachine, event: LegEnded) -> Step:
    return _end(machine, Outcome.ANSWERED if machine.was_live else Outcome.ABANDONED, event.reason)


def _leg_misbehaved(machine: CallMachine, event: LegMisbehaved) -> Step:
    return _end(machine, Outcome.FAILED, event.code)


def _never_started(machine: CallMachine, event: CallEvent) -> Step:
    return _end(machine, Outcome.FAILED, "start_timeout")


def _too_long(machine: CallMachine, event: CallEvent) -> Step:
    return _end(
        machine, Outcome.ANSWERED if machine.was_live else Outcome.FAILED, "max_duration", HangUp()
    )


def _act(machine: CallMachine, event: ActionRequested) -> Step:
    if event.name == "hangup":
        return _end(machine, Outcome.ANSWERED, "agent_hangup", HangUp())
    if event.name != "handoff":
        return State.LIVE, []
    if machine.limits.transfer_number is None:
        return _end(machine, Outcome.TRANSFERRED, "handoff_to_fallback")
    return State.TRANSFERRING, [Transfer(machine.limits.transfer_number)]


def _transferred(machine: CallMachine, event: CallEvent) -> Step:
    """A leg that ends now is the carrier taking the caller over, not a hang-up."""
    return _end(machine, Outcome.TRANSFERRED, "transferred")


def _agent_gone(machine: CallMachine, event: SessionLost) -> Step:
    """No new session while the carrier is taking the caller over."""
    machine.has_session = False
    return State.TRANSFERRING, [CloseSession(event.code)]


def _transfer_failed(machine: CallMachine, event: TransferFailed) -> Step:
    if machine.has_session:
        return State.LIVE, []
    return _end(machine, Outcome.FAILED, "transfer_failed")


def _operator_hangs_up(machine: CallMachine, event: CallEvent) -> Step:
    outcome = Outcome.ANSWERED if machine.was_live else Outcome.FAILED
    return _end(machine, outcome, "operator_hangup", HangUp())


def _operator_transfers(machine: CallMachine, event: OperatorTransfers) -> Step:
    return State.TRANSFERRING, [Transfer(event.number)]


def _gateway_stops(machine: CallMachine, event: CallEvent) -> Step:
    return _end(machine, Outcome.ANSWERED if machine.was_live else Outcome.FAILED, "shutdown")


_ALWAYS: Mapping[type[CallEvent], Rule] = {
    LegEnded: _leg_ended,
    LegMisbehaved: _leg_misbehaved,
    GatewayStops: _gateway_stops,
    OperatorHangsUp: _operator_hangs_up,
    TimeIsUp: _too_long,
}

TABLE: Mapping[State, Mapping[type[CallEvent], Rule]] = {
    State.WAITING: {**_ALWAYS, LegStarted: _open, TimeIsUp: _never_started},
    State.OPENING: {**_ALWAYS, SessionReady: _go_live, SessionLost: _session_lost},
    State.LIVE: {
        **_ALWAYS,
        SessionLost: _session_lost,
        ActionRequested: _act,
        OperatorTransfers: _operator_transfers,
    },
    State.RECLAIMING: {**_ALWAYS, SlotClaimed: _open, SlotRefused: _slot_refused},
    State.TRANSFERRING: {
        **_ALWAYS,
        LegEnded: _transferred,
        TransferDone: _transferred,
        TransferFailed: _transfer_failed,
        SessionLost: _agent_gone,
    },
    State.ENDED: {},
}
