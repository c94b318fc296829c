"""The broker: a pool's workers and calls in Redis, one script an operation.

    broker = Broker(connect(url), "main")
    claim = await broker.claim(call_id, prompt_hash, gateway_id)   # a slot, reserved for lease_s
    await broker.renew(call_id, claim.fencing_token)               # every third of lease_s
    await broker.release(call_id, claim.fencing_token)             # when the call is over

Each script runs atomically and takes the time from Redis. Every operation is bounded in time: a
Redis that hangs costs `timeout_s` and raises BrokerUnavailable, like one that is gone.

It carries no audio and no prompt, and it doesn't decide whether a session starts: the worker does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from callcenter.broker import keys, scripts
from callcenter.broker.claims import Claim, HeartbeatAnswer, HeldSession, Reaped
from callcenter.broker.connection import TIMEOUT_S
from callcenter.broker.placement import State, WorkerInfo
from callcenter.errors import BrokerUnavailable, NoCapacity

REAP_LIMIT = 100

log = structlog.get_logger(__name__)


class Broker:
    """The books of one pool, and of the pools that take its overflow.

    Args:
        redis: made with decode_responses=True, as `connect` does.
        pool: where workers register and calls look first.
        overflow: further pools in order of preference; the first one with room wins.
        timeout_s: for one operation.
        worker_lease_s: a worker without a heartbeat for so long is dead.
        call_lease_s: a call without a renewal for so long has lost its slot.
    """

    def __init__(
        self,
        redis: Redis,
        pool: str,
        *,
        overflow: Sequence[str] = (),
        timeout_s: float = TIMEOUT_S,
        worker_lease_s: float = keys.WORKER_LEASE_S,
        call_lease_s: float = keys.CALL_LEASE_S,
    ) -> None:
        self._pool = pool
        self._prefixes = {name: keys.prefix(name) for name in (pool, *overflow)}
        self._timeout_s = timeout_s
        self._call_lease_s = call_lease_s
        self._worker_times_ms = _times_ms(worker_lease_s)
        self._call_times_ms = _times_ms(call_lease_s)
        self._scripts = {
            name: redis.register_script(scripts.source(name)) for name in scripts.NAMES
        }

    # --- gateways ---------------------------------------------------------------------------------

    async def claim(
        self, call_id: str, prompt_hash: str, gateway_id: str, *, exclude: Collection[str] = ()
    ) -> Claim:
        """Takes a slot for a call; the same call gets the same slot again while it holds it.

        Args:
            call_id: the call.
            prompt_hash: its prompt; a worker that holds it is preferred.
            gateway_id: who asks, for people who look at the books.
            exclude: workers that failed or refused this call; a slot held there is given up.

        Raises:
            NoCapacity: no live worker of any pool has room.
            BrokerUnavailable: Redis doesn't answer.
        """
        seen = []
        for only_held in (True, False) if len(self._prefixes) > 1 else (False,):
            for pool in self._prefixes:
                arguments = (call_id, prompt_hash, gateway_id, *self._call_times_ms)
                answer = await self._run("claim", pool, *arguments, int(only_held), *exclude)
                if answer[0] == "claimed":
                    return self._claim_of(call_id, pool, *answer[1:])
                seen.append(f"{pool}: {answer[1]} workers, {answer[2]} slots")
        raise NoCapacity("no free slot (" + "; ".join(seen[-len(self._prefixes) :]) + ")")

    async def renew(self, call_id: str, fencing_token: int, *, pool: str | None = None) -> bool:
        """Extends a call's lease.

        Returns:
            False if the books name another claim or none. That is no reason to end a call whose
            link is up: the worker's next heartbeat may write it down again.

        Raises:
            BrokerUnavailable: Redis doesn't answer; try again.
        """
        arguments = (call_id, fencing_token, *self._call_times_ms)
        return bool(await self._run("renew", pool or self._pool, *arguments))

    async def release(self, call_id: str, fencing_token: int, *, pool: str | None = None) -> bool:
        """Gives a call's slot back.

        Returns:
            False if the books name another claim or none; nothing changed then.

        Raises:
            BrokerUnavailable: Redis doesn't answer; the lease will run out by itself.
        """
        tombstone_ms = round(keys.RELEASED_TTL_S * 1_000)
        arguments = (call_id, fencing_token, tombstone_ms)
        return bool(await self._run("release", pool or self._pool, *arguments))

    async def workers(self) -> list[WorkerInfo]:
        """All live workers of all pools, in order of preference, then by id.

        Raises:
            BrokerUnavailable: Redis doesn't answer.
        """
        found = []
        for pool in self._prefixes:
            rows = await self._run("workers", pool)
            known = [info for row in rows if (info := _info(pool, row)) is not None]
            found += sorted(known, key=lambda info: info.worker_id)
        return found

    # --- workers ----------------------------------------------------------------------------------

    async def register(self, worker: WorkerInfo) -> bool:
        """Announces a worker's process; forgets the calls of its older processes.

        Returns:
            False if a newer process has the same worker id: this one must stop.

        Raises:
            BrokerUnavailable: Redis doesn't answer.
        """
        arguments = (worker.worker_id, worker.epoch, worker.url, worker.slots)
        arguments_of_kind = (worker.kind, worker.model, *self._worker_times_ms)
        return bool(await self._run("register", self._pool, *arguments, *arguments_of_kind))

    async def heartbeat(
        self,
        worker_id: str,
        epoch: int,
        *,
        state: State = "open",
        primed: Iterable[str] = (),
        tick_p99_ms: float = 0.0,
        sessions: Iterable[HeldSession] = (),
    ) -> HeartbeatAnswer:
        """Keeps a worker's lease alive and puts the books right about its sessions.

        Raises:
            BrokerUnavailable: Redis doesn't answer.
        """
        held = (
            field
            for session in sessions
            for field in (session.call_id, session.fencing_token, session.prompt_hash)
        )
        times_ms = (*self._worker_times_ms, *self._call_times_ms)
        head = (worker_id, epoch, state, " ".join(primed), tick_p99_ms)
        return HeartbeatAnswer(await self._run("heartbeat", self._pool, *head, *times_ms, *held))

    async def drain(self, worker_id: str) -> bool:
        """Keeps new calls away from a worker; False if nobody knows it.

        The worker learns of it with its next heartbeat. Only a new process opens it again.

        Raises:
            BrokerUnavailable: Redis doesn't answer.
        """
        return bool(await self._run("drain", self._pool, worker_id))

    async def leave(self, worker_id: str, epoch: int) -> bool:
        """Takes a worker and its calls out of the books; False if it's not this process.

        Raises:
            BrokerUnavailable: Redis doesn't answer.
        """
        return bool(await self._run("leave", self._pool, worker_id, epoch))

    async def reap(self) -> Reaped:
        """Forgets dead workers and calls of dead gateways; anyone may call it at any time.

        Raises:
            BrokerUnavailable: Redis doesn't answer.
        """
        workers, calls = await self._run("reap", self._pool, REAP_LIMIT)
        return Reaped(tuple(workers), tuple(calls))

    # --- common -----------------------------------------------------------------------------------

    async def _run(self, name: str, pool: str, *arguments: str | int | float) -> Any:
        task = asyncio.current_task()
        cancelled_before = task.cancelling() if task else 0
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._scripts[name](keys=[self._prefixes[pool]], args=arguments)
                if task and task.cancelling() > cancelled_before:
                    # redis-py uses asyncio.wait_for, and that of Python 3.11 loses a cancellation
                    # which meets the end of what is waited for: the task would live on.
                    raise asyncio.CancelledError
                return answer
        except TimeoutError:
            raise BrokerUnavailable(f"Redis gave no answer within {self._timeout_s} s") from None
        except (RedisError, OSError) as error:
            # Refused or broken connections, a loading or read-only server, a full pool.
            raise BrokerUnavailable(f"Redis can't be used: {error}") from None

    def _claim_of(
        self, call_id: str, pool: str, worker_id: str, url: str, epoch: str, fence: str, kind: str
    ) -> Claim:
        return Claim(
            call_id, worker_id, url, int(epoch), int(fence), self._call_lease_s, kind, pool
        )


def _times_ms(lease_s: float) -> tuple[int, int]:
    """A lease and the time after which Redis forgets its record, both in ms."""
    lease_ms = round(lease_s * 1_000)
    return lease_ms, lease_ms * keys.RECORD_TTL_FACTOR


def _info(pool: str, row: Sequence[Any]) -> WorkerInfo | None:
    """A worker as the books have it; None for what a stranger or another release wrote."""
    try:
        return _read_info(pool, *row)
    except (ValueError, TypeError, AttributeError):
        log.warning("worker_not_understood", pool=pool)
        return None


def _read_info(pool: str, *row: Any) -> WorkerInfo:
    worker_id, url, epoch, slots, used, kind, model, state, primed, tick_p99_ms, age_ms = row
    return WorkerInfo(
        worker_id=worker_id,
        url=url,
        epoch=int(epoch),
        slots=int(slots),
        used=int(used),
        kind=kind,
        model=model,
        state="open" if state == "open" else "draining",
        primed=frozenset(primed.split()),
        tick_p99_ms=float(tick_p99_ms),
        heartbeat_age_s=max(0, int(age_ms)) / 1_000,
        pool=pool,
    )
