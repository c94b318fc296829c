"""Trunks: who may call us from where, and what is agreed with them.

Plain values and a look-up by address; the file they come from is read by the program.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from callcenter.telephony.sip.auth import Credentials
from callcenter.telephony.sip.networks import Network, NetworkTable, address_of
from callcenter.telephony.sip.uri import Peer, SipUri


@dataclass(frozen=True, slots=True)
class Trunk:
    """One trunk or PBX.

    Attributes:
        name: a metric label.
        networks: where its signalling comes from. One that holds every address makes the trunk
            open: whoever logs in may call, and each call then belongs to the one host it came from.
        names: hosts that its configuration names, such as its registrar: requests of ours may go
            there, and those that come back over a connection of ours are the trunk's.
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
        international_prefixes: what its numbers begin with where others write a plus.
        outbound_proxy: first hop of requests of ours outside of a call (RFC 3261 8.1.2).
        trust_identity: P-Asserted-Identity and Remote-Party-ID say who calls, From does not.
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
    international_prefixes: tuple[str, ...] = ()
    outbound_proxy: SipUri | None = None
    trust_identity: bool = False
    names: frozenset[str] = frozenset()

    @property
    def is_open(self) -> bool:
        """Whether it has no networks of its own."""
        return any(network.prefixlen == 0 for network in self.networks)

    def routes(self) -> tuple[str, ...]:
        """Route values of requests of ours outside of a call: the outbound proxy, a loose one."""
        return () if self.outbound_proxy is None else (loose_route(self.outbound_proxy),)

    def serves(self, peer: Peer) -> bool:
        """Whether a message from there is this trunk's."""
        return peer.transport in self.transports and self.knows(peer.host)

    def knows(self, host: str) -> bool:
        """Whether a host is one of its own: an address of its networks, or one of its names."""
        address = address_of(host)
        if address is None:  # a name: never the source of a message over a socket that listens
            return host in self.names
        return any(address in network for network in self.networks)

    def vouches_for(self, host: str) -> bool:
        """Whether its media may come from there though no SDP has named it.

        A network of all addresses (a trunk that is known by its secret alone) vouches for nobody.
        """
        address = address_of(host)
        networks = (network for network in self.networks if network.prefixlen)
        return address is not None and any(address in network for network in networks)

    def carries(self, hop: Peer, began: Peer) -> bool:
        """Whether requests of one call may come from there, and go there.

        Args:
            hop: the other end.
            began: where the call's first message came from, or went.
        """
        if hop.transport not in self.transports:
            return False
        if began.transport == "tls" and hop.transport != "tls":
            return False  # SDP holds the keys of SRTP: what began encrypted stays so
        own = hop.host == began.host or hop.host in self.names
        return own or (not self.is_open and self.knows(hop.host))


def loose_route(proxy: SipUri) -> str:
    """A Route value of a proxy that forwards by the Request-URI (RFC 3261 16.12)."""
    if proxy.param("lr") is None:
        proxy = replace(proxy, params=(*proxy.params, ("lr", "")))
    return f"<{proxy}>"


class Trunks:
    """All trunks; the first that serves a peer wins."""

    def __init__(self, trunks: Iterable[Trunk]) -> None:
        self.replace(trunks)

    def replace(self, trunks: Iterable[Trunk]) -> None:
        """Other trunks from now on; calls that are up go on."""
        self._trunks = tuple(trunks)
        self._table = NetworkTable(
            (network, index)
            for index, trunk in enumerate(self._trunks)
            for network in trunk.networks
        )
        self._names: dict[str, list[int]] = {}
        for index, trunk in enumerate(self._trunks):
            for name in trunk.names:
                self._names.setdefault(name, []).append(index)

    def find(self, peer: Peer) -> Trunk | None:
        """The trunk of a message's source; None for a stranger."""
        for index in self._of(peer.host):
            if peer.transport in self._trunks[index].transports:
                return self._trunks[index]
        return None

    def knows(self, host: str) -> bool:
        """Whether any trunk has that host."""
        return bool(self._of(host))

    def _of(self, host: str) -> list[int]:
        return self._table.find(host) or self._names.get(host, [])


class RateLimit:
    """A token bucket.

    Args:
        per_s: refilled by so many a second.
        burst: holds at most so many.

    Attributes:
        per_s: as it was made.
    """

    def __init__(self, per_s: float, burst: float) -> None:
        self.per_s, self._burst = per_s, burst
        self._left, self._at = burst, float("-inf")

    def take(self, now: float) -> bool:
        """Takes one; False when there is none."""
        if self._at > float("-inf"):
            self._left = min(self._burst, self._left + (now - self._at) * self.per_s)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
