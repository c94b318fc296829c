"""What a gateway gets for a call, and what a worker says of its sessions: plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Claim:
    """A slot for a call.

    Attributes:
        call_id: the call.
        worker_id: the worker that has the slot.
        url: where to open the link.
        epoch: the worker's process; another one won't honour the claim.
        fencing_token: number of the claim; a later claim of the same call has a higher one.
        lease_s: renew before this time is over; 0 when Redis was down and nothing was reserved.
        kind: kind of engine that answers there.
        pool: the pool that had room.
    """

    call_id: str
    worker_id: str
    url: str
    epoch: int
    fencing_token: int
    lease_s: float
    kind: str
    pool: str


@dataclass(frozen=True, slots=True)
class HeldSession:
    """One session that a worker holds, as its heartbeat tells it."""

    call_id: str
    fencing_token: int
    prompt_hash: str


@dataclass(frozen=True, slots=True)
class Reaped:
    """What was forgotten because nobody kept it alive."""

    workers: tuple[str, ...]
    calls: tuple[str, ...]


class HeartbeatAnswer(StrEnum):
    """What the books say to a worker's heartbeat."""

    KNOWN = "known"
    UNKNOWN = "unknown"  # Redis forgot this process, or knows a newer one: register (again)
    DRAIN = "drain"  # somebody wants the worker to take no more calls
