"""Groups of sessions that tick at different times."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from callcenter.worker.phase_groups import PhaseClocks, PhaseGroups
from callcenter.worker.sessions import Session
from engine.interface import SessionSpec

PERIOD_S = 0.08


def session(name: str = "CA1") -> Session:
    """A session that nobody listens to."""
    return Session(SessionSpec(name, "bank", "Be kind.", "nora"), lambda delivery: None)


def halves() -> PhaseGroups:
    """Slots 0 and 1, and slots 2 and 3."""
    return PhaseGroups(2, lambda slot: slot // 2)


def played(clocks: PhaseClocks, until_s: float, tick_s: float) -> list[tuple[int, float, bool]]:
    """Runs ticks of `tick_s` each: group, begin, missed."""
    now, ticks = 0.0, []
    while now < until_s:
        phase, clock = clocks.next_due()
        began = max(now, clock.due_s)
        now = began + tick_s
        ticks.append((phase, round(began, 4), clock.finish(began, now).missed))
    return ticks


def test_groups_take_turns_half_a_period_apart() -> None:
    """Each ticks every 80 ms."""
    assert played(PhaseClocks(2, PERIOD_S, 0.0), 0.17, 0.02) == [
        (0, 0.0, False), (1, 0.04, False), (0, 0.08, False), (1, 0.12, False), (0, 0.16, False),
    ]  # fmt: skip


def test_one_group_is_the_plain_clock() -> None:
    """Due every 80 ms."""
    ticks = played(PhaseClocks(1, PERIOD_S, 0.0), 0.17, 0.02)
    assert ticks == [(0, 0.0, False), (0, 0.08, False), (0, 0.16, False)]


def test_ticks_longer_than_their_share_miss_only_their_own_next_turn() -> None:
    """At 39 ms nothing is missed; at 45 ms the groups fall behind together and both are told."""
    assert not any(missed for *_, missed in played(PhaseClocks(2, PERIOD_S, 0.0), 4.0, 0.039))
    ticks = played(PhaseClocks(2, PERIOD_S, 0.0), 4.0, 0.045)
    late = {phase: sum(missed for index, _, missed in ticks if index == phase) for phase in (0, 1)}
    assert min(late.values()) > 0
    assert abs(late[0] - late[1]) <= 2


@pytest.mark.parametrize("stall_s", [0.1, 0.17, 0.21, 1.003])
def test_after_a_stall_the_one_that_waited_longest_is_next(stall_s: float) -> None:
    """It may have two turns at once, if both were due before the other's; then they alternate."""
    clocks = PhaseClocks(2, PERIOD_S, 0.0)
    _, clock = clocks.next_due()
    assert clock.finish(0.0, stall_s).missed
    now, turns = stall_s, []
    for _ in range(8):
        phase, clock = clocks.next_due()
        now = max(now, clock.due_s) + 0.01
        clock.finish(now - 0.01, now)
        turns.append(phase)
    assert turns[0] == 1
    assert all(one != other for one, other in pairwise(turns[1:]))


def test_each_group_gathers_its_own_sessions() -> None:
    """The other group's frames stay where they are until its turn."""
    groups, first, second = halves(), session("a"), session("b")
    groups.seat(1, first)
    groups.seat(2, second)
    assert groups.waiting() == [1, 2]
    assert groups.start([1, 2]) == [first, second]
    for each in (first, second):
        each.inbox.push(np.full(1920, 5, np.int16), 0.0)
    assert groups[0].gather(0.0).keys() == {1}
    assert len(second.inbox._frames) == 1
    assert groups[1].gather(0.04)[2][0] == 5
    assert (len(groups), groups.count, groups.waiting()) == (2, 2, [])


def test_sessions_are_found_in_any_group() -> None:
    """By slot and by themselves, until they are freed."""
    groups, there = halves(), session()
    assert groups.slot_of(there) is None
    groups.seat(3, there)
    assert groups.at(3) is there
    assert groups.slot_of(there) == 3
    groups.free(3)
    assert groups.slot_of(there) is None
    with pytest.raises(KeyError):
        groups.at(3)
