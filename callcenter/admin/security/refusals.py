"""What was refused leaves a trace: a metric at once, log lines within bounds, and an audit entry.

Refusals of one kind from one address and actor within a window are one audit entry with a count,
so that whoever guesses fills neither the log nor the database. No secret is put down; of a key that
nobody knows, its prefix, which is shown in lists too.

Kinds: bad_key, bad_login, no_credentials, session_over, role_too_low, csrf, rate_limited,
log_in_again, single_sign_on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import structlog

from callcenter import metrics
from callcenter.admin.store.work import NOBODY, Actor, Work

MAX_TALLIES = 200  # of one window; what is beyond is counted together
MAX_LINES = 5  # in the log, of one tally
OTHERS = "others"
_EVERYDAY = frozenset({"no_credentials", "session_over", "log_in_again"})  # metric only
_KINDS = (
    "bad_key", "bad_login", "no_credentials", "session_over", "role_too_low", "csrf",
    "rate_limited", "log_in_again", "single_sign_on",
)  # fmt: skip

log = structlog.get_logger(__name__)

for _kind in _KINDS:
    metrics.ADMIN_REFUSALS.labels(_kind)  # from 0 on: Prometheus sees no increase in a first sample


@dataclass(slots=True)
class Tally:
    """Refusals of one kind, one address and one actor.

    Attributes:
        why: of the last one: a path, the prefix of a key, or the provider's error.
    """

    kind: str
    address: str
    actor: Actor
    first_at: datetime
    last_at: datetime
    count: int = 0
    why: str = ""


@dataclass
class Refusals:
    """Counts until somebody takes what there is."""

    _tallies: dict[tuple[str, str, str], Tally] = field(default_factory=dict)

    def note(
        self, kind: str, address: str, now: datetime, actor: Actor = NOBODY, why: str = ""
    ) -> None:
        """Puts a refusal down.

        Args:
            kind: one of the module's list.
            address: where the request came from.
            now: the moment.
            actor: who asked, where that is known.
            why: what was asked for, or what was wrong; no secret.
        """
        metrics.ADMIN_REFUSALS.labels(kind).inc()
        if kind in _EVERYDAY:
            return
        tally = self._tally(kind, address, now, actor)
        tally.count += 1
        tally.last_at, tally.why = now, why
        if tally.count <= MAX_LINES:
            log.warning(
                "admin_request_refused",
                kind=kind,
                address=address,
                actor=actor.name,
                actor_id=actor.id,
                why=why,
            )

    def _tally(self, kind: str, address: str, now: datetime, actor: Actor) -> Tally:
        key = (kind, address, actor.id)
        if key not in self._tallies and len(self._tallies) >= MAX_TALLIES:
            key, address, actor = (kind, OTHERS, ""), OTHERS, NOBODY
        return self._tallies.setdefault(key, Tally(kind, address, actor, now, now))

    def take(self) -> list[Tally]:
        """What was put down since the last time."""
        found = list(self._tallies.values())
        self._tallies = {}
        for tally in found:
            if tally.count > MAX_LINES:
                log.warning(
                    "admin_requests_refused",
                    kind=tally.kind,
                    address=tally.address,
                    actor=tally.actor.name,
                    actor_id=tally.actor.id,
                    count=tally.count,
                )
        return found

    def put_back(self, tallies: list[Tally]) -> None:
        """What could not be stored is stored the next time."""
        for old in tallies:
            tally = self._tally(old.kind, old.address, old.first_at, old.actor)
            tally.count += old.count
            tally.first_at = min(tally.first_at, old.first_at)
            tally.last_at = max(tally.last_at, old.last_at)
            tally.why = tally.why or old.why


async def store(work: Work, tally: Tally) -> None:
    """Writes one audit entry for a tally."""
    work.actor, work.address = tally.actor, tally.address
    after = {
        "count": tally.count,
        "first_at": tally.first_at.isoformat(),
        "last_at": tally.last_at.isoformat(),
        "last": tally.why,
    }
    await work.audit("refuse", "access", tally.kind, after=after)
