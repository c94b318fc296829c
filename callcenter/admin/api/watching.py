"""How many live views people may have open, and how one is sent (server-sent events)."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from http import HTTPStatus

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from callcenter import metrics
from callcenter.admin.problems import Problem

MAX_OF_ONE = 5
MAX_OF_ALL = 200


class Watchers:
    """Counts the live views that are open in this process.

    Args:
        of_one: as many may one person or API key have, in all their sessions together.
        of_all: as many may there be.
    """

    def __init__(self, of_one: int = MAX_OF_ONE, of_all: int = MAX_OF_ALL) -> None:
        self._of_one = of_one
        self._of_all = of_all
        self._open: Counter[str] = Counter()

    def enter(self, whose: str) -> None:
        """Counts one more.

        Raises:
            Problem: 429, there are enough.
        """
        if self._open[whose] >= self._of_one or self._open.total() >= self._of_all:
            metrics.WATCHERS_DROPPED.labels("refused").inc()
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too_many_streams",
                f"{self._of_one} live views are open in your name, or {self._of_all} in all; "
                "close one and try again",
                retry_after_s=5,
            )
        self._open[whose] += 1

    def leave(self, whose: str) -> None:
        """Counts one less."""
        self._open[whose] -= 1
        if not self._open[whose]:
            del self._open[whose]


class EventStream(StreamingResponse):
    """A live view; it is counted for exactly as long as it is sent."""

    def __init__(self, lines: AsyncIterator[str], watchers: Watchers, whose: str) -> None:
        super().__init__(
            lines, media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )
        self._watchers = watchers
        self._whose = whose

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the events, or why there is no room for one more view."""
        try:
            self._watchers.enter(self._whose)
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._watchers.leave(self._whose)
