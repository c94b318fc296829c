"""A browser's WebRTC connection as a `Leg`.

The shell round `inbound` and `track`: packets of the browser in, read every 20 ms; the agent's
packets out; and a data channel for what is not audio. It decides nothing.

The channel carries small JSON objects. Browser -> here: `{"type": "hangup"}`,
`{"type": "digit", "digit": "5"}`; anything else is ignored, so that other clients' pings do no
harm. Here -> browser: `{"type": "caption", "text": ...}`, `{"type": "ended", "code": ...}`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping

from aiortc import RTCDataChannel, RTCPeerConnection

from callcenter import metrics
from callcenter.events import (
    LegAudio,
    LegDigit,
    LegEnd,
    LegEnded,
    LegEvent,
    LegMarkPlayed,
    LegMisbehaved,
    LegStarted,
)
from callcenter.media.units import SAMPLE_RATE_HZ
from callcenter.telephony.leg import CallControlFailed
from callcenter.telephony.webrtc.inbound import Inbound
from callcenter.telephony.webrtc.limits import MAX_PER_SECOND, SendRate
from callcenter.telephony.webrtc.outbound import Schedule
from callcenter.telephony.webrtc.sections import Choice
from callcenter.telephony.webrtc.track import AgentTrack

ENCODING = "audio/x-l16"
# A live browser sends 50 packets a second, muted or not; one whose microphone is away still sends
# reports and asks for consent every few seconds (RFC 7675).
MEDIA_TIMEOUT_S = 8.0
MAX_CHANNEL_BYTES_WAITING = 65_536  # for a page that takes nothing any more
MAX_CHANNEL_MESSAGE_CHARS = 1_024
MAX_CAPTIONS_WAITING = 256
GOODBYE_S = 0.3  # for the last message to reach the wire before the connection is closed
DIGITS = frozenset("0123456789*#ABCD")


class WebRtcLeg:
    """One browser.

    Args:
        connection: not negotiated yet; the leg closes it.
        attributes: go into `LegStarted`.
        clock: seconds, monotonic.

    Attributes:
        late_candidates: addresses that the browser has named after its offer.
        choice: what was taken of its offer; None before.
    """

    transport = "webrtc"

    def __init__(
        self,
        connection: RTCPeerConnection,
        attributes: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connection = connection
        self.track = AgentTrack(self._mark_played, clock)
        self.late_candidates = 0
        self.choice: Choice | None = None
        self._attributes = attributes
        self._clock = clock
        self._inbound = Inbound()
        self._send_rate = SendRate()
        self._told: deque[LegEvent] = deque()
        self._over = False  # the last event has been told
        self._wake = asyncio.Event()
        self._lived_at = clock()
        self._channel: RTCDataChannel | None = None
        self._captions: deque[str] = deque(maxlen=MAX_CAPTIONS_WAITING)
        self._reads: Schedule | None = None  # when audio is due; None before the connection
        self._closed = False
        connection.on("connectionstatechange", self._on_connection_state)
        connection.on("datachannel", self._on_channel)

    # --- Leg --------------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[LegEvent]:
        """What the browser does; ends after `LegEnded` or `LegMisbehaved`."""
        while True:
            event = await self._next_event()
            yield event
            if isinstance(event, LegEnded | LegMisbehaved):
                return

    async def play(self, payload: bytes) -> None:
        """Queues one packet of PCM."""
        self.track.queue.play(payload)

    async def mark(self, name: str) -> None:
        """Asks for `LegMarkPlayed` once everything sent so far has left."""
        if self.track.queue.mark(name):
            self._mark_played(name)

    async def clear(self) -> None:
        """Throws away what has not left."""
        for name in self.track.queue.clear():
            self._mark_played(name)

    async def hang_up(self) -> None:
        """Nothing to ask anybody for: `close`, which follows, ends the call and knows why."""

    async def transfer(self, number: str) -> None:
        """A browser cannot be handed to a telephone number.

        Raises:
            CallControlFailed: always.
        """
        raise CallControlFailed("a browser's call cannot be transferred to a telephone number")

    async def caption(self, text: str) -> None:
        """Shows a piece of what the agent says."""
        if self._channel is None or self._channel.readyState != "open":
            self._captions.append(text)
            return
        self._say({"type": "caption", "text": text})

    async def close(self, code: str) -> None:
        """Tells the browser why, and closes the connection. Idempotent."""
        if self._closed:
            return
        self._closed = True
        await self._say_goodbye(code)
        self.track.stop()
        await self.connection.close()
        self._count()

    # --- from aiortc ------------------------------------------------------------------------------

    def speak(self, codec: str) -> None:
        """Takes the codec that was agreed, before the connection is set up: opus, pcmu or pcma."""
        self.track.speak(codec)
        self._inbound = Inbound(codec)

    def lives(self) -> None:
        """The browser, and nobody else, has sent something."""
        self._lived_at = self._clock()

    def hear(self, sequence: int, payload: bytes) -> None:
        """One RTP packet of the browser."""
        self._lived_at = self._clock()
        if self._may_send(self._lived_at):
            self._inbound.push(sequence, payload, self._lived_at)

    def _on_connection_state(self) -> None:
        state = self.connection.connectionState
        if state == "connected" and self._reads is None:
            self._lived_at = self._clock()
            self._reads = Schedule(self._lived_at)
            self._tell(LegStarted(ENCODING, SAMPLE_RATE_HZ, self._attributes, paced=True))
        elif state in ("failed", "closed"):
            self._tell(LegEnded(LegEnd.LOST))

    def _on_channel(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.on("message", self._on_message)
        channel.on("close", lambda: self._tell(LegEnded(LegEnd.HANGUP)))  # the page went away
        while self._captions:
            self._say({"type": "caption", "text": self._captions.popleft()})

    def _on_message(self, message: str | bytes) -> None:
        if not self._may_send(self._clock()):
            return
        match _parse(message):
            case {"type": "hangup"}:
                self._tell(LegEnded(LegEnd.HANGUP))
            case {"type": "digit", "digit": str(digit)} if digit in DIGITS:
                self._tell(LegDigit(digit))
            case _:  # other clients' pings and protocols
                return

    def _may_send(self, now: float) -> bool:
        """Ends the leg when the browser sends more than one ever would."""
        if self._send_rate.is_too_high(now):
            self._tell(LegMisbehaved("too_fast", f"more than {MAX_PER_SECOND} packets a second"))
        return not self._over

    # --- inside -----------------------------------------------------------------------------------

    async def _next_event(self) -> LegEvent:
        while not self._told:
            await self._sleep()
            self._read()
        return self._told.popleft()

    async def _sleep(self) -> None:
        """Until something comes or audio is due."""
        if self._reads is None:
            await self._wake.wait()
        else:
            try:
                async with asyncio.timeout(max(0.0, self._reads.due_at() - self._clock())):
                    await self._wake.wait()
            except TimeoutError:  # audio is due
                return
        self._wake.clear()

    def _read(self) -> None:
        now = self._clock()
        while self._reads is not None and self._reads.due_at() <= now:
            self._reads.take(now)
            samples = self._inbound.read(now)
            if samples is not None:
                self._tell(LegAudio(samples.astype("<i2").tobytes()))
            elif now - self._lived_at > MEDIA_TIMEOUT_S:
                self._tell(LegEnded(LegEnd.LOST))
                return

    def _tell(self, event: LegEvent) -> None:
        if self._over:  # nobody reads on
            return
        self._over = isinstance(event, LegEnded | LegMisbehaved)
        self._told.append(event)
        self._wake.set()

    def _mark_played(self, name: str) -> None:
        self._tell(LegMarkPlayed(name))

    def _say(self, message: Mapping[str, str]) -> None:
        channel = self._channel
        if channel is None or channel.readyState != "open":
            return
        if channel.bufferedAmount < MAX_CHANNEL_BYTES_WAITING:
            channel.send(json.dumps(message))

    async def _say_goodbye(self, code: str) -> None:
        self._say({"type": "ended", "code": code})
        give_up_at = self._clock() + GOODBYE_S
        while self._unsent() and self._clock() < give_up_at:  # noqa: ASYNC110 - aiortc has no event
            await asyncio.sleep(0.01)

    def _unsent(self) -> bool:
        channel = self._channel
        return channel is not None and channel.readyState == "open" and channel.bufferedAmount > 0

    def _count(self) -> None:
        counters = self._inbound.counters
        for result, packets in (
            ("concealed", counters.concealed),
            ("late", counters.late),
            ("dropped", counters.dropped),
            ("undecodable", self._inbound.undecodable),
            ("unplayed", self.track.queue.packets_dropped),
        ):
            metrics.WEBRTC_PACKETS.labels(result).inc(packets)


def _parse(message: str | bytes) -> object:
    """A channel message as plain data; None for what is none of ours."""
    if not isinstance(message, str) or len(message) > MAX_CHANNEL_MESSAGE_CHARS:
        return None
    try:
        return json.loads(message)
    except (ValueError, RecursionError):  # other clients send plain words
        return None
