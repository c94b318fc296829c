"""The gateway's memory of the workers, for the time that Redis is down.

Workers are the authority on their slots, so a gateway may knock at one directly: at worst it is
refused and knocks at the next. The table is good for a bounded time only, since nobody tells it
of new workers, drains and restarts.

It knows no Redis and no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from callcenter.broker.claims import Claim
from callcenter.broker.placement import WorkerInfo, choose
from callcenter.errors import BrokerUnavailable, NoCapacity

MAX_AGE_S = 300.0


class LastKnownWorkers:
    """The workers as they were when Redis last answered.

    Args:
        max_age_s: how long they may be used after that.
    """

    def __init__(self, max_age_s: float = MAX_AGE_S) -> None:
        self._max_age_s = max_age_s
        self._workers: dict[str, WorkerInfo] = {}
        self._seen_at_s = -float("inf")

    def update(self, workers: Iterable[WorkerInfo], now: float) -> None:
        """Replaces the table with what Redis just said."""
        self._workers = {worker.worker_id: worker for worker in workers}
        self._seen_at_s = now

    def usable(self, now: float) -> bool:
        """Whether the table is young enough and names at least one worker."""
        return bool(self._workers) and now - self._seen_at_s <= self._max_age_s

    def claim(
        self,
        call_id: str,
        prompt_hash: str,
        now: float,
        *,
        after_fencing_token: int = 0,
        exclude: Collection[str] = (),
    ) -> Claim:
        """Picks a worker to knock at, and counts its slot as taken in this table.

        Args:
            call_id: the call.
            prompt_hash: its prompt.
            now: the clock of `update`.
            after_fencing_token: the call's highest fencing token so far; the new one is higher.
            exclude: workers that refused already.

        Raises:
            NoCapacity: nobody in the table has room.
            BrokerUnavailable: the table is empty or too old.
        """
        if not self.usable(now):
            raise BrokerUnavailable("Redis is down and the last known workers are too old to use")
        worker = choose(self._workers.values(), prompt_hash, exclude)
        if worker is None:
            raise NoCapacity("Redis is down and no last known worker has room")
        self._workers[worker.worker_id] = replace(worker, used=worker.used + 1)
        return Claim(
            call_id=call_id,
            worker_id=worker.worker_id,
            url=worker.url,
            epoch=worker.epoch,
            fencing_token=after_fencing_token + 1,
            lease_s=0.0,
            kind=worker.kind,
            pool=worker.pool,
        )
