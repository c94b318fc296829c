"""The tasks that run beside a program for as long as it lives: kept running, and ended.

    supervisor = Supervisor()
    supervisor.keep("intake", intake.run)      # started again, later and later, when it ends
    supervisor.trouble()                       # for /readyz: what does not run as it should
    supervisor.failing()                       # whether that keeps the program from its duty
    await supervisor.close()

Such a task serves many calls or receivers, and is written to go on for ever. When it ends all the
same, by an error nobody foresaw, that is logged, counted and repaired here, so that one message
that trips it does not end it for good. This is the only owner of these tasks' life: the error is
taken from the ended task, and no loop needs a handler for everything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from callcenter import metrics

END_AGAIN_S = 0.5
RESTART_AFTER_S = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
STEADY_S = 60.0  # a task that has run for so long is well again
FAILING_AFTER = 3  # ends in a row

Work = Callable[[], Coroutine[Any, Any, None]]

log = structlog.get_logger(__name__)


@dataclass
class _Kept:
    """One task that is kept running.

    Attributes:
        failures: how often it has ended without a steady run between.
        why: of the last end; "" while all is well.
    """

    name: str
    work: Work
    vital: bool
    task: asyncio.Task[None]
    started_s: float
    failures: int = 0
    why: str = ""
    timer: asyncio.TimerHandle | None = None


class Supervisor:
    """Keeps a program's background tasks running.

    Args:
        restart_after_s: how long to wait before the first, second, ... start in a row; the last
            value goes for all further ones.
        steady_s: after a run of this length earlier failures no longer count.
    """

    def __init__(
        self, restart_after_s: tuple[float, ...] = RESTART_AFTER_S, steady_s: float = STEADY_S
    ) -> None:
        self._restart_after_s = restart_after_s
        self._steady_s = steady_s
        self._kept: list[_Kept] = []
        self._closed = False

    def keep(self, name: str, work: Work, *, vital: bool = True) -> None:
        """Starts a task, and starts it again whenever it ends.

        Args:
            name: of the task, in logs and as a metric's label; one of few.
            work: makes its coroutine; called at every start.
            vital: whether the program does its duty only while it runs: see `failing`.
        """
        metrics.BACKGROUND_RESTARTS.labels(name)  # from 0 on: an alert sees the first increase
        kept = _Kept(name, work, vital, *self._started(name, work))
        self._kept.append(kept)
        kept.task.add_done_callback(partial(self._ended, kept))

    def trouble(self) -> str:
        """Which tasks have ended and not yet run steadily again, by what; "" if none.

        Any thread may ask.
        """
        found = []
        for kept in self._kept:
            self._forgive(kept)
            if kept.why:
                found.append(f"{kept.name} has ended {kept.failures} times, last by {kept.why}")
        return "; ".join(found)

    def failing(self) -> bool:
        """Whether a vital task ends again and again; any thread may ask."""
        for kept in self._kept:
            self._forgive(kept)
        return any(kept.vital and kept.failures >= FAILING_AFTER for kept in self._kept)

    async def close(self) -> None:
        """Ends all tasks."""
        self._closed = True
        for kept in self._kept:
            if kept.timer is not None:
                kept.timer.cancel()
        await end_all(kept.task for kept in self._kept)

    def _started(self, name: str, work: Work) -> tuple[asyncio.Task[None], float]:
        return asyncio.create_task(work(), name=name), time.monotonic()

    def _ended(self, kept: _Kept, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._closed:
            return
        self._forgive(kept)
        by = "CancelledError" if task.cancelled() else "an end of its own"  # a library may cancel
        kept.why = by if error is None else type(error).__name__
        wait_s = self._restart_after_s[min(kept.failures, len(self._restart_after_s) - 1)]
        kept.failures += 1
        metrics.BACKGROUND_RESTARTS.labels(kept.name).inc()
        log.error(
            "background_task_ended",
            task=kept.name,
            why=kept.why,
            failures=kept.failures,
            restart_in_s=wait_s,
            exc_info=error,
        )
        kept.timer = asyncio.get_running_loop().call_later(wait_s, self._restart, kept)

    def _restart(self, kept: _Kept) -> None:
        kept.timer = None
        kept.task, kept.started_s = self._started(kept.name, kept.work)
        kept.task.add_done_callback(partial(self._ended, kept))

    def _forgive(self, kept: _Kept) -> None:
        """Failures before a steady run are over."""
        running = kept.timer is None
        if running and time.monotonic() - kept.started_s >= self._steady_s:
            kept.failures, kept.why = 0, ""


async def end_all(tasks: Iterable[asyncio.Task[None]], again_s: float = END_AGAIN_S) -> None:
    """Cancels until all are over: a client library may lose one cancellation to a time-out."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=again_s)
