"""A browser (aiortc's) that talks to a leg, both in this process, over real sockets."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack

from callcenter.events import LegAudio, LegEnded, LegEvent, LegMisbehaved
from callcenter.media.units import Pcm16
from callcenter.telephony.webrtc.leg import WebRtcLeg
from callcenter.telephony.webrtc.signaling import Offer, negotiate


@dataclass
class Call:
    """A browser (aiortc's) that talks to a leg."""

    leg: WebRtcLeg
    browser: RTCPeerConnection
    answer: str
    heard: list[Pcm16] = field(default_factory=list)
    over: list[LegEvent] = field(default_factory=list)

    def ports(self) -> list[tuple[str, int]]:
        """Where the leg's sockets are."""
        found = re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host", self.answer)
        return [(host, int(port)) for host, port in found if ":" not in host]


@asynccontextmanager
async def calling(
    track: MediaStreamTrack | None = None, rewrite: Callable[[str], str] = str
) -> AsyncIterator[Call]:
    """A call that is up: half a second of audio has come.

    Args:
        track: what the browser says; silence when left out.
        rewrite: changes its offer on the way.
    """
    leg = WebRtcLeg(RTCPeerConnection(RTCConfiguration(iceServers=[])), {})
    browser = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    browser.addTrack(track or AudioStreamTrack())
    browser.createDataChannel("events")
    await browser.setLocalDescription(await browser.createOffer())
    offer = rewrite(browser.localDescription.sdp)
    answer = await negotiate(leg, Offer(sdp=offer, type="offer"), "pc")
    call = Call(leg, browser, answer.sdp)

    async def listen() -> None:
        async for event in leg.events():
            if isinstance(event, LegAudio):
                call.heard.append(np.frombuffer(event.payload, "<i2"))
            elif isinstance(event, LegEnded | LegMisbehaved):
                call.over.append(event)

    listening = asyncio.create_task(listen())
    await browser.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))
    try:
        async with asyncio.timeout(8):
            while len(call.heard) < 25 or browser.sctp.state != "connected":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        yield call
    finally:
        listening.cancel()
        async with asyncio.timeout(3):
            await leg.close("")
        await browser.close()
