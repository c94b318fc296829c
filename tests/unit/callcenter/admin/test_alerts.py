"""What is said of pools: who takes new calls, and when somebody should see to it."""

from callcenter.admin.api.alerts import of_pools
from callcenter.admin.api.workers import pools_of
from callcenter.broker.placement import WorkerInfo


def worker(used: int, state: str = "open", pool: str = "gpu") -> WorkerInfo:
    """One with four slots."""
    name = f"{pool}-{state}-{used}"
    return WorkerInfo(
        worker_id=name, url="ws://x", epoch=1, slots=4, kind="duplex", pool=pool, used=used,
        state=state,
    )  # fmt: skip


def codes(*workers: WorkerInfo) -> list[str]:
    """Of one pool."""
    return [alert.code for alert in of_pools(pools_of(["gpu"], workers))]


def test_a_draining_worker_lends_no_slot_and_takes_none() -> None:
    """Its calls are in nobody's way; its free slots are nobody's."""
    (pool,) = pools_of(["gpu"], [worker(1), worker(3, "draining")])
    assert (pool.slots, pool.used, pool.free, pool.draining) == (4, 4, 3, 1)
    assert codes(worker(1), worker(3, "draining")) == []


def test_nobody_takes_new_calls() -> None:
    """Full, draining, or not there; another pool's worker does not help."""
    assert codes(worker(4)) == ["no_free_slot"]
    assert codes(worker(0, "draining")) == ["no_free_slot"]
    assert codes(worker(0, pool="other")) == ["no_worker"]
