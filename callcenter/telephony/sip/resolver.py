"""Asks DNS where SIP's host names lead (RFC 3263), beside the event loop: no call waits for it.

SRV and NAPTR by dnspython, whose cache keeps answers as long as they say; A and AAAA likewise, and
by the system's own look-up where DNS has none: the hosts file, short names of a cluster. What is
found in which order is `locating`'s.
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
import structlog
from dns.rdtypes.IN.NAPTR import NAPTR
from dns.rdtypes.IN.SRV import SRV

from callcenter.telephony.sip.locating import (
    Naptr,
    Srv,
    default_port,
    healthy_first,
    in_order,
    srv_name,
    transports_of,
)
from callcenter.telephony.sip.networks import is_address
from callcenter.telephony.sip.uri import Peer, SipUri

LOOK_UP_TIMEOUT_S = 5.0
CACHED_NAMES = 1_000
AVOIDED_S = 60.0  # how long an address that failed comes behind the others
MAX_AVOIDED = 1_000
MAX_LOOK_UPS = 64  # names that are looked up at once
MAX_WAITING = 32  # messages that wait for one name

log = structlog.get_logger(__name__)


class Resolver:
    """Looks names up.

    Args:
        servers: DNS servers, addresses and ports; none for the system's.
        clock: seconds.
        draw: numbers in [0, 1), for the weights of SRV records.
    """

    def __init__(
        self,
        servers: Sequence[tuple[str, int]] = (),
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._draw = draw
        self._failed: dict[tuple[str, int], float] = {}
        self._dns = _dns(servers)

    async def locate(self, peer: Peer) -> list[Peer]:
        """The addresses of a hop, the one to try first in front; empty if there are none.

        An address leads to itself. A port that is only the transport's default gives way to SRV.
        """
        if is_address(peer.host):
            return [peer]
        try:
            async with asyncio.timeout(LOOK_UP_TIMEOUT_S):
                named = [(peer.host, peer.port)]
                if peer.srv:
                    found = in_order(await self._srv(peer.host, peer.transport), self._draw)
                    named = [(record.host, record.port) for record in found] or named
                targets = [
                    (address, port)
                    for host, port in named
                    for address in await self._addresses(host)
                ]
        except TimeoutError:
            log.warning("sip_not_resolved", host=peer.host, detail="DNS gave no answer in time")
            return []
        if not targets:
            log.warning("sip_not_resolved", host=peer.host, detail="there is no address")
        ordered = healthy_first(targets, self._is_avoided)
        return [Peer(peer.transport, address, port) for address, port in ordered]

    async def hop(self, uri: SipUri) -> Peer:
        """The hop of a URI, over the transport that its domain wants (RFC 3263 4.1).

        Only a name without port and transport leaves that open.
        """
        named = uri.peer()
        if not named.srv or uri.scheme == "sips" or uri.param("transport") is not None:
            return named
        try:
            async with asyncio.timeout(LOOK_UP_TIMEOUT_S):
                wanted = transports_of(await self._naptr(named.host))
                for transport in wanted or ("udp", "tcp"):
                    if await self._srv(named.host, transport):
                        return Peer(transport, named.host, default_port(transport), srv=True)
        except TimeoutError:  # as if there were no such records
            log.warning("sip_not_resolved", host=named.host, detail="DNS gave no answer in time")
        return named

    def avoid(self, peer: Peer) -> None:
        """An address did not answer: for a while it comes behind the others of its name."""
        if len(self._failed) >= MAX_AVOIDED:
            self._failed.clear()
        self._failed[peer.host, peer.port] = self._clock() + AVOIDED_S

    def _is_avoided(self, target: tuple[str, int]) -> bool:
        until = self._failed.get(target)
        return until is not None and self._clock() < until

    async def _srv(self, host: str, transport: str) -> list[Srv]:
        return [
            Srv(record.priority, record.weight, record.port, record.target.to_text(True) or ".")
            for record in await self._ask(srv_name(host, transport), "SRV")
            if isinstance(record, SRV)
        ]

    async def _naptr(self, host: str) -> list[Naptr]:
        return [
            Naptr(
                record.order,
                record.preference,
                record.service.decode("ascii", "replace"),
                record.replacement.to_text(True),
            )
            for record in await self._ask(host, "NAPTR")
            if isinstance(record, NAPTR)
        ]

    async def _addresses(self, host: str) -> list[str]:
        if is_address(host):
            return [host]
        found = [str(record) for kind in ("A", "AAAA") for record in await self._ask(host, kind)]
        return found or await _of_the_system(host)

    async def _ask(self, name: str, kind: str) -> list[object]:
        """Records of a name; none if there are none, or nobody says."""
        if self._dns is None or "." not in name:
            return []
        try:
            answer = await self._dns.resolve(
                dns.name.from_text(name), dns.rdatatype.from_text(kind), raise_on_no_answer=False
            )
        except (dns.exception.DNSException, OSError, UnicodeError):  # no such name, no server
            return []
        return list(answer.rrset or ())


class Names:
    """Messages over UDP to names, and where their addresses have failed.

    Args:
        resolver: finds addresses.
        send: sends a message to an address.
        reaches: whether there is a socket for an address.
        run: lets a look-up go on beside everything else.
    """

    def __init__(
        self,
        resolver: Resolver,
        send: Callable[[Peer, bytes], None],
        reaches: Callable[[Peer], bool],
        run: Callable[[Coroutine[None, None, None]], None],
    ) -> None:
        self._resolver = resolver
        self._send = send
        self._reaches = reaches
        self._run = run
        self._waiting: dict[Peer, deque[bytes]] = {}
        self._led_to: dict[Peer, Peer] = {}  # name -> the address that was used last

    async def locate(self, peer: Peer) -> list[Peer]:
        """The addresses of a hop, as `Resolver.locate`."""
        return await self._resolver.locate(peer)

    def send(self, peer: Peer, data: bytes) -> bool:
        """Sends as soon as the address is known, messages in their order; False: too many wait."""
        waiting = self._waiting.get(peer)
        if waiting is None:
            if len(self._waiting) >= MAX_LOOK_UPS:
                return False
            self._waiting[peer] = deque([data])
            self._run(self._resolve_and_send(peer))
        elif len(waiting) >= MAX_WAITING:
            return False
        else:
            waiting.append(data)
        return True

    def failed(self, address: Peer) -> None:
        """Nobody is at an address: for a while it comes behind the others of its name."""
        self._resolver.avoid(address)

    def silent(self, peer: Peer) -> None:
        """A name's far end gave no answer over UDP."""
        address = self._led_to.pop(peer, None)
        if address is not None:
            self._resolver.avoid(address)

    async def _resolve_and_send(self, peer: Peer) -> None:
        try:
            found = await self._resolver.locate(peer)
            targets = [target for target in found if self._reaches(target)]
        finally:
            waiting = self._waiting.pop(peer, deque())
        if not targets:
            return
        if len(self._led_to) >= CACHED_NAMES:
            self._led_to.clear()
        self._led_to[peer] = targets[0]
        for data in waiting:
            self._send(targets[0], data)


async def _of_the_system(host: str) -> list[str]:
    """By the hosts file and whatever else the system asks, in a thread."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):  # no such name
        return []
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _dns(servers: Sequence[tuple[str, int]]) -> dns.asyncresolver.Resolver | None:
    try:
        resolver = dns.asyncresolver.Resolver(configure=not servers)
    except dns.resolver.NoResolverConfiguration:  # only the system's own look-up is left
        return None
    if servers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in servers]
    resolver.cache = dns.resolver.LRUCache(CACHED_NAMES)
    resolver.lifetime = LOOK_UP_TIMEOUT_S / 2
    return resolver
