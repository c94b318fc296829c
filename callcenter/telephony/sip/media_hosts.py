"""Looks up hosts that an SDP names in place of addresses, beside the loop that all calls share.

A look-up blocks for as long as a DNS server stays silent. So it has a few threads of its own, a
time limit and a bound on how many wait; what was found is kept for a minute. A name that is not
found in time is None, never an exception.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from callcenter.telephony.sip.networks import is_address

LOOK_UP_S = 2.0
THREADS = 4
MAX_WAITING = 32
KEPT_S = 60.0
MAX_KEPT = 256
MAX_NAME_CHARS = 253  # RFC 1035 3.1

LookUp = Callable[[str, socket.AddressFamily], str]

log = structlog.get_logger(__name__)


def look_up(name: str, family: socket.AddressFamily) -> str:
    """The first address of a name; blocks.

    Raises:
        OSError: there is none.
        UnicodeError: it can be no name.
    """
    return str(socket.getaddrinfo(name, None, family, socket.SOCK_DGRAM)[0][4][0])


class Hosts:
    """All look-ups of one process.

    Args:
        look_up: blocks; called in a thread.
        clock: seconds, monotonic.
    """

    def __init__(
        self, look_up: LookUp = look_up, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._look_up = look_up
        self._clock = clock
        self._threads = ThreadPoolExecutor(THREADS, "media-host")
        self._waiting = 0
        self._kept: OrderedDict[tuple[str, int], tuple[str, float]] = OrderedDict()

    async def find(self, host: str, family: socket.AddressFamily) -> str | None:
        """The address of a host, within LOOK_UP_S; None when there is none."""
        if is_address(host):
            return host
        kept = self._kept.get((host, family))
        if kept is not None and self._clock() - kept[1] < KEPT_S:
            return kept[0]
        if len(host) > MAX_NAME_CHARS or self._waiting >= MAX_WAITING:
            log.warning("media_host_not_looked_up", waiting=self._waiting)
            return None
        try:
            async with asyncio.timeout(LOOK_UP_S):
                return self._keep(host, family, await self._in_thread(host, family))
        except (OSError, UnicodeError, TimeoutError) as error:  # no such name, or no answer
            log.warning("media_host_not_found", detail=str(error) or type(error).__name__)
            return None

    async def _in_thread(self, host: str, family: socket.AddressFamily) -> str:
        # Counted until the thread is free, which may be long after the caller has given up.
        self._waiting += 1
        loop = asyncio.get_running_loop()
        found = self._threads.submit(self._look_up, host, family)
        found.add_done_callback(lambda _: loop.call_soon_threadsafe(self._done))
        return await asyncio.wrap_future(found)

    def _done(self) -> None:
        self._waiting -= 1

    def _keep(self, host: str, family: socket.AddressFamily, address: str) -> str:
        self._kept[host, family] = address, self._clock()
        self._kept.move_to_end((host, family))
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return address
