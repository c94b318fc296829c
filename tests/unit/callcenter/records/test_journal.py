"""The journal: bounded, never waiting, in order, and tolerant of a Redis that comes and goes."""

import json

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from callcenter.records import journal
from callcenter.records.journal import Entry, Journal, decode, encode

NOW_S = 1_790_000_000.0


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
    "change",
    [
        {"call": None},
        {"call": ""},
        {"call": "x" * 121},
        {"kind": None},
        {"kind": "k" * 41},
        {"at": "noon"},
        *({"at": at} for at in ("nan", "inf", "-1", "1e300")),
        *({"data": data} for data in ("[", "[1]", "1" * 5_000, "[" * 50_000)),
        {"data": json.dumps({"x": "y" * journal.MAX_DATA_CHARS})},
        {"data": '{"x":' * 10 + "1" + "}" * 10},
    ],
)
def test_what_is_no_entry(change: dict) -> None:
    """A ValueError, whatever is wrong."""
    fields = {**encode(Entry("CA1", NOW_S, "turn", {})), **change}
    with pytest.raises(ValueError):  # noqa: PT011 - some texts are Python's own
        decode({name: value for name, value in fields.items() if value is not None})


def test_what_no_database_stores_is_replaced() -> None:
    """NUL, halves of surrogate pairs, numbers that JSON or 64 bits do not have; names, too."""
    odd = Entry("CA\ud8001", NOW_S, "k", {"caller": "a\0\udcffb", "n\0": [float("nan"), 2**70, 7]})
    mark = "\N{REPLACEMENT CHARACTER}"
    clean = {"caller": f"a{mark}{mark}b", f"n{mark}": [None, None, 7]}
    assert decode(encode(odd)) == Entry(f"CA{mark}1", NOW_S, "k", clean)


async def test_an_entry_that_is_no_json_takes_no_other_with_it(redis: Redis) -> None:
    """It is counted as lost, as is one that is too large."""
    pen = Journal(redis)
    for data in ({"x": 1}, {"x": object()}, {"x": "y" * journal.MAX_DATA_CHARS}, {"x": 2}):
        pen.note("CA1", "text", data)
    assert await pen.flush()
    assert [json.loads(fields["data"])["x"] for fields in redis.written] == [1, 2]
    assert pen.dropped == 2


async def test_entries_are_written_in_order(redis: Redis) -> None:
    """With the time of their noting, in batches."""
    times = iter(range(1_000))
    pen = Journal(redis, clock=lambda: NOW_S + next(times))
    for index in range(journal.BATCH + 5):
        pen.of(f"CA{index}")("text", {"piece": "x"})
    assert await pen.flush()
    entries = [decode(fields) for fields in redis.written]
    assert [entry.call_id for entry in entries] == [f"CA{n}" for n in range(journal.BATCH + 5)]
    assert entries[7].at_s == NOW_S + 7


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
