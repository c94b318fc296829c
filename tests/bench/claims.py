"""Claims per second while workers are being killed, and whether a slot was ever given twice.

    python tests/bench/claims.py [--seconds 10] [--gateways 20]

A real Valkey, four workers of three slots with heartbeats, and as many gateways that claim, hold a
call for a moment and release. Every second the worker that has lived longest is killed: it stops
beating and refuses its calls, and a new one with another name takes its place. Over-commits are
judged outside Redis: per worker, the calls that believe they have a slot at the same time.

Prints one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from callcenter.broker.broker import Broker
from callcenter.broker.claims import Claim, HeartbeatAnswer
from callcenter.broker.connection import connect
from callcenter.broker.placement import WorkerInfo
from callcenter.errors import NoCapacity
from tests.servers import valkey

WORKERS = 4
SLOTS = 3
LEASE_S = 0.6
HEARTBEAT_S = 0.2
REAP_S = 0.1
KILL_EVERY_S = 1.0
HOLD_S = 0.01


@dataclass
class Score:
    """What is counted."""

    claim_s: list[float] = field(default_factory=list)
    fences: list[int] = field(default_factory=list)
    detection_s: list[float] = field(default_factory=list)
    no_capacity: int = 0
    overcommits: int = 0
    killed: int = 0


class Stage:
    """Workers that live and die, and the truth about who holds what."""

    def __init__(self, broker: Broker, score: Score) -> None:
        self.broker = broker
        self.score = score
        self.alive: dict[str, asyncio.Task[None]] = {}
        self.held: Counter[str] = Counter()
        self._named = 0

    def spawn(self) -> None:
        """Starts a worker with a new name."""
        self._named += 1
        name = f"w{self._named}"
        self.alive[name] = asyncio.create_task(self._live(name))

    async def kill_for_ever(self) -> None:
        """Kills the oldest worker every second and notes when the books noticed."""
        while True:
            await asyncio.sleep(KILL_EVERY_S)
            name = next(iter(self.alive))
            self.alive.pop(name).cancel()
            self.score.killed += 1
            died_s = time.monotonic()
            self.spawn()
            await self._until_unknown(name)
            self.score.detection_s.append(time.monotonic() - died_s)

    async def reap_for_ever(self) -> None:
        """Tidies the books up."""
        while True:
            await asyncio.sleep(REAP_S)
            await self.broker.reap()

    def take(self, claim: Claim) -> None:
        """Notes a claim; more calls than slots on one worker is an over-commit."""
        self.held[claim.worker_id] += 1
        self.score.overcommits += self.held[claim.worker_id] > SLOTS
        self.score.fences.append(claim.fencing_token)

    async def _until_unknown(self, name: str) -> None:
        while True:
            if name not in {info.worker_id for info in await self.broker.workers()}:
                return
            await asyncio.sleep(0.01)

    async def _live(self, name: str) -> None:
        info = WorkerInfo(name, f"ws://{name}", epoch=1, slots=SLOTS)
        await self.broker.register(info)
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            if await self.broker.heartbeat(name, 1) is HeartbeatAnswer.UNKNOWN:
                await self.broker.register(info)


async def call_for_ever(stage: Stage, gateway: str, rng: random.Random) -> None:
    """One gateway: claims, holds, releases, counts."""
    number = 0
    while True:
        number += 1
        call_id = f"{gateway}-{number}"
        began_s = time.perf_counter()
        try:
            claim = await stage.broker.claim(call_id, "p", gateway)
        except NoCapacity:
            stage.score.no_capacity += 1
            await asyncio.sleep(HOLD_S)
            continue
        stage.score.claim_s.append(time.perf_counter() - began_s)
        stage.take(claim)
        await asyncio.sleep(HOLD_S * rng.random())
        # The caller hangs up first; the slot may be given anew from the release on.
        stage.held[claim.worker_id] -= 1
        await stage.broker.release(call_id, claim.fencing_token)


async def measure(url: str, seconds: float, gateways: int) -> Score:
    """Runs the stage for a while."""
    score = Score()
    async with connect(url) as client:
        broker = Broker(client, "bench", timeout_s=2.0, worker_lease_s=LEASE_S)
        stage = Stage(broker, score)
        for _ in range(WORKERS):
            stage.spawn()
        await asyncio.sleep(HEARTBEAT_S)
        tasks = [
            asyncio.create_task(call_for_ever(stage, f"g{index}", random.Random(index)))
            for index in range(gateways)
        ]
        tasks += [asyncio.create_task(stage.kill_for_ever())]
        tasks += [asyncio.create_task(stage.reap_for_ever())]
        await asyncio.sleep(seconds)
        for task in (*tasks, *stage.alive.values()):
            task.cancel()
        ended = await asyncio.gather(*tasks, *stage.alive.values(), return_exceptions=True)
        for error in ended:
            if not isinstance(error, asyncio.CancelledError) and isinstance(error, Exception):
                raise error
    return score


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--gateways", type=int, default=20)
    arguments = parser.parse_args()
    with valkey() as server:
        score = asyncio.run(measure(server.connection_url, arguments.seconds, arguments.gateways))
    p50_ms, p99_ms = np.percentile(score.claim_s, [50, 99]) * 1_000
    print(
        json.dumps(
            {
                "bench": "claims",
                "seconds": arguments.seconds,
                "gateways": arguments.gateways,
                "slots": WORKERS * SLOTS,
                "claims": len(score.claim_s),
                "claims_per_s": round(len(score.claim_s) / arguments.seconds),
                "no_capacity": score.no_capacity,
                "overcommits": score.overcommits,
                "fences_unique": len(set(score.fences)) == len(score.fences),
                "workers_killed": score.killed,
                "death_seen_s_max": round(max(score.detection_s, default=0.0), 3),
                "claim_p50_ms": round(float(p50_ms), 2),
                "claim_p99_ms": round(float(p99_ms), 2),
            }
        )
    )
    if score.overcommits:
        raise SystemExit("a slot was given twice")


if __name__ == "__main__":
    main()
