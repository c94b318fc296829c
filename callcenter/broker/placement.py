"""Which worker gets the next call: the rule, as a function.

`claim.lua` follows the same rule inside Redis, where it must, to be atomic; the tests hold one
against the other. Here it serves the gateway when Redis is down.

The rule: a worker that holds the call's prompt goes first, since the call then starts within one
tick. Among equals the one with the fewest free slots: whole workers stay empty and can be switched
off. The id settles the rest, so that the choice is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["open", "draining"]


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What the broker knows of one worker.

    Attributes:
        worker_id: its name.
        url: address of its link, ws:// or wss://.
        epoch: its process start, in Unix ms; a higher one is a newer process.
        slots: how many calls it takes at once.
        used: slots taken.
        kind: kind of engine: personaplex, cascade or rehearsal.
        model: what exactly runs there, for people.
        state: open or draining.
        primed: prompt hashes that start at once there.
        tick_p99_ms: recent 99th percentile of a tick's time.
        heartbeat_age_s: time since its last heartbeat.
        pool: the pool it belongs to.
    """

    worker_id: str
    url: str
    epoch: int
    slots: int
    used: int = 0
    kind: str = "rehearsal"
    model: str = ""
    state: State = "open"
    primed: frozenset[str] = frozenset()
    tick_p99_ms: float = 0.0
    heartbeat_age_s: float = 0.0
    pool: str = ""

    @property
    def free(self) -> int:
        """Slots that are not taken."""
        return self.slots - self.used


def choose(
    workers: Iterable[WorkerInfo], prompt_hash: str, exclude: Collection[str] = ()
) -> WorkerInfo | None:
    """Picks the worker for a call, or None if nobody has room.

    Args:
        workers: live ones.
        prompt_hash: the call's prompt.
        exclude: workers that have just failed or refused this call.
    """
    return min(
        (
            worker
            for worker in workers
            if worker.state == "open" and worker.free > 0 and worker.worker_id not in exclude
        ),
        key=lambda worker: (prompt_hash not in worker.primed, worker.free, worker.worker_id),
        default=None,
    )
