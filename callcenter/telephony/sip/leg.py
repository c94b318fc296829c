"""A SIP call as a `Leg`.

Its session opens while the caller hears the line ring: the leg starts with the INVITE, and the
first audio of the agent is what answers the call, so that the greeting begins with the answer.
Inside, audio is 24 kHz whatever the wire's codec, which may change in mid-call. It decides
nothing about the call; it knows no trunk file and no routes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace

import numpy as np
import structlog

from callcenter import metrics
from callcenter.errors import NoCapacity, ProtocolError
from callcenter.events import (
    LegAudio,
    LegDigit,
    LegEnd,
    LegEnded,
    LegEvent,
    LegMarkPlayed,
    LegStarted,
)
from callcenter.media.emodel import mos, r_factor
from callcenter.media.resample import Resampler, resampler
from callcenter.media.units import PACKET_S, SAMPLE_RATE_HZ
from callcenter.telephony.leg import CallControlFailed
from callcenter.telephony.sip.call import SipCall, State
from callcenter.telephony.sip.call_events import (
    CallEnded,
    CallEvent,
    DigitPressed,
    MediaAgreed,
    Transferred,
)
from callcenter.telephony.sip.consultation import Consultation, OpenPort
from callcenter.telephony.sip.dtmf import KeyPresses
from callcenter.telephony.sip.inbound import InboundCall
from callcenter.telephony.sip.media_plan import LocalMedia, NotAcceptable
from callcenter.telephony.sip.stream import MediaStream, Tick
from callcenter.telephony.sip.trunk import Trunk
from callcenter.telephony.sip.ua import UserAgent
from callcenter.telephony.sip.uri import bracketed, parse_uri

ENCODING = "audio/x-l16"
MAX_EVENTS = 500  # 10 s of audio that nobody took: the rest is dropped
ORDERLY = frozenset({"", "hangup", "agent_hangup", "max_duration", "transferred", "shutdown"})
ENDS = {  # by the call's own reason; every other one is a hang-up
    "lost": LegEnd.LOST,
    "session_expired": LegEnd.SESSION_EXPIRED,
    "no_ack": LegEnd.NO_ACK,
}
INFO_EVERY_S = 0.25  # a key of 160 ms and a pause; over UDP two at once could change places
OUTSIDE_S = 0.1  # what the E-model adds for both ends' devices

log = structlog.get_logger(__name__)


class SipLeg:
    """One call that rings.

    Args:
        agent: sends what the call wants sent.
        call: ringing.
        trunk: over which it came.
        open_port: binds RTP sockets round a stream.
        new_stream: makes a fresh one.
        local: what we offer; the port is filled in here.
        rtp_timeout_s: the call ends when no packet comes for so long.
        attributes: for `LegStarted`.

    Raises:
        NoCapacity: no RTP port is left.
        NotAcceptable: no common codec or encryption; nothing was opened.
    """

    transport = "sip"

    def __init__(
        self,
        agent: UserAgent,
        call: InboundCall,
        trunk: Trunk,
        open_port: OpenPort,
        new_stream: Callable[[], MediaStream],
        local: LocalMedia,
        rtp_timeout_s: float,
        attributes: Mapping[str, str],
    ) -> None:
        call.check_media(local)
        self._agent, self._call, self._trunk = agent, call, trunk
        self._open_port, self._new_stream = open_port, new_stream
        self._port = open_port(new_stream(), self._ticked)
        self._local = replace(local, port=self._port.port)
        self._rtp_timeout_s = rtp_timeout_s
        self._events: asyncio.Queue[LegEvent] = asyncio.Queue()
        self._up: Resampler | None = None
        self._up_hz = 0
        self._down: Resampler | None = None
        self._down_hz = 0
        self._transfer: asyncio.Future[int] | None = None
        self._pressing = asyncio.Lock()  # keys of one order stay together
        self._keys = KeyPresses()
        self._over = False
        self._end: LegEnd | None = None  # why we end the call, where it is no hang-up
        agent.listen(call, self._happened)
        self._events.put_nowait(LegStarted(ENCODING, SAMPLE_RATE_HZ, dict(attributes)))

    async def events(self) -> AsyncIterator[LegEvent]:
        """What the far end does; ends after `LegEnded`."""
        while True:
            event = await self._events.get()
            yield event
            if isinstance(event, LegEnded):
                return

    async def play(self, payload: bytes) -> None:
        """Answers the call with its first audio; then queues it."""
        if self._call.state is State.RINGING and not await self._answer():
            return
        samples = np.frombuffer(payload, "<i2").astype(np.int16)
        rate_hz = self._port.stream.rate_hz
        if self._down is None or rate_hz != self._down_hz:
            self._down, self._down_hz = resampler(SAMPLE_RATE_HZ, rate_hz), rate_hz
        self._port.play(self._down.process(samples))

    async def mark(self, name: str) -> None:
        """Asks for a `LegMarkPlayed` once everything sent so far went out."""
        self._port.stream.mark(name)

    async def clear(self) -> None:
        """Throws away what waits."""
        self._port.stream.clear()

    async def send_keys(self, keys: str) -> None:
        """Presses keys: as RTP events where they are agreed, else by INFO, one after the other."""
        async with self._pressing:
            for key in keys:
                if self._call.state is State.ENDED:
                    return
                if not self._port.stream.press(key):
                    self._call.press(key)
                    self._agent.settle(self._call)
                    await asyncio.sleep(INFO_EVERY_S)

    async def hang_up(self) -> None:
        """Ends the call with BYE."""
        self._call.hang_up("hangup", self._agent.now())
        self._agent.settle(self._call)

    async def transfer(self, number: str) -> None:
        """Sends the caller to a number by REFER and waits for what becomes of it.

        Raises:
            CallControlFailed: the far end refused, or the number did not answer.
        """
        host = bracketed(self._call.dialog.peer.host)
        target = self._trunk.transfer_uri.format(number=number, host=host)
        attended = self._trunk.attended_transfer
        status = await (self._consult_and_refer(target) if attended else self._refer(target))
        metrics.SIP_TRANSFERS.labels(self._trunk.name, f"{status // 100}xx").inc()
        if status >= 300:
            raise CallControlFailed(f"the far end answered {status} to the REFER")

    async def _consult_and_refer(self, target: str) -> int:
        """Calls the target, and lets the caller take that call over once it is answered."""
        call, trunk = self._call, self._trunk
        try:
            uri, stream = parse_uri(target), self._new_stream()
            consultation = Consultation(self._agent, self._open_port, stream, self._local)
        except (NoCapacity, ProtocolError) as error:
            raise CallControlFailed(f"no call before the transfer: {error}") from None
        try:
            reached = await consultation.reach(uri, call.our_user, call.dialog.peer, trunk)
            return await self._refer(target, reached)
        finally:
            consultation.close()

    async def _refer(self, target: str, replaced: SipCall | None = None) -> int:
        if self._call.state is State.ENDED:  # the caller has left meanwhile
            return 481
        self._transfer = asyncio.get_running_loop().create_future()
        self._call.refer(target, self._agent.now(), replaced)
        self._agent.settle(self._call)
        return await self._transfer

    async def close(self, code: str) -> None:
        """Refuses a ringing call, ends one that is up, and gives the ports back. Idempotent."""
        now = self._agent.now()
        if self._call.state is State.RINGING:
            status = self._trunk.no_capacity_status
            after = (("retry-after", str(self._trunk.retry_after_s)),)
            self._call.refuse(status, code or "closed", after)
            metrics.REFUSALS.labels("sip", code or "closed").inc()
        elif self._call.state is not State.ENDED:
            self._call.hang_up("hangup" if code in ORDERLY else code, now)
        self._agent.settle(self._call)
        if not self._over:
            self._over = True
            self._observe()
        self._port.close()

    # --- what happens -----------------------------------------------------------------------------

    async def _answer(self) -> bool:
        try:
            host = self._call.media_host()
            if host is not None and not await self._port.can_reach(host):
                raise NotAcceptable("the host that the offer names for its audio is not found")
            self._call.answer(self._local, self._agent.now())
        except NotAcceptable as error:
            log.warning("sip_not_acceptable", detail=str(error))
            self._call.refuse(488, str(error))
        self._agent.settle(self._call)
        return self._call.state is not State.ENDED

    def _happened(self, event: CallEvent) -> None:
        match event:
            case MediaAgreed(plan=plan):
                self._port.agree(plan)
                log.info("sip_media", codec=plan.codec.name, srtp=plan.local_key is not None)
            case DigitPressed(digit=digit):
                self._pressed("info", digit, self._agent.now())
            case Transferred(status=status):
                self._settle_transfer(status)
            case CallEnded(reason=reason):
                self._settle_transfer(200)  # the far end has taken the caller away
                end = self._end or ENDS.get(reason, LegEnd.HANGUP)
                self._events.put_nowait(LegEnded(end))
                log.info("sip_call_ended", reason=reason, end=end.value)

    def _ticked(self, tick: Tick, now: float) -> None:
        for digit in tick.digits:
            self._pressed("rtp", digit, now)
        for name in tick.played:
            self._events.put_nowait(LegMarkPlayed(name))
        if tick.heard is not None and self._events.qsize() < MAX_EVENTS:
            self._events.put_nowait(LegAudio(self._upsampled(tick)))
        if self._port.stream.silent_for_s(now) > self._rtp_timeout_s:
            log.warning("rtp_timeout", after_s=self._rtp_timeout_s)
            self._end = LegEnd.RTP_TIMEOUT
            self._call.hang_up("rtp_timeout", now)
            self._agent.settle(self._call)

    def _pressed(self, way: str, digit: str, now: float) -> None:
        self._keys.still_down(self._port.stream.key_heard_at)
        if self._keys.told(way, digit, now) and self._events.qsize() < MAX_EVENTS:
            self._events.put_nowait(LegDigit(digit))

    def _upsampled(self, tick: Tick) -> bytes:
        if tick.heard is None:
            return b""
        if self._up is None or tick.rate_hz != self._up_hz:
            self._up, self._up_hz = resampler(tick.rate_hz, SAMPLE_RATE_HZ), tick.rate_hz
        return self._up.process(tick.heard).astype("<i2").tobytes()

    def _settle_transfer(self, status: int) -> None:
        if self._transfer is not None and not self._transfer.done():
            self._transfer.set_result(status)

    def _observe(self) -> None:
        """The call's quality on the wire, once, at its end."""
        stream, trunk = self._port.stream, self._trunk.name
        metrics.RTP_STRANGERS.labels(trunk).inc(stream.counters.strangers)
        metrics.RTP_REFUSED.labels(trunk).inc(stream.counters.refused)
        metrics.RTP_CONCEALED.labels(trunk).inc(stream.jitter.concealed)
        if stream.stats is None or stream.plan is None or not stream.stats.expected:
            return
        lost, unheard = stream.lost
        round_trip_s = stream.reporter.far.round_trip_s
        metrics.RTP_LOST_RATIO.labels(trunk, "in").observe(lost)
        metrics.RTP_LOST_RATIO.labels(trunk, "out").observe(stream.reporter.far.fraction_lost)
        metrics.RTP_JITTER_SECONDS.labels(trunk).observe(stream.stats.jitter_s)
        if round_trip_s is not None:
            metrics.RTP_ROUND_TRIP_SECONDS.labels(trunk).observe(round_trip_s)
        one_way_s = (round_trip_s or 0.0) / 2 + stream.delay_s + PACKET_S + OUTSIDE_S
        score = mos(r_factor(stream.plan.codec.name, one_way_s, unheard))
        metrics.RTP_MOS.labels(trunk).observe(score)
