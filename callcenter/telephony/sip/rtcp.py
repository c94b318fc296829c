"""RTCP reports: what we tell about the stream that comes, and what we hear about ours (RFC 3550 6).

Round trip and loss go into the E-model. The packets themselves are aiortc's. Knows no socket.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from aiortc.rtp import (
    RtcpByePacket,
    RtcpPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
)

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.rtp import ReceiverStats

REPORT_EVERY_S = 5.0
NTP_EPOCH_S = 2_208_988_800
CNAME = 1
MAX_RTCP_BYTES = 1_500


@dataclass(slots=True)
class SenderStats:
    """What we have sent."""

    ssrc: int
    packets: int = 0
    octets: int = 0
    rtp_timestamp: int = 0


@dataclass(slots=True)
class FarReport:
    """What the far end says of our stream, by its last report.

    Attributes:
        fraction_lost: share of our packets lost, 0 to 1.
        jitter: in units of the RTP clock.
        round_trip_s: network only; None before the first answer to a report of ours.
        said_bye: the stream is over.
    """

    fraction_lost: float = 0.0
    jitter: int = 0
    round_trip_s: float | None = None
    said_bye: bool = False


class Reporter:
    """Makes and reads reports for one stream in each direction."""

    def __init__(self, sender: SenderStats, cname: str) -> None:
        self.far = FarReport()
        self._sender = sender
        self._cname = cname.encode()
        self._heard_sr: tuple[int, float] | None = None  # middle of its NTP time, and when

    def report(
        self, source_ssrc: int | None, stats: ReceiverStats | None, now: float, unix_s: float
    ) -> bytes:
        """A sender report, with a reception block when something came."""
        ntp = _ntp(unix_s)
        blocks = []
        if source_ssrc is not None and stats is not None and stats.received:
            blocks.append(self._block(source_ssrc, stats, now))
        sender = self._sender
        info = RtcpSenderInfo(ntp, sender.rtp_timestamp, sender.packets, sender.octets & 0xFFFFFFFF)
        return bytes(RtcpSrPacket(sender.ssrc, info, blocks)) + self._names()

    def goodbye(self) -> bytes:
        """An empty report and BYE."""
        last = bytes(RtcpRrPacket(ssrc=self._sender.ssrc, reports=[]))
        return last + self._names() + bytes(RtcpByePacket([self._sender.ssrc]))

    def receive(self, data: bytes, now: float, unix_s: float) -> None:
        """Takes a compound packet.

        Raises:
            ProtocolError: it is none.
        """
        if len(data) > MAX_RTCP_BYTES:
            raise ProtocolError(f"RTCP of {len(data)} bytes")
        try:
            packets = RtcpPacket.parse(data)
        except (ValueError, struct.error, IndexError) as error:  # the far end's mistake
            raise ProtocolError(f"RTCP: {error}") from None
        for packet in packets:
            if isinstance(packet, RtcpSrPacket):
                middle = (packet.sender_info.ntp_timestamp >> 16) & 0xFFFFFFFF
                self._heard_sr = (middle, now)
            if isinstance(packet, RtcpSrPacket | RtcpRrPacket):
                self._read_blocks(packet.reports, unix_s)
            if isinstance(packet, RtcpByePacket):
                self.far.said_bye = True

    def _read_blocks(self, blocks: list[RtcpReceiverInfo], unix_s: float) -> None:
        for block in blocks:
            if block.ssrc != self._sender.ssrc:
                continue
            self.far.fraction_lost = block.fraction_lost / 256
            self.far.jitter = block.jitter
            if block.lsr:
                middle = (_ntp(unix_s) >> 16) & 0xFFFFFFFF
                round_trip_s = ((middle - block.lsr - block.dlsr) & 0xFFFFFFFF) / 65_536
                if round_trip_s < 10.0:  # anything else is a clock that was set
                    self.far.round_trip_s = round_trip_s

    def _block(self, ssrc: int, stats: ReceiverStats, now: float) -> RtcpReceiverInfo:
        middle, heard_at = self._heard_sr or (0, now)
        return RtcpReceiverInfo(
            ssrc=ssrc,
            fraction_lost=min(255, int(stats.fraction_lost() * 256)),
            packets_lost=max(-(1 << 23), min(stats.lost, (1 << 23) - 1)),
            highest_sequence=stats.highest_sequence,
            jitter=int(stats.jitter),
            lsr=middle,
            # A tick that makes up for a stall is told a time before the report that came in it.
            dlsr=int(max(0.0, now - heard_at) * 65_536) & 0xFFFFFFFF,
        )

    def _names(self) -> bytes:
        source = RtcpSourceInfo(ssrc=self._sender.ssrc, items=[(CNAME, self._cname)])
        return bytes(RtcpSdesPacket([source]))


def _ntp(unix_s: float) -> int:
    return int((unix_s + NTP_EPOCH_S) * (1 << 32))
