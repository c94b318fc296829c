"""Phase groups: which rows of the batch tick together.

The slots are cut into as many runs of rows as there are groups, as equal as can be:

    7 slots, 2 groups      rows 0 1 2 | 3 4 5 6

A tick is about one group: it runs a span of that group's rows, from its first to its highest live
one, at the next batch size. With one group that is the prefix of all rows. When a group's turn
comes is another's business; this module knows no clock and no tensor.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.config import EngineLimits


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Rows [first, first + batch)."""

    first: int
    batch: int

    @property
    def rows(self) -> range:
        """The rows one by one."""
        return range(self.first, self.first + self.batch)


def phase_of(limits: EngineLimits, slot: int) -> int:
    """The group of a slot."""
    return ((slot + 1) * limits.phases - 1) // limits.slots


def group_rows(limits: EngineLimits, phase: int) -> range:
    """The slots of a group."""
    return range(phase * limits.slots // limits.phases, (phase + 1) * limits.slots // limits.phases)


def bucket(limits: EngineLimits, rows: int) -> int:
    """The smallest batch size that covers `rows` rows of a group."""
    sizes = limits.buckets or (limits.group_slots,)
    return min(size for size in sizes if size >= rows)


def span(limits: EngineLimits, slot: int) -> Span:
    """What is run when `slot` is the highest live one of its group."""
    rows = group_rows(limits, phase_of(limits, slot))
    return Span(rows.start, min(bucket(limits, slot + 1 - rows.start), len(rows)))


def all_spans(limits: EngineLimits) -> tuple[Span, ...]:
    """Every span that a tick may run, in order."""
    return tuple(sorted({span(limits, slot) for slot in range(limits.slots)}))
