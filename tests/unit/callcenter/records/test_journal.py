"""The journal: bounded, never waiting, in order, and tolerant of a Redis that comes and goes."""

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from callcenter.records import journal
from callcenter.records.journal import Entry, Journal, decode, encode


class Pipe:
    """Collects what one execution would write."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._batch: list[dict[str, str]] = []

    async def __aenter__(self) -> "Pipe":
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""

    def xadd(self, stream: str, fields: dict[str, str], maxlen: int) -> None:
        """Queues an entry."""
        assert (stream, maxlen) == (journal.STREAM, journal.STREAM_MAX_ENTRIES)
        self._batch.append(fields)

    async def execute(self) -> None:
        """Writes, or fails as a Redis that is away."""
        if self._redis.away:
            raise RedisConnectionError("away")
        self._redis.written += self._batch


class Redis:
    """Keeps what was written."""

    def __init__(self) -> None:
        self.away = False
        self.written: list[dict[str, str]] = []

    def pipeline(self, transaction: bool) -> Pipe:
        """A batch."""
        assert not transaction
        return Pipe(self)


@pytest.fixture
def redis() -> Redis:
    """A Redis that answers."""
    return Redis()


def test_an_entry_survives_the_stream() -> None:
    """Encoded and decoded it is the same."""
    entry = Entry("CA1", 1_790_000_000.123456, "turn", {"kind": "TurnGap", "gap_s": 0.25})
    assert decode(encode(entry)) == entry


@pytest.mark.parametrize(
    "change", [{"call": None}, {"at": "noon"}, {"data": "["}, {"data": "[1]"}, {"kind": None}]
)
def test_what_is_no_entry(change: dict) -> None:
    """A ValueError, whatever is wrong."""
    fields = {**encode(Entry("CA1", 1.0, "turn", {})), **change}
    with pytest.raises(ValueError, match=r"missing|noon|Expecting|no object"):
        decode({name: value for name, value in fields.items() if value is not None})


async def test_entries_are_written_in_order(redis: Redis) -> None:
    """With the time of their noting, in batches."""
    times = iter(range(1_000))
    pen = Journal(redis, clock=lambda: float(next(times)))
    for index in range(journal.BATCH + 5):
        pen.of(f"CA{index}")("text", {"piece": "x"})
    assert await pen.flush()
    entries = [decode(fields) for fields in redis.written]
    assert [entry.call_id for entry in entries] == [f"CA{n}" for n in range(journal.BATCH + 5)]
    assert entries[7].at_s == 7.0


async def test_entries_wait_for_redis(redis: Redis) -> None:
    """None is lost or doubled while it is away for a while."""
    pen = Journal(redis)
    pen.note("CA1", "a", {})
    redis.away = True
    assert not await pen.flush()
    pen.note("CA1", "b", {})
    redis.away = False
    assert await pen.flush()
    assert [fields["kind"] for fields in redis.written] == ["a", "b"]


async def test_the_oldest_are_dropped_when_it_is_away_for_long(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And counted; memory is bounded."""
    monkeypatch.setattr(journal, "QUEUE_MAX_ENTRIES", 3)
    pen = Journal(redis)
    for kind in "abcde":
        pen.note("CA1", kind, {})
    assert pen.dropped == 2
    await pen.flush()
    assert [fields["kind"] for fields in redis.written] == ["c", "d", "e"]
