"""Which addresses a host name in SIP stands for, in which order (RFC 3263, RFC 2782, RFC 3403).

    sip:pbx.example.com                 NAPTR says the transport, SRV the port, A the address
    sip:pbx.example.com;transport=tcp   SRV _sip._tcp.pbx.example.com, then A and AAAA
    sip:pbx.example.com:5070            A and AAAA

Orders and chooses; asking is the resolver's. It knows no socket and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from callcenter.telephony.sip.uri import DEFAULT_PORTS

SERVICES = {"SIP+D2U": "udp", "SIP+D2T": "tcp", "SIPS+D2T": "tls"}  # RFC 3263 4.1
SRV_NAMES = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}
MAX_TARGETS = 16


@dataclass(frozen=True, slots=True)
class Srv:
    """One SRV record."""

    priority: int
    weight: int
    port: int
    host: str


@dataclass(frozen=True, slots=True)
class Naptr:
    """One NAPTR record, as far as SIP uses it."""

    order: int
    preference: int
    service: str
    replacement: str


def srv_name(host: str, transport: str) -> str:
    """Where the SRV records of a host and transport stand."""
    return f"{SRV_NAMES[transport]}.{host}"


def transports_of(records: Iterable[Naptr]) -> list[str]:
    """The transports that a domain wants, the most wanted first; those we lack are left out."""
    ordered = sorted(records, key=lambda record: (record.order, record.preference))
    found = [SERVICES.get(record.service.upper()) for record in ordered]
    return list(dict.fromkeys(transport for transport in found if transport))


def in_order(records: Iterable[Srv], draw: Callable[[], float]) -> list[Srv]:
    """SRV records by priority; among equals each comes first in proportion to its weight.

    Args:
        records: of one name; a single "." as host says that there is no such service (RFC 2782).
        draw: numbers in [0, 1).
    """
    left = [record for record in records if record.host not in ("", ".")]
    ordered = list[Srv]()
    for priority in sorted({record.priority for record in left}):
        group = [record for record in left if record.priority == priority]
        while group:
            chosen = _weighted(group, draw())
            group.remove(chosen)
            ordered.append(chosen)
    return ordered[:MAX_TARGETS]


def healthy_first(
    targets: Sequence[tuple[str, int]], failed: Callable[[tuple[str, int]], bool]
) -> list[tuple[str, int]]:
    """The same addresses, those that failed a while ago behind the others."""
    return sorted(dict.fromkeys(targets), key=failed)[:MAX_TARGETS]


def default_port(transport: str) -> int:
    """The port where no record names one."""
    return DEFAULT_PORTS.get(transport, DEFAULT_PORTS["udp"])


def _weighted(group: Sequence[Srv], draw: float) -> Srv:
    left = draw * sum(record.weight for record in group)
    for record in sorted(group, key=lambda record: record.weight):  # those of weight 0 first
        left -= record.weight
        if left < 0 or (record.weight == 0 and left <= 0 and draw == 0.0):
            return record
    return max(group, key=lambda record: record.weight)
