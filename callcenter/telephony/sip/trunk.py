"""Trunks: who may call us from where, and what is agreed with them.

Plain values and a look-up by address; the file they come from is read by the program.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from callcenter.telephony.sip.auth import Credentials
from callcenter.telephony.sip.uri import Peer

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Trunk:
    """One trunk or PBX.

    Attributes:
        name: a metric label.
        networks: where its signalling comes from.
        credentials: asked of every INVITE; None trusts the addresses alone.
        outbound: ours, when it asks us; also for REGISTER.
        transports: over which it may call.
        srtp: "never", "may" or "must".
        codecs: in order of preference.
        max_channels: calls at once, ringing ones included.
        invites_per_s: beyond this rate new calls are refused.
        no_capacity_status: refusal when no slot is free or we drain: 503, 486, 480 ...
        retry_after_s: goes with it.
        transfer_uri: where a handoff goes; "{number}" stands for the number.
        attended_transfer: call there first, and hand the caller over once somebody answers.
    """

    name: str
    networks: tuple[Network, ...]
    credentials: Credentials | None = None
    outbound: Credentials | None = None
    transports: frozenset[str] = frozenset({"udp", "tcp", "tls"})
    srtp: str = "may"
    codecs: tuple[str, ...] = ("pcmu", "pcma")
    max_channels: int = 100
    invites_per_s: float = 20.0
    no_capacity_status: int = 503
    retry_after_s: int = 5
    transfer_uri: str = "sip:{number}@{host}"
    attended_transfer: bool = False

    def serves(self, peer: Peer) -> bool:
        """Whether a message from there is this trunk's."""
        return peer.transport in self.transports and self.knows(peer.host)

    def knows(self, host: str) -> bool:
        """Whether the address is in one of its networks."""
        return _any_has(self.networks, host)

    def vouches_for(self, host: str) -> bool:
        """Whether its media may come from there though no SDP has named it.

        A network of all addresses (a trunk that is known by its secret alone) vouches for nobody.
        """
        return _any_has((network for network in self.networks if network.prefixlen), host)


def _any_has(networks: Iterable[Network], host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:  # a name: never the source of a message
        return False
    return any(address in network for network in networks)


class Trunks:
    """All trunks; the first that serves a peer wins."""

    def __init__(self, trunks: Iterable[Trunk]) -> None:
        self._trunks = tuple(trunks)

    def replace(self, trunks: Iterable[Trunk]) -> None:
        """Other trunks from now on; calls that are up go on."""
        self._trunks = tuple(trunks)

    def find(self, peer: Peer) -> Trunk | None:
        """The trunk of a message's source; None for a stranger."""
        return next((trunk for trunk in self._trunks if trunk.serves(peer)), None)

    def knows(self, host: str) -> bool:
        """Whether any trunk has that address."""
        return any(trunk.knows(host) for trunk in self._trunks)


class RateLimit:
    """A token bucket.

    Args:
        per_s: refilled by so many a second.
        burst: holds at most so many.
    """

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s, self._burst = per_s, burst
        self._left, self._at = burst, float("-inf")

    def take(self, now: float) -> bool:
        """Takes one; False when there is none."""
        if self._at > float("-inf"):
            self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
