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
    call_refused    transport trunk called caller gateway_id outcome code   no agent answered it

Writing never waits: entries go to a bounded queue, the oldest are dropped and counted when Redis is
away for long. It knows nothing of databases.
"""

from __future__ import annotations

import asyncio
import json
import math
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
MAX_CALL_ID_CHARS = 120
MAX_KIND_CHARS = 40
MAX_DATA_CHARS = 64_000  # of JSON; a call's quality, the largest of ours, has about 1,000
MAX_DEPTH = 8  # of what is nested in the data
FIRST_S = 946_684_800.0  # 2000-01-01: earlier than any call
LAST_S = 4_102_444_800.0  # 2100-01-01: later than any call
_NO_TEXT = str.maketrans(  # no database stores these: NUL, and halves of surrogate pairs
    dict.fromkeys([0, *range(0xD800, 0xE000)], "\N{REPLACEMENT CHARACTER}")
)

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

    What no database stores (NUL, halves of surrogate pairs, NaN) is replaced, so that a call with
    an odd byte in a name is recorded all the same.

    Raises:
        ValueError: they are not an entry of ours, or go beyond the limits of one.
    """
    try:
        call_id, kind, text = fields["call"], fields["kind"], fields["data"]
        at_s = float(fields["at"])
    except (KeyError, TypeError) as error:  # another release, a stranger
        raise ValueError(f"a field is missing: {error}") from None
    if not 0 < len(call_id) <= MAX_CALL_ID_CHARS or not 0 < len(kind) <= MAX_KIND_CHARS:
        raise ValueError("the call's id or the kind has no usable length")
    if not FIRST_S <= at_s < LAST_S:  # NaN fails both comparisons
        raise ValueError("the moment is out of range")
    if len(text) > MAX_DATA_CHARS:
        raise ValueError(f"the data is longer than {MAX_DATA_CHARS} characters")
    try:
        data = json.loads(text)
    except RecursionError:  # thousands of brackets
        raise ValueError("the data is nested too deeply") from None
    if not isinstance(data, dict):
        raise ValueError("data is no object")
    return Entry(_clean_text(call_id), at_s, _clean_text(kind), _clean(data, MAX_DEPTH))


def _clean_text(text: str) -> str:
    return text.translate(_NO_TEXT)


def _clean(value: Any, depth: int) -> Any:
    """JSON data as databases store it; ValueError if it is nested too deeply."""
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else None
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        raise ValueError("the data is nested too deeply")
    if isinstance(value, list):
        return [_clean(item, depth - 1) for item in value]
    return {_clean_text(name): _clean(item, depth - 1) for name, item in value.items()}


class Journal:
    """Writes entries in the background.

    Attributes:
        dropped: entries that were lost because Redis was away for too long, or that are none.
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
            written = [fields for entry in batch if (fields := self._encoded(entry))]
            try:
                async with self._redis.pipeline(transaction=False) as pipe:
                    for fields in written:
                        pipe.xadd(STREAM, fields, maxlen=STREAM_MAX_ENTRIES)  # type: ignore[arg-type]
                    await pipe.execute()
            except (RedisError, OSError) as error:  # it is away; entries wait
                self._queue.extendleft(reversed(batch))
                log.warning("journal_not_written", detail=str(error), waiting=len(self._queue))
                return False
        self._waiting.clear()
        return True

    def _encoded(self, entry: Entry) -> dict[str, str] | None:
        """An entry's fields; None, counted, for one that no reader would take."""
        try:
            fields = encode(entry)
        except (TypeError, ValueError, RecursionError):  # a value that is no JSON: a fault of ours
            fields = {}
        if fields and len(fields["data"]) <= MAX_DATA_CHARS:
            return fields
        self.dropped += 1
        log.error("journal_entry_not_writable", call_id=entry.call_id, kind=entry.kind)
        return None
