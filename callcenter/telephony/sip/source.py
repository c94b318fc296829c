"""Who the far end of a call's RTP is: the address that its packets come from, and ours go to.

    named     host:port of its SDP: its packets count at once, and it wins over any other at once
    present   where its packets do come from: the named one, or one that has passed probation

Another address comes into question when it is of the same host (a NAT that changed the port), when
the trunk vouches for its host (a far end behind NAT), or when it goes on with the present stream's
SSRC. It must send a few packets in order while the present one is silent, so that one packet, or a
spray of them beside a talking caller, takes nothing over. SRTP proves itself: a packet that
decrypts is the far end's, wherever it comes from (RFC 3711 3.3). Times are the caller's `now`.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from callcenter.media.jitter import step
from callcenter.telephony.sip.rtp import RtpPacket

Address = tuple[str, int]

PROBATION_PACKETS = 4
PROBATION_SKIPS = 2  # packets that may be missing between two of them
SILENT_AT_FIRST_S = 0.1  # the named one has never been heard
SILENT_S = 0.5  # the present one has stopped; longer than any jitter
MAX_ON_PROBATION = 8  # addresses; the one that came first goes


def canonical(address: Address | None) -> Address | None:
    """The same address as a socket names it; a name is none."""
    if address is None:
        return None
    try:
        host = ipaddress.ip_address(address[0])
    except ValueError:  # a host name: never where a packet comes from
        return None
    return str(host), address[1]


@dataclass(slots=True)
class _Probation:
    ssrc: int
    sequence: int
    packets: int = 1

    def goes_on(self, packet: RtpPacket) -> None:
        """Counts a packet that follows; anything else begins anew."""
        ahead = step(packet.sequence, self.sequence)
        if packet.ssrc == self.ssrc and 0 < ahead <= 1 + PROBATION_SKIPS:
            self.packets += 1
        else:
            self.ssrc, self.packets = packet.ssrc, 1
        self.sequence = packet.sequence


class Source:
    """One call's.

    Args:
        trusted: whether a host that the SDP did not name may send plain RTP, after probation.
    """

    def __init__(self, trusted: Callable[[str], bool]) -> None:
        self._trusted = trusted
        self.named: Address | None = None
        self.present: Address | None = None
        self._ssrc: int | None = None  # of the present stream
        self._sequence = 0
        self._heard_at = 0.0
        self._silent_s = SILENT_AT_FIRST_S
        self._on_probation: OrderedDict[Address, _Probation] = OrderedDict()

    @property
    def to(self) -> Address | None:
        """Where ours go."""
        return self.present or self.named

    def name(self, address: Address | None, now: float) -> None:
        """Takes what an SDP names; another address than before begins anew."""
        found = canonical(address)
        if found != self.named or found is None:
            self.named, self.present, self._ssrc = found, None, None
            self._silent_s = SILENT_AT_FIRST_S
            self._on_probation.clear()
        self._heard_at = now

    def may_be(self, address: Address) -> bool:
        """Whether an address comes into question at all, before its packet is read."""
        known = self.present, self.named
        if address in known or any(one is not None and one[0] == address[0] for one in known):
            return True
        return self._ssrc is not None or self._trusted(address[0])

    def takes(self, address: Address, packet: RtpPacket, now: float, *, proven: bool) -> bool:
        """Whether a packet is the far end's; it may be what moves `present`.

        Args:
            address: where it came from.
            packet: well formed.
            now: seconds.
            proven: it was SRTP and has decrypted.
        """
        if address != self.present and address != self.named:
            passed = self._is_newer(packet) if proven else self._passes(address, packet, now)
            if not passed and not proven:
                return False
            address = address if passed else self.present or address
        self._is(address, packet, now)
        return True

    def _is(self, address: Address, packet: RtpPacket, now: float) -> None:
        if address != self.present:
            self.present = address
            self._on_probation.clear()
        if packet.ssrc != self._ssrc or step(packet.sequence, self._sequence) > 0:
            self._sequence = packet.sequence
        self._ssrc, self._heard_at, self._silent_s = packet.ssrc, now, SILENT_S

    def _is_newer(self, packet: RtpPacket) -> bool:
        """A packet that took a slower way does not lead back to where it came from."""
        if self.present is None or packet.ssrc != self._ssrc:
            return True
        return step(packet.sequence, self._sequence) > 0

    def _passes(self, address: Address, packet: RtpPacket, now: float) -> bool:
        if not self._in_question(address, packet):
            return False
        known = self._on_probation.get(address)
        if known is None:
            self._on_probation[address] = _Probation(packet.ssrc, packet.sequence)
            if len(self._on_probation) > MAX_ON_PROBATION:
                self._on_probation.popitem(last=False)
            return False
        known.goes_on(packet)
        return known.packets >= PROBATION_PACKETS and now - self._heard_at >= self._silent_s

    def _in_question(self, address: Address, packet: RtpPacket) -> bool:
        hosts = [one[0] for one in (self.present, self.named) if one is not None]
        if address[0] in hosts or packet.ssrc == self._ssrc:
            return True
        return self._trusted(address[0])
