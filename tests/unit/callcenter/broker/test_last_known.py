"""The gateway's memory of the workers while Redis is down."""

import pytest

from callcenter.broker.last_known import LastKnownWorkers
from callcenter.broker.placement import WorkerInfo
from callcenter.errors import BrokerUnavailable, NoCapacity

WORKERS = [
    WorkerInfo("a", "ws://a", epoch=1, slots=2, used=1, kind="rehearsal", pool="main"),
    WorkerInfo("b", "ws://b", epoch=2, slots=2, kind="cascade", pool="spare"),
]


@pytest.fixture
def table() -> LastKnownWorkers:
    """Two workers, seen at 100 s, good for 60 s."""
    table = LastKnownWorkers(max_age_s=60)
    table.update(WORKERS, now=100)
    return table


def test_it_names_a_worker_with_all_that_the_link_needs(table: LastKnownWorkers) -> None:
    """Address, process, kind and pool are those of the chosen worker."""
    claim = table.claim("CA1", "p", now=101)
    assert (claim.call_id, claim.worker_id, claim.url, claim.epoch) == ("CA1", "a", "ws://a", 1)
    assert (claim.kind, claim.pool, claim.lease_s) == ("rehearsal", "main", 0.0)


def test_the_new_fencing_token_is_above_the_last_one(table: LastKnownWorkers) -> None:
    """A worker that knows the call from before accepts it."""
    assert table.claim("CA1", "p", now=101).fencing_token == 1
    assert table.claim("CA1", "p", now=101, after_fencing_token=9).fencing_token == 10


def test_slots_taken_here_count(table: LastKnownWorkers) -> None:
    """Three slots are free in all, then there is no room."""
    taken = [table.claim(f"CA{index}", "p", now=101).worker_id for index in range(3)]
    assert taken == ["a", "b", "b"]
    with pytest.raises(NoCapacity, match="no last known worker"):
        table.claim("CA9", "p", now=101)


def test_a_worker_that_refused_is_left_out(table: LastKnownWorkers) -> None:
    """The next knock is at another door."""
    assert table.claim("CA1", "p", now=101, exclude={"a"}).worker_id == "b"


def test_the_table_grows_too_old(table: LastKnownWorkers) -> None:
    """At 60 s it is still used, after that no more."""
    assert table.usable(160)
    assert not table.usable(160.1)
    with pytest.raises(BrokerUnavailable, match="too old"):
        table.claim("CA1", "p", now=160.1)


def test_an_empty_table_is_of_no_use() -> None:
    """Before Redis ever answered, and when it knew nobody."""
    table = LastKnownWorkers()
    assert not table.usable(0)
    table.update([], now=0)
    assert not table.usable(0)


def test_a_fresh_look_replaces_everything(table: LastKnownWorkers) -> None:
    """Workers that Redis no longer knows are gone, counts start anew."""
    table.claim("CA1", "p", now=101)
    table.update([WORKERS[1]], now=200)
    assert table.claim("CA2", "p", now=200).worker_id == "b"
