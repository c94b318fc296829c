"""Turns and barge-ins, from edges alone."""

from __future__ import annotations

import pytest

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
from callcenter.media.bargein import SETTLE_S, Party, TurnTracker

Span = tuple[float, float]


def follow(caller: list[Span], agent: list[Span], until_s: float = 60.0) -> list[TurnEvent]:
    """Lets both speak at the given times and returns all events."""
    tracker = TurnTracker(settle_s=0.0)
    speak(tracker, Party.CALLER, caller)
    speak(tracker, Party.AGENT, agent)
    return tracker.pop(until_s)


def speak(tracker: TurnTracker, party: Party, spans: list[Span]) -> None:
    """Gives the tracker one direction's utterances."""
    for start_s, end_s in spans:
        tracker.hear(party, SpeechStarted(start_s))
        tracker.hear(party, SpeechStopped(end_s))


def test_an_answer_after_a_turn_is_a_gap() -> None:
    """Caller's end -> agent's onset."""
    assert follow([(1.0, 3.0)], [(3.5, 5.0)]) == [TurnGap(3.5, 0.5)]


def test_the_greeting_is_no_answer() -> None:
    """The agent may begin by itself."""
    assert follow([], [(0.5, 2.0), (3.0, 4.0)]) == []


def test_only_the_last_pause_of_a_turn_counts() -> None:
    """A caller who goes on has not finished; an agent that goes on answers once."""
    events = follow([(1.0, 2.0), (2.6, 4.0)], [(4.3, 5.0), (6.0, 7.0)])
    assert events == [TurnGap(4.3, pytest.approx(0.3))]


def test_an_early_answer_is_an_overlap_not_a_gap_of_zero() -> None:
    """The agent starts before the caller's end: counted, not clamped."""
    assert follow([(1.0, 3.0)], [(2.8, 5.0)]) == [OverlapStart(2.8)]


def test_a_barge_in_that_is_yielded_to() -> None:
    """Latency runs from the caller's onset to the agent's last sample; then a turn follows."""
    events = follow([(2.0, 4.0)], [(1.0, 2.25), (4.5, 6.0)])
    assert events == [BargeIn(2.0), Yielded(2.25, 0.25, 0.25), TurnGap(4.5, 0.5)]


def test_an_agent_that_ends_as_the_caller_starts_has_not_yielded() -> None:
    """30 ms of overlap is a coincidence: an ordinary turn, which would flatter the figures."""
    assert follow([(2.0, 4.0)], [(1.0, 2.03), (4.5, 6.0)]) == [TurnGap(4.5, 0.5)]


def test_playout_lag_makes_the_audible_latency_longer() -> None:
    """What is sent is heard later."""
    tracker = TurnTracker(settle_s=0.0)
    tracker.hear(Party.AGENT, SpeechStarted(0.0))
    tracker.hear(Party.CALLER, SpeechStarted(1.0))
    tracker.hear(Party.AGENT, SpeechStopped(1.25), playout_lag_s=0.125)
    assert tracker.pop(2.0) == [BargeIn(1.0), Yielded(1.25, 0.25, 0.375)]


def test_a_backchannel_leaves_the_agent_talking() -> None:
    """Under 0.6 s of caller, and the agent goes on."""
    events = follow([(2.0, 2.3)], [(1.0, 6.0)])
    assert events == [BargeIn(2.0), Backchannel(2.0, pytest.approx(0.3))]


def test_stopping_for_a_backchannel_is_a_false_stop() -> None:
    """The agent falls silent within half a second after it."""
    assert follow([(2.0, 2.3)], [(1.0, 2.6)]) == [BargeIn(2.0), FalseStop(2.6)]


def test_a_barge_in_that_is_talked_over_is_missed() -> None:
    """The caller said more than a backchannel, and the agent never stopped."""
    assert follow([(2.0, 3.5)], [(1.0, 6.0)]) == [BargeIn(2.0), MissedBargeIn(2.0)]


def test_an_agent_that_ends_late_but_in_the_aftermath_has_yielded() -> None:
    """Its latency tells how late; the caller's turn ended before."""
    events = follow([(2.0, 3.0)], [(1.0, 3.25), (4.0, 5.0)])
    assert events == [BargeIn(2.0), Yielded(3.25, 1.25, 1.25), TurnGap(4.0, 1.0)]


def test_two_bursts_are_one_barge_in() -> None:
    """A caller who stutters over the agent interrupts once."""
    events = follow([(2.0, 2.2), (2.5, 4.0)], [(1.0, 3.0)])
    assert events == [BargeIn(2.0), Yielded(3.0, 1.0, 1.0)]


def test_an_undecided_barge_in_tells_nothing_yet() -> None:
    """While both speak, only the beginning is certain."""
    assert follow([(2.0, 9.0)], [(1.0, 9.5)], until_s=5.0) == [BargeIn(2.0)]


def test_late_decisions_are_put_in_order() -> None:
    """The agent's end lies before the caller's onset, but is decided after it: no barge-in."""
    tracker = TurnTracker()
    tracker.hear(Party.AGENT, SpeechStarted(1.0))
    assert tracker.pop(2.05) == []
    tracker.hear(Party.CALLER, SpeechStarted(2.0))  # decided at 2.06
    assert tracker.pop(2.1) == []
    tracker.hear(Party.AGENT, SpeechStopped(1.9))  # decided at 2.19
    assert tracker.pop(2.3) == []
    assert tracker.pop(2.0 + SETTLE_S + 0.01) == []
    assert tracker.talk.agent_s == pytest.approx(0.9)


def test_a_repeated_edge_changes_nothing() -> None:
    """Two starts in a row are one."""
    tracker = TurnTracker(settle_s=0.0)
    for edge in (SpeechStarted(1.0), SpeechStarted(1.5), SpeechStopped(3.0), SpeechStopped(3.5)):
        tracker.hear(Party.CALLER, edge)
    tracker.hear(Party.AGENT, SpeechStarted(3.6))
    assert tracker.pop(9.0) == [TurnGap(3.6, pytest.approx(0.6))]


def test_talk_time_of_both_and_together() -> None:
    """Seconds by direction; speech under way counts up to now."""
    tracker = TurnTracker(settle_s=0.0)
    speak(tracker, Party.CALLER, [(1.0, 4.0)])
    tracker.hear(Party.AGENT, SpeechStarted(3.0))
    tracker.pop(7.0)
    talk = tracker.talk
    assert (talk.caller_s, talk.agent_s, talk.both_s) == pytest.approx((3.0, 4.0, 1.0))
