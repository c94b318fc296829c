"""Which of many networks an address is in: one look-up a prefix length, however many they are.

Values alone; it knows no trunk and no socket.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(maxsize=4_096)
def address_of(host: str) -> Address | None:
    """The address that a text is; None for a name. IPv4 inside of IPv6 is IPv4 (RFC 4291 2.5.5.2).

    Args:
        host: without brackets; the zone of an IPv6 address, such as "%eth0", does not count.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a name
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    return address.ipv4_mapped or ipaddress.IPv6Address(int(address))


def is_address(host: str) -> bool:
    """Whether a host is written as an IP address, and so is no name to look up."""
    return address_of(host) is not None


class NetworkTable:
    """Networks, each with a number.

    Args:
        networks: the same number may have several networks.
    """

    def __init__(self, networks: Iterable[tuple[Network, int]]) -> None:
        # version -> shift -> leading bits -> numbers
        levels: dict[int, dict[int, dict[int, list[int]]]] = {4: {}, 6: {}}
        for network, number in networks:
            shift = network.max_prefixlen - network.prefixlen
            level = levels[network.version].setdefault(shift, defaultdict(list))
            level[int(network.network_address) >> shift].append(number)
        self._levels = {version: list(found.items()) for version, found in levels.items()}

    def find(self, host: str) -> list[int]:
        """The numbers of all networks that hold an address, in ascending order."""
        address = address_of(host)
        if address is None:
            return []
        value, found = int(address), list[int]()
        for shift, level in self._levels[address.version]:
            found += level.get(value >> shift, ())
        return sorted(set(found)) if len(found) > 1 else found
