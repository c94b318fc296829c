"""Keeping background tasks running, and ending them."""

import asyncio
from contextlib import suppress

from callcenter import metrics
from callcenter.background import Supervisor, end_all


async def test_a_task_that_loses_a_cancellation_is_cancelled_again() -> None:
    """As the Redis client does when its time-out falls into the same moment."""
    lost = 0

    async def deaf() -> None:
        nonlocal lost
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        lost += 1
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(deaf()), asyncio.create_task(asyncio.Event().wait())]
    await asyncio.sleep(0)
    await end_all(tasks, again_s=0.01)
    assert lost == 1
    assert all(task.cancelled() for task in tasks)


async def test_nothing_to_end() -> None:
    """Programs without background tasks end, too."""
    await end_all([])


async def test_a_task_that_ends_is_started_again() -> None:
    """By an error, by itself, or by a cancellation that nobody of ours has ordered."""
    supervisor, ends = Supervisor(restart_after_s=(0.0,)), iter("eric")
    runs, well = 0, asyncio.Event()

    async def work() -> None:
        nonlocal runs
        runs += 1
        match next(ends):
            case "e":
                raise KeyError("odd")
            case "r":
                return
            case "i":
                raise asyncio.CancelledError
        well.set()
        await asyncio.Event().wait()

    before = restarts("unit_test")
    supervisor.keep("unit_test", work)
    async with asyncio.timeout(5):
        await well.wait()
    assert (runs, restarts("unit_test") - before) == (4, 3)
    assert supervisor.trouble() == "unit_test has ended 3 times, last by CancelledError"
    assert supervisor.failing()
    await supervisor.close()
    assert runs == 4


async def test_trouble_is_over_after_a_steady_run() -> None:
    """Then the next failure is a first one again."""
    supervisor, fails, runs = Supervisor(restart_after_s=(0.0,), steady_s=0.0), True, 0

    async def work() -> None:
        nonlocal fails, runs
        runs += 1
        if fails:
            fails = False
            raise ValueError
        await asyncio.Event().wait()

    supervisor.keep("unit_test", work)
    while runs < 2:  # noqa: ASYNC110 - the task tells nobody
        await asyncio.sleep(0)
    assert supervisor.trouble() == ""
    assert not supervisor.failing()
    await supervisor.close()


async def test_one_that_fails_at_once_is_started_later_and_later() -> None:
    """So that it does not fill the processor and the log; closing ends the waiting, too."""
    supervisor, runs = Supervisor(restart_after_s=(0.0, 0.0, 3_600.0)), 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        raise ValueError

    supervisor.keep("unit_test", work)
    supervisor.keep("beside", work, vital=False)
    async with asyncio.timeout(5):
        while "has ended 3 times" not in supervisor.trouble():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
    assert runs == 6
    assert supervisor.failing()
    assert "beside has ended 3 times" in supervisor.trouble()
    await supervisor.close()


def restarts(name: str) -> float:
    """As the metric has it."""
    return metrics.BACKGROUND_RESTARTS.labels(name)._value.get()
