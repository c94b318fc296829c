"""The call machine's table, row by row."""

import pytest

from callcenter.call.machine import (
    TABLE,
    CallMachine,
    ClaimSlot,
    CloseLeg,
    CloseSession,
    FlushPlayout,
    HangUp,
    Limits,
    OpenSession,
    Outcome,
    State,
    Transfer,
)
from callcenter.events import (
    ActionRequested,
    GatewayStops,
    LegEnd,
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

STARTED = LegStarted("audio/x-mulaw", 8_000)
LOST = SessionLost("link_lost")
LIMITS = Limits(start_timeout_s=5.0, max_call_s=60.0, transfer_number="+15550199")

WAY_TO = {
    State.WAITING: [],
    State.OPENING: [STARTED],
    State.LIVE: [STARTED, SessionReady()],
    State.RECLAIMING: [STARTED, SessionReady(), LOST],
    State.TRANSFERRING: [STARTED, SessionReady(), ActionRequested("handoff")],
}


def machine_in(state: State, limits: Limits = LIMITS) -> CallMachine:
    """A machine that has come to a state the usual way."""
    machine = CallMachine(limits, now=0.0)
    for event in WAY_TO[state]:
        machine.handle(event, now=1.0)
    assert machine.state is state
    return machine


def test_the_table_has_a_row_for_every_state() -> None:
    """A new state without a row would fail at the first event in it."""
    assert set(TABLE) == set(State)


@pytest.mark.parametrize("state", WAY_TO)
@pytest.mark.parametrize(
    "event",
    [
        LegEnded(LegEnd.HANGUP),
        LegMisbehaved("too_fast", ""),
        GatewayStops(),
        OperatorHangsUp(),
        TimeIsUp(),
    ],
)
def test_every_way_out_gives_the_slot_back_and_closes_the_leg_last(state, event) -> None:
    """No state can leak a slot or leave a socket open."""
    machine = machine_in(state)
    commands = machine.handle(event, now=2.0)
    assert machine.state is State.ENDED
    assert isinstance(commands[0], CloseSession)
    assert isinstance(commands[-1], CloseLeg)
    assert machine.outcome is not None
    assert machine.next_timer() is None


def test_an_operator_ends_it() -> None:
    """The carrier is told to, and the record says who it was."""
    machine = machine_in(State.LIVE)
    assert machine.handle(OperatorHangsUp(), 2.0) == [
        CloseSession("operator_hangup"),
        HangUp(),
        CloseLeg("operator_hangup"),
    ]
    assert (machine.outcome, machine.end_code) == (Outcome.ANSWERED, "operator_hangup")


@pytest.mark.parametrize("state", [state for state in WAY_TO if state is not State.LIVE])
def test_an_operator_transfers_live_calls_only(state) -> None:
    """Whatever the agent's own number is; in other states nothing happens."""
    machine = machine_in(State.LIVE)
    assert machine.handle(OperatorTransfers("+15550142"), 2.0) == [Transfer("+15550142")]
    assert machine.state is State.TRANSFERRING
    other = machine_in(state)
    assert other.handle(OperatorTransfers("+15550142"), 2.0) == []
    assert other.state is state


def test_the_usual_call() -> None:
    """Start, ready, hang-up."""
    machine = CallMachine(LIMITS, now=0.0)
    assert machine.handle(STARTED, 0.1) == [OpenSession()]
    assert machine.handle(SessionReady(), 0.2) == []
    assert machine.handle(LegEnded(LegEnd.HANGUP), 9.0) == [
        CloseSession("hangup"),
        CloseLeg("hangup"),
    ]
    assert (machine.outcome, machine.end_code) == (Outcome.ANSWERED, "hangup")


def test_a_caller_who_leaves_before_the_agent_is_there_has_abandoned() -> None:
    """An outcome of its own: it is no failure, and nobody was answered."""
    machine = machine_in(State.OPENING)
    machine.handle(LegEnded(LegEnd.HANGUP), 1.0)
    assert machine.outcome is Outcome.ABANDONED


def test_a_leg_that_never_starts() -> None:
    """The first deadline belongs to the carrier's start."""
    machine = CallMachine(LIMITS, now=10.0)
    assert machine.next_timer() == 15.0
    assert machine.handle(TimeIsUp(), 15.0)[-1] == CloseLeg("start_timeout")
    assert machine.outcome is Outcome.FAILED


def test_the_longest_call_is_hung_up() -> None:
    """The second deadline counts from the carrier's start, and stays through a re-claim."""
    machine = machine_in(State.LIVE)
    assert machine.next_timer() == 61.0
    machine.handle(LOST, 30.0)
    assert machine.next_timer() == 61.0
    machine.handle(SlotClaimed(), 30.1)
    machine.handle(SessionReady(), 30.2)
    assert machine.next_timer() == 61.0
    commands = machine.handle(TimeIsUp(), 61.0)
    assert commands == [CloseSession("max_duration"), HangUp(), CloseLeg("max_duration")]
    assert machine.outcome is Outcome.ANSWERED


@pytest.mark.parametrize("state", [State.OPENING, State.LIVE])
def test_a_lost_session_is_replaced_once(state) -> None:
    """Old audio goes, a new slot is looked for; a second loss ends the call."""
    machine = machine_in(state)
    assert machine.handle(LOST, 2.0) == [CloseSession("link_lost"), FlushPlayout(), ClaimSlot()]
    assert machine.handle(SlotClaimed(), 2.1) == [OpenSession()]
    assert machine.handle(SessionReady(), 2.2) == []
    assert machine.handle(LOST, 3.0) == [CloseSession("link_lost"), CloseLeg("link_lost")]
    assert machine.outcome is Outcome.FAILED


def test_no_slot_for_a_call_that_was_never_answered_is_a_matter_of_capacity() -> None:
    """The worker refused, and nobody else has room."""
    machine = machine_in(State.OPENING)
    machine.handle(SessionLost("no_capacity"), 1.0)
    machine.handle(SlotRefused("no_capacity"), 1.1)
    assert machine.outcome is Outcome.REJECTED_CAPACITY


def test_no_slot_for_a_call_that_was_live_is_a_failure() -> None:
    """The caller was talking to somebody."""
    machine = machine_in(State.RECLAIMING)
    machine.handle(SlotRefused("no_capacity"), 1.1)
    assert machine.outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("state", "event", "lost"),
    [
        (State.RECLAIMING, SlotRefused("no_capacity"), True),
        (State.RECLAIMING, LegEnded(LegEnd.HANGUP), False),
        (State.LIVE, LegMisbehaved("too_fast", ""), False),
        (State.OPENING, LegMisbehaved("too_fast", ""), False),
    ],
)
def test_a_call_that_ends_for_want_of_a_worker_says_so(state, event, lost: bool) -> None:
    """Not one that fails for another reason, nor one whose caller leaves."""
    machine = machine_in(state)
    assert not machine.lost_its_worker
    machine.handle(event, now=2.0)
    assert machine.state is State.ENDED
    assert machine.lost_its_worker is lost


def test_the_agent_hangs_up() -> None:
    """The slot goes back first; then the last words are heard, then the line goes."""
    machine = machine_in(State.LIVE)
    assert machine.handle(ActionRequested("hangup"), 2.0) == [
        CloseSession("agent_hangup"),
        HangUp(),
        CloseLeg("agent_hangup"),
    ]


def test_a_handoff_that_works() -> None:
    """The carrier's end of the stream is the transfer, not a hang-up."""
    machine = machine_in(State.LIVE)
    assert machine.handle(ActionRequested("handoff"), 2.0) == [Transfer("+15550199")]
    machine.handle(LegEnded(LegEnd.HANGUP), 2.1)
    assert (machine.outcome, machine.end_code) == (Outcome.TRANSFERRED, "transferred")
    assert machine.handle(TransferDone(), 2.2) == []


def test_a_handoff_that_fails_leaves_the_caller_with_the_agent() -> None:
    """Nothing was closed, so nothing has to be opened."""
    machine = machine_in(State.TRANSFERRING)
    assert machine.handle(TransferFailed("HTTP 500"), 2.0) == []
    assert machine.state is State.LIVE


def test_a_handoff_that_fails_without_an_agent_left() -> None:
    """The worker died meanwhile: the fallback verb is better than silence."""
    machine = machine_in(State.TRANSFERRING)
    assert machine.handle(LOST, 2.0) == [CloseSession("link_lost")]
    assert machine.handle(TransferFailed("HTTP 500"), 2.1)[-1] == CloseLeg("transfer_failed")
    assert machine.outcome is Outcome.FAILED


def test_a_handoff_without_a_number_is_left_to_the_fallback_verb() -> None:
    """The fallback may be a <Dial>."""
    machine = machine_in(State.LIVE, Limits(5.0, 60.0))
    assert machine.handle(ActionRequested("handoff"), 2.0)[-1] == CloseLeg("handoff_to_fallback")
    assert machine.outcome is Outcome.TRANSFERRED


def test_an_agent_that_yields_is_not_heard_on() -> None:
    """What waits at the carrier would be spoken over the caller."""
    machine = machine_in(State.LIVE)
    assert machine.handle(ActionRequested("yield"), 2.0) == [FlushPlayout()]
    assert machine.state is State.LIVE


def test_an_unknown_action_changes_nothing() -> None:
    """A newer engine may ask for what this gateway does not know."""
    machine = machine_in(State.LIVE)
    assert machine.handle(ActionRequested("dance"), 2.0) == []
    assert machine.state is State.LIVE


@pytest.mark.parametrize("event", [LegEnded(LegEnd.LOST), SlotClaimed(), SessionReady(), LOST])
def test_nothing_happens_after_the_end(event) -> None:
    """Both sides may end at once."""
    machine = machine_in(State.LIVE)
    machine.handle(LegEnded(LegEnd.HANGUP), 2.0)
    assert machine.handle(event, 2.1) == []
    assert (machine.state, machine.end_code) == (State.ENDED, "hangup")
