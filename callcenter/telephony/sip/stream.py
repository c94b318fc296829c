"""The audio of one SIP call: RTP in and out, by ticks of 20 ms; sans-IO.

    datagram -> well formed? -> SRTP -> RTP -> source -> key press | jitter buffer -> decode -> tick
    tick -> outgoing -> SRTP -> datagram

What is sent is `outgoing`'s, who the far end is `source`'s. Whatever the far end sends shows that
it lives: audio, comfort noise, keys, reports, keep-alives (RFC 6263). Knows no socket and no SIP:
a `MediaPlan` says what was agreed. Times are the caller's `now`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from callcenter.errors import ProtocolError
from callcenter.media import datagram
from callcenter.media.datagram import Kind, Refusal
from callcenter.media.jitter import JitterCounters
from callcenter.media.received import ReceivedAudio
from callcenter.media.units import Pcm16
from callcenter.telephony.sip import rtp
from callcenter.telephony.sip.codecs import make
from callcenter.telephony.sip.dtmf import DigitReceiver
from callcenter.telephony.sip.media_plan import CodecName, MediaPlan
from callcenter.telephony.sip.outgoing import Outgoing
from callcenter.telephony.sip.rtcp import REPORT_EVERY_S, Reporter
from callcenter.telephony.sip.rtp import ReceiverStats, RtpPacket
from callcenter.telephony.sip.source import Address, Source
from callcenter.telephony.sip.srtp import Srtp
from callcenter.telephony.sip.trunk import RateLimit

TICKS_SMOOTHED = 50  # 1 s
COMFORT_NOISE = 13  # RFC 3551 table 4; gateways send it unasked
MAX_PACKETS_PER_S = 600.0  # packets of 10 ms, and what a stall of some seconds lets pile up
RTCP_SILENT_S = 3 * REPORT_EVERY_S  # then its reports may come from another port


@dataclass(slots=True)
class StreamCounters:
    """What came and went."""

    packets_in: int = 0
    refusals: Counter[Refusal] = field(default_factory=Counter)
    unsent: int = 0  # the network refused them

    @property
    def strangers(self) -> int:
        """From an address that is not the far end's."""
        return self.refusals[Refusal.STRANGER]

    @property
    def refused(self) -> int:
        """Dropped for any other reason."""
        return self.refusals.total() - self.strangers


@dataclass(slots=True)
class Tick:
    """What one tick gives.

    Attributes:
        heard: 20 ms of the caller at `rate_hz`, int16 [n]; None while it is silent on the wire.
        rate_hz: of `heard`.
        digits: keys pressed by RTP events.
        played: marks that were reached.
        send: RTP datagrams and where they go.
        send_rtcp: RTCP datagrams and where they go.
    """

    heard: Pcm16 | None = None
    rate_hz: int = 8_000
    digits: list[str] = field(default_factory=list)
    played: list[str] = field(default_factory=list)
    send: list[tuple[bytes, Address]] = field(default_factory=list)
    send_rtcp: list[tuple[bytes, Address]] = field(default_factory=list)


class MediaStream:
    """One call's RTP.

    Args:
        ssrc: ours, random.
        sequence, timestamp: where ours begin, random (RFC 3550 5.1).
        trusted: whether plain RTP may come from a host that the SDP did not name (a far end behind
            NAT), after probation; SRTP needs no such trust.
        cname: our name in RTCP; no personal data.
        unix_time: wall clock, for RTCP.
    """

    def __init__(
        self,
        ssrc: int,
        sequence: int,
        timestamp: int,
        trusted: Callable[[str], bool],
        cname: str,
        unix_time: Callable[[], float],
    ) -> None:
        self.counters = StreamCounters()
        self.jitter = JitterCounters()  # over all codecs and sources of the call
        self.plan: MediaPlan | None = None
        self.last_packet_at: float | None = None
        self._unix_time = unix_time
        self.outgoing = Outgoing(ssrc, sequence, timestamp)
        self.reporter = Reporter(self.outgoing.stats, cname)
        self._srtp: Srtp | None = None
        self._received: ReceivedAudio | None = None
        self._received_as = ""
        self._source = Source(trusted)
        self._rate = RateLimit(MAX_PACKETS_PER_S, MAX_PACKETS_PER_S)
        self._rtcp_to: Address | None = None
        self._rtcp_at = float("-inf")
        self._heard_ssrc: int | None = None
        self.stats: ReceiverStats | None = None
        self._expected_before, self._lost_before = 0, 0  # of other sources than the present one
        self._delay_s = 0.0
        self._digits_in = DigitReceiver()
        self._digits: list[str] = []
        self._report_at: float | None = None

    # --- what was agreed --------------------------------------------------------------------------

    @property
    def rate_hz(self) -> int:
        """Samples a second of what is to be played."""
        return self.outgoing.rate_hz

    def agree(self, plan: MediaPlan, now: float) -> None:
        """Takes a plan, the first or a new one."""
        before, self.plan = self.plan, plan
        self.outgoing.agree(plan)
        self._agree_on_keys(before, plan)
        self._source.name(plan.remote, now)
        if before is None or before.remote != plan.remote:
            self._rtcp_to = None
        if self._report_at is None:
            self._report_at = now + REPORT_EVERY_S
        self.last_packet_at = now

    def _agree_on_keys(self, before: MediaPlan | None, plan: MediaPlan) -> None:
        ours, theirs = plan.local_key, plan.remote_key
        if ours is None or theirs is None:
            self._srtp = None
        elif self._srtp is None or before is None or not ours.encrypts_as(before.local_key):
            self._srtp = Srtp(ours, theirs)
        elif not theirs.encrypts_as(before.remote_key):
            self._srtp.expect(theirs)

    # --- in ---------------------------------------------------------------------------------------

    def receive(self, data: bytes, source: Address, now: float) -> Refusal | None:
        """Takes a datagram from the RTP port; what does not belong here is counted, and told."""
        if self.plan is None:
            return None
        kind, sealed = datagram.kind_of(data), self._srtp is not None
        if kind is Kind.RTCP:
            return self.receive_rtcp(data, source, now)
        if kind is not Kind.RTP:
            return self._keep_alive(kind, data, source, now)
        if not sealed and not self._source.may_be(source):
            return self._refuse(Refusal.STRANGER)
        if not datagram.is_rtp(data, sealed=sealed):
            return self._refuse(Refusal.MALFORMED)
        try:
            packet = rtp.parse(data if self._srtp is None else self._srtp.unprotect(data))
        except ProtocolError:
            return self._refuse(Refusal.FORGED if sealed else Refusal.MALFORMED)
        if not self._source.takes(source, packet, now, proven=sealed):
            return self._refuse(Refusal.STRANGER)
        if not self._rate.take(now):
            return self._refuse(Refusal.FLOOD)
        self.last_packet_at = now
        return self._sort(packet, self.plan, now)

    def receive_rtcp(self, data: bytes, source: Address, now: float) -> Refusal | None:
        """Takes a datagram from the RTCP port; what does not belong here is counted, and told."""
        kind, sealed = datagram.kind_of(data), self._srtp is not None
        if kind is not Kind.RTCP:
            return self._keep_alive(kind, data, source, now)
        if self.plan is None or not (sealed or self._may_report(source)):
            return self._refuse(Refusal.STRANGER)
        if not datagram.is_rtcp(data, sealed=sealed):
            return self._refuse(Refusal.MALFORMED)
        if not self._rate.take(now):
            return self._refuse(Refusal.FLOOD)
        try:
            plain = data if self._srtp is None else self._srtp.unprotect_rtcp(data)
            self.reporter.receive(datagram.audio_reports(plain), now, self._unix_time())
        except ProtocolError:
            return self._refuse(Refusal.FORGED if sealed else Refusal.MALFORMED)
        self._answer_reports_to(source, self.plan, now)
        self.last_packet_at = now  # a far end that suppresses silence is alive all the same
        return None

    def _refuse(self, reason: Refusal) -> Refusal:
        self.counters.refusals[reason] += 1
        return reason

    def _keep_alive(
        self, kind: Kind | Refusal, data: bytes, source: Address, now: float
    ) -> Refusal | None:
        """What is neither RTP nor RTCP keeps a NAT open, at best (RFC 6263 4.1, 4.2)."""
        empty = not data.strip(b"\r\n\0") and len(data) <= 4
        keeps = empty or (kind is Kind.STUN and datagram.is_stun(data))
        if keeps and self._srtp is None and source == self._source.to:
            self.last_packet_at = now
            return None
        return self._refuse(kind if isinstance(kind, Refusal) else Refusal.NOT_MEDIA)

    def _may_report(self, source: Address) -> bool:
        far = self._source.to
        return far is not None and far[0] == source[0]

    def _answer_reports_to(self, source: Address, plan: MediaPlan, now: float) -> None:
        """Where its reports come from: a NAT may give them another port than was named."""
        named = self._source.named
        is_named = named is not None and source == (named[0], plan.remote_rtcp_port)
        if is_named or source == self._rtcp_to or now - self._rtcp_at > RTCP_SILENT_S:
            self._rtcp_to, self._rtcp_at = source, now

    def _sort(self, packet: RtpPacket, plan: MediaPlan, now: float) -> Refusal | None:
        codec = plan.accepts.get(packet.payload_type)
        if codec is not None or packet.payload_type == plan.dtmf_type:
            self.counters.packets_in += 1
            self._take(packet, codec, now)
            return None
        if self._received is not None and packet.ssrc == self._heard_ssrc:
            # Its number is one of the stream's: silence stands for it, and it was not lost.
            self._received.push(packet.sequence, None, now)
            if self.stats is not None:
                self.stats.note(packet, now)
        if packet.payload_type == COMFORT_NOISE or not packet.payload:
            return None
        return self._refuse(Refusal.TYPE)

    def _take(self, packet: RtpPacket, codec: CodecName | None, now: float) -> None:
        if self.stats is None or packet.ssrc != self._heard_ssrc:
            self.stats = self._new_source(packet, codec)
        self.stats.note(packet, now)
        if codec is None:
            clock_hz = self.plan.dtmf_clock_hz if self.plan is not None else 8_000
            digit = self._digits_in.receive(packet, clock_hz, now)
            if digit is not None:
                self._digits.append(digit)
            if self._received is not None:
                self._received.push(packet.sequence, None, now)
            return
        self._receiver(codec).push(packet.sequence, packet.payload, now)

    def _new_source(self, packet: RtpPacket, codec: CodecName | None) -> ReceiverStats:
        """Another stream: its numbers have nothing to do with those before."""
        if self.stats is not None:
            self._expected_before += self.stats.expected
            self._lost_before += self.stats.lost
        self._heard_ssrc = packet.ssrc
        clock_hz = codec.clock_hz if codec is not None else 8_000
        self._received = None
        return ReceiverStats(clock_hz)

    def _receiver(self, codec: CodecName) -> ReceivedAudio:
        if self._received is None or self._received_as != codec.name:
            decoder = make(codec.name)
            self._received = ReceivedAudio(decoder.rate_hz, decoder.decode, self.jitter)
            self._received_as = codec.name
            self._received_rate_hz = decoder.rate_hz
        return self._received

    # --- out --------------------------------------------------------------------------------------

    def play(self, samples: Pcm16) -> None:
        """Queues 20 ms at `rate_hz`; while the far end has us on hold it is not kept."""
        if self.plan is None or not self.plan.on_hold:
            self.outgoing.play(samples)

    def mark(self, name: str) -> None:
        """Asks for `name` in a tick's `played` once everything before was sent."""
        self.outgoing.mark(name)

    def clear(self) -> None:
        """Throws away what waits; its marks come back with the next tick."""
        self.outgoing.clear()

    def press(self, digit: str) -> bool:
        """Sends a key; False when no RTP events were agreed."""
        if self.plan is None or self.plan.dtmf_type is None:
            return False
        self.outgoing.press(digit, self.plan.dtmf_clock_hz)
        return True

    def tick(self, now: float) -> Tick:
        """20 ms pass."""
        tick = Tick()
        if self._received is not None:
            tick.heard = self._received.read(now)
            self._delay_s += (self._received.delay_s - self._delay_s) / TICKS_SMOOTHED
            tick.rate_hz = self._received_rate_hz
        if self.plan is not None:
            self._send_audio(tick, self.plan)
            self._send_report(tick, now)
        tick.digits, self._digits = self._digits, []
        tick.played = self.outgoing.played()
        return tick

    def goodbye(self) -> list[tuple[bytes, Address]]:
        """The RTCP BYE at the end of the call."""
        to = self._rtcp_address()
        if to is None:
            return []
        data = self.reporter.goodbye()
        return [(data if self._srtp is None else self._srtp.protect_rtcp(data), to)]

    def silent_for_s(self, now: float) -> float:
        """How long nothing has come though it should; 0.0 on hold, with music or without."""
        if self.plan is None or self.last_packet_at is None or self.plan.direction != "sendrecv":
            return 0.0
        return now - self.last_packet_at

    @property
    def lost(self) -> tuple[float, float]:
        """Shares of the far end's packets: lost on the way; these and those that came too late."""
        expected = self._expected_before + (self.stats.expected if self.stats else 0)
        lost = max(0, self._lost_before + (self.stats.lost if self.stats else 0))
        if not expected:
            return 0.0, 0.0
        return lost / expected, min(1.0, (lost + self.jitter.late) / expected)

    @property
    def key_heard_at(self) -> float:
        """When the newest key press by RTP events was heard of last."""
        return self._digits_in.heard_at

    @property
    def delay_s(self) -> float:
        """Audio of the far end that waits, smoothed."""
        return self._delay_s

    def _send_audio(self, tick: Tick, plan: MediaPlan) -> None:
        to = self._source.to
        listened = to is not None and not plan.on_hold
        packet = self.outgoing.tick(plan, listened=listened)
        if packet is not None and to is not None:
            tick.send.append((packet if self._srtp is None else self._srtp.protect(packet), to))

    def _send_report(self, tick: Tick, now: float) -> None:
        to = self._rtcp_address()
        if to is None or self._report_at is None or now < self._report_at:
            return
        self._report_at = now + REPORT_EVERY_S
        mux = self.plan is not None and self.plan.rtcp_mux
        data = self.reporter.report(self._heard_ssrc, self.stats, now, self._unix_time())
        sealed = data if self._srtp is None else self._srtp.protect_rtcp(data)
        (tick.send if mux else tick.send_rtcp).append((sealed, to))

    def _rtcp_address(self) -> Address | None:
        if self.plan is None:
            return None
        if self._rtcp_to is not None:
            return self._rtcp_to
        to = self._source.to
        if to is None or self.plan.rtcp_mux:
            return to
        return to[0], self.plan.remote_rtcp_port
