"""The sessions in their phase groups, each with a clock of its own.

    group 0   due at 0, 80, 160 ... ms
    group 1   due at 40, 120, 200 ... ms

Each group ticks every 80 ms; spread over the period, a tick is about half the calls, so that their
answers leave sooner. A session stays in the group of its slot: where it finds itself in the period
is for the gateway to learn, from how long its frames wait. Belongs to the tick thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from callcenter.worker.clock import TickClock
from callcenter.worker.sessions import Session, Sessions


class PhaseClocks:
    """The groups' clocks, spread evenly over the period.

    Args:
        count: how many groups.
        period_s: time between two ticks of one group.
        start_s: when the first group's first tick is due.
    """

    def __init__(self, count: int, period_s: float, start_s: float) -> None:
        self._clocks = [
            TickClock(period_s, start_s + index * period_s / count) for index in range(count)
        ]

    def next_due(self) -> tuple[int, TickClock]:
        """The group whose tick is due first: after a stall, the one that has waited longest."""
        return min(enumerate(self._clocks), key=lambda entry: entry[1].due_s)


class PhaseGroups:
    """The sessions of all groups.

    Args:
        count: how many groups.
        phase_of: the group of a slot.
    """

    def __init__(self, count: int, phase_of: Callable[[int], int]) -> None:
        self._phase_of = phase_of
        self._groups = [Sessions() for _ in range(count)]

    def __getitem__(self, phase: int) -> Sessions:
        return self._groups[phase]

    def __len__(self) -> int:
        """How many sessions hold a slot."""
        return sum(len(group) for group in self._groups)

    @property
    def count(self) -> int:
        """How many groups."""
        return len(self._groups)

    def at(self, slot: int) -> Session:
        """The session in a slot; KeyError if there is none."""
        return self._of(slot).at(slot)

    def seat(self, slot: int, session: Session) -> None:
        """Gives a slot to a session whose prompt waits."""
        self._of(slot).seat(slot, session)

    def start(self, slots: Iterable[int]) -> list[Session]:
        """Makes slots live whose prompt is in; returns their sessions."""
        return [session for slot in slots for session in self._of(slot).start([slot])]

    def waiting(self) -> list[int]:
        """Slots whose prompt is not in yet."""
        return [slot for group in self._groups for slot in group.waiting()]

    def slot_of(self, session: Session) -> int | None:
        """The session's slot, or None if it has none (any more)."""
        slots = (group.slot_of(session) for group in self._groups)
        return next((slot for slot in slots if slot is not None), None)

    def free(self, slot: int) -> None:
        """Takes the slot from its session."""
        self._of(slot).free(slot)

    def _of(self, slot: int) -> Sessions:
        return self._groups[self._phase_of(slot)]
