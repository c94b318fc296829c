"""The agent's voice as a track that aiortc sends.

The shell round `outbound`: sleeps until a packet is due, encodes it, tells which marks were
reached. It sends silence when nothing waits, so that the browser's clock never stops.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from callcenter.media.opus import (
    PACKET_SAMPLES,
    RTP_RATE_HZ,
    RTP_TICKS_PER_PACKET,
)
from callcenter.telephony.webrtc import voice
from callcenter.telephony.webrtc.outbound import PlayoutQueue, Schedule

_TIME_BASE = Fraction(1, RTP_RATE_HZ)
_SILENCE = bytes(2 * PACKET_SAMPLES)


class AgentTrack(MediaStreamTrack):
    """Packets of 20 ms at the pace of real time.

    Args:
        on_mark: told each mark when the packet before it is sent.
        clock: seconds, monotonic.
    """

    kind = "audio"

    def __init__(
        self, on_mark: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self.queue = PlayoutQueue()
        self._on_mark = on_mark
        self._clock = clock
        self._encoder = voice.encoder("opus")
        self._schedule: Schedule | None = None

    def speak(self, codec: str) -> None:
        """Sends another codec than Opus from the first packet on: pcmu or pcma."""
        self._encoder = voice.encoder(codec)

    async def recv(self) -> av.Packet[Any]:
        """The next packet, when it is due; aiortc calls this in a loop.

        Raises:
            MediaStreamError: the track was stopped.
        """
        if self._schedule is None:
            self._schedule = Schedule(self._clock())
        await asyncio.sleep(max(0.0, self._schedule.due_at() - self._clock()))
        if self.readyState != "live":
            raise MediaStreamError
        index = self._schedule.take(self._clock())
        due = self.queue.take()
        packet = self._encode(_SILENCE if due is None else due.payload)
        packet.pts = index * RTP_TICKS_PER_PACKET
        packet.time_base = _TIME_BASE
        for name in due.marks if due is not None else ():
            self._on_mark(name)
        return packet

    def _encode(self, payload: bytes) -> av.Packet[Any]:
        samples = np.frombuffer(payload, "<i2", count=PACKET_SAMPLES).astype(np.int16)
        return av.Packet(self._encoder.encode(samples))
