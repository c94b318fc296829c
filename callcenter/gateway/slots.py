"""Slots for new calls, also while Redis is down.

In front of the broker stands a table of the workers as Redis last told them. When Redis does not
answer, a new call knocks at one of those; the worker decides. Live calls need neither.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

import structlog

from callcenter import metrics
from callcenter.broker.broker import Broker
from callcenter.broker.claims import Claim
from callcenter.broker.last_known import LastKnownWorkers
from callcenter.errors import BrokerUnavailable

REFRESH_EVERY_S = 2.0

log = structlog.get_logger(__name__)


class GatewaySlots:
    """The broker, with a memory.

    Args:
        broker: of this gateway's pools.
        last_known: what is used when the broker does not answer.
    """

    def __init__(self, broker: Broker, last_known: LastKnownWorkers) -> None:
        self._broker = broker
        self._last_known = last_known
        self._kinds: list[str] = []

    def ready(self) -> bool:
        """Whether at least one worker is known that a new call could reach."""
        return self._last_known.usable(time.monotonic())

    def engine_kinds(self) -> list[str]:
        """The kinds of engine that answer now, by name."""
        return self._kinds

    async def claim(
        self, call_id: str, prompt_hash: str, gateway_id: str, *, exclude: Collection[str] = ()
    ) -> Claim:
        """Takes a slot, or picks a worker to knock at.

        Raises:
            NoCapacity: no worker has room.
            BrokerUnavailable: Redis is down, and was for too long.
        """
        try:
            return await self._broker.claim(call_id, prompt_hash, gateway_id, exclude=exclude)
        except BrokerUnavailable as error:
            log.warning("claim_without_broker", detail=str(error))
            return self._last_known.claim(call_id, prompt_hash, time.monotonic(), exclude=exclude)

    async def renew(self, call_id: str, fencing_token: int, *, pool: str | None = None) -> bool:
        """Extends a lease; raises BrokerUnavailable."""
        return await self._broker.renew(call_id, fencing_token, pool=pool)

    async def release(self, call_id: str, fencing_token: int, *, pool: str | None = None) -> bool:
        """Gives a slot back; raises BrokerUnavailable."""
        return await self._broker.release(call_id, fencing_token, pool=pool)

    async def keep_table(self) -> None:
        """Refreshes the table for ever; cancel it at the end of the process."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_EVERY_S)

    async def refresh(self) -> None:
        """Asks the broker once who is there."""
        try:
            workers = await self._broker.workers()
        except BrokerUnavailable as error:
            log.warning("workers_unknown", detail=str(error))
            return
        self._last_known.update(workers, time.monotonic())
        self._kinds = sorted({worker.kind for worker in workers if worker.state == "open"})
        metrics.WORKER_HEARTBEAT_AGE_SECONDS.clear()  # a pool may have lost its last worker
        for worker in sorted(workers, key=lambda info: info.heartbeat_age_s):
            metrics.WORKER_HEARTBEAT_AGE_SECONDS.labels(worker.pool).set(worker.heartbeat_age_s)
