"""Worker threads for the heavy work of all calls: recognising, judging pauses, speaking.

The three networks release the GIL while they compute, so threads suffice. The most urgent job
runs first, whoever it belongs to. A call with too many jobs unfinished may not look at another
pause, so it cannot starve the others; its lines it gets in any case: a mouth wants two at a time.
The tick thread submits and polls, and never waits here.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from enum import IntEnum
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")

_MAX_JOBS_PER_CALL: Final = 8


class Urgency(IntEnum):
    """Lower runs first."""

    SPEECH = 0  # a line that the caller waits for
    PAUSE = 1  # the words of a turn that may be over
    AHEAD = 2  # the line after the one being spoken


class TooManyJobsError(Exception):
    """One call has too many jobs unfinished for another look; try again later, or do without."""


class Workshop(Protocol):
    """Where jobs are done."""

    def submit(self, owner: str, urgency: Urgency, work: Callable[[], T]) -> Future[T]:
        """Queues a job.

        Raises:
            TooManyJobsError: a look at a pause, and `owner` has too many jobs unfinished.
        """
        ...

    def close(self) -> None:
        """Drops waiting jobs and ends when the running ones are done."""
        ...


class InlineWorkshop:
    """Does each job at once, in the caller's thread: for simulated time."""

    def submit(self, owner: str, urgency: Urgency, work: Callable[[], T]) -> Future[T]:
        """Runs `work` before it returns."""
        future: Future[T] = Future()
        _run(future, work)
        return future

    def close(self) -> None:
        """Nothing waits here."""


class ThreadWorkshop:
    """A fixed number of threads over one priority queue.

    Args:
        threads: as many as there are cores to spare; each job uses one core.
    """

    def __init__(self, threads: int = 2) -> None:
        self._ready = threading.Condition()
        self._queue: list[tuple[int, int, str, Future[Any], Callable[[], Any]]] = []
        self._order = itertools.count()
        self._unfinished: Counter[str] = Counter()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"cascade-{index}", daemon=True)
            for index in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, owner: str, urgency: Urgency, work: Callable[[], T]) -> Future[T]:
        """Queues a job; a future cancelled before its turn is never run."""
        future: Future[T] = Future()
        with self._ready:
            if urgency is Urgency.PAUSE and self._unfinished[owner] >= _MAX_JOBS_PER_CALL:
                raise TooManyJobsError(f"{owner} has {_MAX_JOBS_PER_CALL} jobs unfinished")
            self._unfinished[owner] += 1
            heapq.heappush(self._queue, (urgency, next(self._order), owner, future, work))
            self._ready.notify()
        return future

    def close(self) -> None:
        """Drops waiting jobs and joins the threads."""
        with self._ready:
            self._closed = True
            self._queue.clear()
            self._ready.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while self._do_next():
            pass  # a thread that waits holds nothing of the last call

    def _do_next(self) -> bool:
        """Does a job; False when there will be no more."""
        job = self._next()
        if job is None:
            return False
        owner, future, work = job
        _run(future, work)
        with self._ready:
            self._unfinished[owner] -= 1
            if self._unfinished[owner] <= 0:
                del self._unfinished[owner]
        return True

    def _next(self) -> tuple[str, Future[Any], Callable[[], Any]] | None:
        with self._ready:
            while not self._queue and not self._closed:
                self._ready.wait()
            if self._closed:
                return None
            _, _, owner, future, work = heapq.heappop(self._queue)
            return owner, future, work


def _run(future: Future[T], work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001  the future carries it to whoever asks
        future.set_exception(error)
    else:
        future.set_result(result)
