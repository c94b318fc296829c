"""Keeps the worker in the broker's books: registration, heartbeats, leaving.

Redis being down changes nothing for the sessions that are live; the worker goes on knocking, and
with the first heartbeat that is heard the books are right again. It knows no audio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from callcenter.broker.broker import Broker
from callcenter.broker.claims import HeartbeatAnswer
from callcenter.broker.placement import WorkerInfo
from callcenter.errors import BrokerUnavailable
from callcenter.worker.admission import Admission

log = structlog.get_logger(__name__)


class Membership:
    """One worker's entry in the books.

    Args:
        broker: the books.
        worker: what to register.
        admission: what to tell of: sessions, prompts, whether it drains.
        tick_p99_ms: how the engine does.
        heartbeat_s: time between two heartbeats.
        on_drain: called when somebody has told the broker that this worker should drain.
        on_superseded: called when a newer process has this worker's id.
    """

    def __init__(
        self,
        broker: Broker,
        worker: WorkerInfo,
        admission: Admission,
        *,
        tick_p99_ms: Callable[[], float],
        heartbeat_s: float,
        on_drain: Callable[[], None],
        on_superseded: Callable[[], None],
    ) -> None:
        self._broker = broker
        self._worker = worker
        self._admission = admission
        self._tick_p99_ms = tick_p99_ms
        self._heartbeat_s = heartbeat_s
        self._on_drain = on_drain
        self._on_superseded = on_superseded
        self._reachable = True

    async def run(self) -> None:
        """Beats for ever; cancel it at the end of the process."""
        while True:
            await self.beat()
            await asyncio.sleep(self._heartbeat_s)

    async def beat(self) -> None:
        """One heartbeat, with registration if the broker doesn't know us."""
        try:
            if await self._heartbeat() is HeartbeatAnswer.UNKNOWN:
                await self._register()
            await self._broker.reap()
        except BrokerUnavailable as error:
            self._note(reachable=False, why=str(error))
        else:
            self._note(reachable=True)

    async def leave(self) -> None:
        """Takes the worker out of the books, if they can be reached."""
        try:
            await self._broker.leave(self._worker.worker_id, self._worker.epoch)
        except BrokerUnavailable as error:
            # The lease runs out by itself in a few seconds.
            log.warning("leaving_unheard", why=str(error))

    async def _heartbeat(self) -> HeartbeatAnswer:
        answer = await self._broker.heartbeat(
            self._worker.worker_id,
            self._worker.epoch,
            state="draining" if self._admission.draining else "open",
            primed=self._admission.primed,
            tick_p99_ms=self._tick_p99_ms(),
            sessions=self._admission.sessions,
        )
        if answer is HeartbeatAnswer.DRAIN and not self._admission.draining:
            self._on_drain()
        return answer

    async def _register(self) -> None:
        if await self._broker.register(self._worker):
            log.info("registered", worker_id=self._worker.worker_id, epoch=self._worker.epoch)
            await self._heartbeat()
        else:
            log.error("superseded", worker_id=self._worker.worker_id)
            self._on_superseded()

    def _note(self, *, reachable: bool, why: str = "") -> None:
        """Logs when Redis goes and when it comes back, not in between."""
        if reachable != self._reachable:
            self._reachable = reachable
            log.log(20 if reachable else 30, "broker_reachable", reachable=reachable, why=why)
