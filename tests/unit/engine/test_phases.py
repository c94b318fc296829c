"""Which rows tick together."""

from __future__ import annotations

import pytest

from engine.config import EngineLimits
from engine.phases import Span, all_spans, bucket, group_rows, phase_of, span


@pytest.mark.parametrize(("slots", "phases"), [(1, 1), (7, 1), (7, 2), (8, 2), (7, 3), (3, 3)])
def test_groups_are_runs_of_slots_of_nearly_equal_length(slots: int, phases: int) -> None:
    """Every slot is in exactly one group, and the limits know the largest group."""
    limits = EngineLimits(slots=slots, phases=phases)
    groups = [group_rows(limits, phase) for phase in range(phases)]
    assert [slot for rows in groups for slot in rows] == list(range(slots))
    assert all(slot in groups[phase_of(limits, slot)] for slot in range(slots))
    sizes = [len(rows) for rows in groups]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) == limits.group_slots


@pytest.mark.parametrize("phases", [0, 5])
def test_impossible_groups_are_refused(phases: int) -> None:
    """A group without a slot would never tick."""
    with pytest.raises(ValueError, match=f"phases is {phases}; it must be 1 to 4"):
        EngineLimits(slots=4, phases=phases)


def test_batches_need_cover_one_group_only() -> None:
    """Five slots in two groups: three rows at most."""
    assert EngineLimits(slots=5, phases=2, buckets=(1, 3)).group_slots == 3
    with pytest.raises(ValueError, match="below 3 slots"):
        EngineLimits(slots=5, phases=2, buckets=(1, 2))


def test_buckets() -> None:
    """The smallest that covers; without buckets always a whole group."""
    limits = EngineLimits(slots=4, buckets=(1, 2, 4))
    assert [bucket(limits, rows) for rows in (0, 1, 2, 3, 4)] == [1, 1, 2, 4, 4]
    assert bucket(EngineLimits(slots=4), 1) == 4
    assert bucket(EngineLimits(slots=4, phases=2), 1) == 2


def test_span_reaches_to_the_highest_slot_and_stays_in_its_group() -> None:
    """A batch size that is larger than the group is cut."""
    limits = EngineLimits(slots=5, phases=2, buckets=(1, 3))
    assert [span(limits, slot) for slot in range(5)] == [
        Span(0, 1), Span(0, 2), Span(2, 1), Span(2, 3), Span(2, 3),
    ]  # fmt: skip
    assert list(Span(2, 3).rows) == [2, 3, 4]


def test_all_spans_are_what_ticks_can_need() -> None:
    """Each once: that is what is compiled and recorded."""
    limits = EngineLimits(slots=5, phases=2, buckets=(1, 3))
    assert all_spans(limits) == (Span(0, 1), Span(0, 2), Span(2, 1), Span(2, 3))
    assert all_spans(EngineLimits(slots=3)) == (Span(0, 3),)
