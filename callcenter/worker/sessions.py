"""Who sits in which slot, and what goes in and out of it each tick.

Belongs to the tick thread alone, but for the inboxes, into which the link pushes. It knows neither
the engine nor the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from callcenter.link.protocol import Frame
from callcenter.worker.inbox import SILENCE, Inbox
from engine.interface import FrameOutput, SessionSpec, TickResult


@dataclass(slots=True, eq=False)
class Session:
    """One call in one slot, under one claim.

    Attributes:
        spec: what the engine needs to know.
        deliver: takes the session's results, on the link's side.
        inbox: the caller's frames.
        frames_out: frames that the engine said.
    """

    spec: SessionSpec
    deliver: Callable[[Delivery], None]
    inbox: Inbox = field(default_factory=Inbox)
    frames_out: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a session gets from one tick.

    Attributes:
        output: what it says; None if it failed.
        frame: index of the output among the session's frames.
        waited_s: how long the caller's frame had waited for the tick; None if there was none.
        concealed: there was none although the caller's audio had begun.
        failure: why the session is over; "" if it isn't.
    """

    output: FrameOutput | None
    frame: int = 0
    waited_s: float | None = None
    concealed: bool = False
    failure: str = ""


Post = list[tuple[Session, Delivery]]


class Sessions:
    """The sessions by slot: waiting for their prompt, or live."""

    def __init__(self) -> None:
        self._by_slot: dict[int, Session] = {}
        self._live: set[int] = set()
        self._gathered: dict[int, tuple[Session, float | None]] = {}

    def __len__(self) -> int:
        return len(self._by_slot)

    def seat(self, slot: int, session: Session) -> None:
        """Gives a slot to a session whose prompt waits."""
        self._by_slot[slot] = session

    def start(self, slots: Iterable[int]) -> list[Session]:
        """Makes slots live whose prompt is in; returns their sessions."""
        ready = [slot for slot in slots if slot in self._by_slot]
        self._live.update(ready)
        return [self._by_slot[slot] for slot in ready]

    def waiting(self) -> list[int]:
        """Slots whose prompt is not in yet."""
        return [slot for slot in self._by_slot if slot not in self._live]

    def at(self, slot: int) -> Session:
        """The session in a slot; KeyError if there is none."""
        return self._by_slot[slot]

    def slot_of(self, session: Session) -> int | None:
        """The session's slot, or None if it has none (any more)."""
        return next((slot for slot, held in self._by_slot.items() if held is session), None)

    def free(self, slot: int) -> Session:
        """Takes the slot from its session, and returns that."""
        self._live.discard(slot)
        return self._by_slot.pop(slot)

    def gather(self, now: float) -> dict[int, Frame]:
        """One frame of every live slot; silence where none has come."""
        self._gathered = {}
        inputs = {}
        for slot in sorted(self._live):
            session = self._by_slot[slot]
            frame, waited_s = session.inbox.pop(now) or (SILENCE, None)
            self._gathered[slot] = (session, waited_s)
            inputs[slot] = frame
        return inputs

    def scatter(self, result: TickResult) -> Post:
        """Addresses a tick's results to the sessions that were gathered for it.

        A slot that changed hands since then gets nothing: what was computed for one caller must
        never reach another. A slot without any result counts as failed.
        """
        post: Post = []
        for slot, (session, waited_s) in self._gathered.items():
            if self._by_slot.get(slot) is not session:
                continue
            if (output := result.outputs.get(slot)) is not None:
                concealed = waited_s is None and session.inbox.received > 0
                post.append((session, Delivery(output, session.frames_out, waited_s, concealed)))
                session.frames_out += 1
            else:
                reason = result.failed.get(slot, "the engine gave no output for this session")
                post.append((session, Delivery(None, failure=reason)))
        return post
