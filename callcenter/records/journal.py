"""The journal of calls: a bounded Redis stream that gateways write and the admin app reads.

    call_announced  transport trunk called caller route persona persona_version voice voice_sha256
                    prompt_hash worker_id
    call_began      gateway_id worker_id
    session_ready   setup_s
    first_sound     after_s
    speech          party speaking ago_s       who talks: two lanes
    turn            kind and its numbers       gaps, barge-ins, yields, overlaps
    text            piece                      what the agent says
    task            task fields                what the caller asked for and confirmed
    transfer        number                     the carrier is asked to take the caller over
    transfer_failed why                        and the call goes on
    keys            pressed                    how many; which ones may be a secret
    call_ended      outcome code duration_s quality

Writing never waits: entries go to a bounded queue, the oldest are dropped and counted when Redis is
away for long. It knows nothing of databases.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

STREAM = "cc:journal"
STREAM_MAX_ENTRIES = 200_000  # some hours of a busy day; the admin app reads within a second
QUEUE_MAX_ENTRIES = 20_000
BATCH = 200
RETRY_S = 1.0

log = structlog.get_logger(__name__)

Note = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened to a call.

    Attributes:
        at_s: Unix time.
        kind: one of the first column of the module's table.
        data: the second column; JSON.
    """

    call_id: str
    at_s: float
    kind: str
    data: Mapping[str, Any]


def encode(entry: Entry) -> dict[str, str]:
    """An entry as the fields of a stream entry."""
    return {
        "call": entry.call_id,
        "at": repr(entry.at_s),
        "kind": entry.kind,
        "data": json.dumps(entry.data),
    }


def decode(fields: Mapping[str, str]) -> Entry:
    """Reads the fields of a stream entry.

    Raises:
        ValueError: they are not an entry of ours.
    """
    try:
        data = json.loads(fields["data"])
        if not isinstance(data, dict):
            raise ValueError("data is no object")
        return Entry(fields["call"], float(fields["at"]), fields["kind"], data)
    except KeyError as error:
        raise ValueError(f"field {error} is missing") from None


class Journal:
    """Writes entries in the background.

    Attributes:
        dropped: entries that were lost because Redis was away for too long.
    """

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._clock = clock
        self._queue: deque[Entry] = deque()
        self._waiting = asyncio.Event()
        self.dropped = 0

    def note(self, call_id: str, kind: str, data: Mapping[str, Any]) -> None:
        """Puts an entry down; never waits."""
        if len(self._queue) >= QUEUE_MAX_ENTRIES:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(Entry(call_id, self._clock(), kind, data))
        self._waiting.set()

    def of(self, call_id: str) -> Note:
        """A pen for one call."""
        return lambda kind, data: self.note(call_id, kind, data)

    async def run(self) -> None:
        """Writes for ever; cancel it at the end of the process, then call `flush`."""
        while True:
            await self._waiting.wait()
            if not await self.flush():
                await asyncio.sleep(RETRY_S)

    async def flush(self) -> bool:
        """Writes what waits; False if Redis does not answer."""
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            try:
                async with self._redis.pipeline(transaction=False) as pipe:
                    for entry in batch:
                        pipe.xadd(STREAM, encode(entry), maxlen=STREAM_MAX_ENTRIES)  # type: ignore[arg-type]
                    await pipe.execute()
            except (RedisError, OSError) as error:  # it is away; entries wait
                self._queue.extendleft(reversed(batch))
                log.warning("journal_not_written", detail=str(error), waiting=len(self._queue))
                return False
        self._waiting.clear()
        return True
