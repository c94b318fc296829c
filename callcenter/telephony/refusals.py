"""Counts what media sockets drop, and says so in the log at most once a minute.

A scan or a flood comes at the network's rate: each datagram costs a number here, never a line.
Knows nothing of why one is dropped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import structlog

from callcenter import metrics
from callcenter.media.datagram import Refusal

SUMMARY_EVERY_S = 60.0

log = structlog.get_logger(__name__)


class Refusals:
    """Of one kind of media socket, all calls together.

    Args:
        transport: a metric label.
        clock: seconds, monotonic.
    """

    def __init__(self, transport: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._transport = transport
        self._clock = clock
        self._series = {
            reason: metrics.MEDIA_DATAGRAMS_REFUSED.labels(transport, reason.value)
            for reason in Refusal
        }
        self._unsaid: Counter[str] = Counter()
        self._said_at = float("-inf")

    def note(self, reason: Refusal, datagrams: int = 1) -> None:
        """Counts datagrams that were dropped."""
        self._series[reason].inc(datagrams)
        self._unsaid[reason.value] += datagrams
        if self._clock() - self._said_at >= SUMMARY_EVERY_S:
            self._said_at = self._clock()
            log.warning("media_datagrams_refused", transport=self._transport, **self._unsaid)
            self._unsaid.clear()


SIP = Refusals("sip")
BROWSERS = Refusals("webrtc")
