"""A small DNS server on loopback that answers from a table; dnspython knows the wire format."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset


@dataclass
class DnsServer(asyncio.DatagramProtocol):
    """One server.

    Attributes:
        records: (name without its last dot, type) -> texts as in a zone file.
        ttl_s: of every answer.
        mute: names that get no answer at all.
        asked: how often for what.
        port: after `start`.
    """

    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    ttl_s: int = 60
    mute: set[str] = field(default_factory=set)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    port: int = 0

    async def start(self) -> "DnsServer":
        """Listens on a free port."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    def stop(self) -> None:
        """Closes the socket."""
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """One question."""
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(True), dns.rdatatype.to_text(question.rdtype)
        self.asked[name, kind] += 1
        if name in self.mute:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        texts = self.records.get((name, kind), [])
        if texts:
            response.answer.append(
                dns.rrset.from_text(question.name, self.ttl_s, dns.rdataclass.IN, kind, *texts)
            )
        elif not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(response.to_wire(), addr)
