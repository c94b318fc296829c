"""An echoing leg behind the widget's own phone, and a page that measures mouth to ear.

The browser's microphone is a file of tone bursts. An AudioWorklet in the page hears both the
microphone and what comes back; a burst's delay is the time between its two onsets on one clock.
"""

from __future__ import annotations

import asyncio
import json
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import uvicorn
from aiortc import RTCConfiguration, RTCPeerConnection
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from callcenter.call.audio import CallAudio
from callcenter.events import LegAudio, LegMarkPlayed, LegStarted
from callcenter.media.downlink import AudioPayload
from callcenter.media.opus import PACKET_SAMPLES
from callcenter.media.units import is_silent
from callcenter.telephony.webrtc.files import WIDGET
from callcenter.telephony.webrtc.leg import WebRtcLeg
from callcenter.telephony.webrtc.signaling import Offer, negotiate
from tests.servers import free_port

BURST_EVERY_S = 0.5
PACKET_BYTES = 2 * PACKET_SAMPLES
QUEUE_LIMIT = 3  # packets

PAGE = """<!doctype html><title>echo</title><script type="module">
import { Phone } from "./widget/phone.js";

const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
navigator.mediaDevices.getUserMedia = () => open({ audio: raw });

const WORKLET = `registerProcessor("onsets", class extends AudioWorkletProcessor {
  last = [-1, -1];
  process([input]) {
    input.forEach((samples, channel) => {
      const at = samples.findIndex((x) => Math.abs(x) > 0.08);
      if (at < 0) return;
      const time = (currentFrame + at) / sampleRate;
      if (time - this.last[channel] > 0.15) this.port.postMessage({ channel, time });
      this.last[channel] = time;
    });
    return true;
  }
});`;

window.onsets = [[], []];
window.phone = new Phone(new URL("./", location).href);
phone.addEventListener("state", async ({ detail }) => {
  window.state = detail.state;
  if (detail.state !== "talking") return;
  const context = new AudioContext({ latencyHint: 0 });
  const code = URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" }));
  await context.audioWorklet.addModule(code);
  const merger = context.createChannelMerger(2);
  const node = new AudioWorkletNode(context, "onsets", { channelCount: 2 });
  context.createMediaStreamSource(phone.microphone).connect(merger, 0, 0);
  context.createMediaStreamSource(phone.voice).connect(merger, 0, 1);
  merger.connect(node).connect(context.destination);
  node.port.onmessage = ({ data }) => onsets[data.channel].push(data.time);
});
phone.start("echo");
</script>"""


def write_bursts(path: Path, rate_hz: int = 48_000) -> None:
    """A WAV of 10 s: 40 ms of 1 kHz, twice a second."""
    time_s = np.arange(10 * rate_hz) / rate_hz
    tone = 0.5 * np.sin(2 * np.pi * 1_000 * time_s) * (time_s % BURST_EVERY_S < 0.04)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((tone * 32_767).astype("<i2").tobytes())


def delays_ms(sent_s: list[float], heard_s: list[float]) -> list[float]:
    """The delay of each burst that came back, milliseconds."""
    delays = []
    for sent in sent_s:
        after = [heard - sent for heard in heard_s if 0.0 < heard - sent < BURST_EVERY_S]
        if after:
            delays.append(1_000 * after[0])
    return delays


class LossyLeg(WebRtcLeg):
    """A leg that loses some of the browser's packets on the way in."""

    lost: frozenset[int] = frozenset()
    _count = 0

    def hear(self, sequence: int, payload: bytes) -> None:
        """Passes a packet on, unless its turn to be lost has come."""
        self._count += 1
        if self._count not in self.lost:
            super().hear(sequence, payload)


async def echo_packets(leg: WebRtcLeg) -> None:
    """Sends back what comes, packet by packet; a queue is won back in silence, as in a call."""
    rest = b""
    async for event in leg.events():
        if isinstance(event, LegAudio):
            rest += event.payload
            while len(rest) >= PACKET_BYTES:
                packet, rest = rest[:PACKET_BYTES], rest[PACKET_BYTES:]
                if len(leg.track.queue) < QUEUE_LIMIT or not is_silent(
                    np.frombuffer(packet, "<i2")
                ):
                    await leg.play(packet)


async def echo_frames(leg: WebRtcLeg) -> None:
    """The same over the call's own uplink and downlink: frames of 80 ms, governor, marks."""
    audio: CallAudio | None = None
    clock = asyncio.get_running_loop().time
    async for event in leg.events():
        match event:
            case LegStarted():
                audio = CallAudio(event, clock())
            case LegMarkPlayed(name=name) if audio is not None:
                audio.mark_played(name, clock())
            case LegAudio() if audio is not None:
                for frame in audio.heard(event.payload, event.timestamp_s, clock()):
                    for item in audio.said(frame, clock()):
                        if isinstance(item, AudioPayload):
                            await leg.play(item.payload)
                        else:
                            await leg.mark(item.name)


def create_app(carry: Callable[[WebRtcLeg], object], lost: frozenset[int]) -> FastAPI:
    """Page, widget, and an API that admits everybody."""
    app = FastAPI()
    tasks: set[asyncio.Task[object]] = set()

    @app.get("/")
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE)

    @app.post("/api/session")
    async def session() -> dict[str, object]:
        return {"token": "echo", "ice_servers": []}

    @app.post("/api/offer")
    async def offer(request: Request) -> dict[str, str]:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        leg = LossyLeg(connection, {})
        leg.lost = lost
        answer = await negotiate(leg, Offer(**json.loads(await request.body())), "echo")
        tasks.add(asyncio.create_task(_run(leg)))
        return answer.model_dump()

    async def _run(leg: WebRtcLeg) -> None:
        await carry(leg)
        await leg.close("hangup")

    app.mount("/widget", StaticFiles(directory=WIDGET))
    return app


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """Serves on a free port; gives the address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done(), "the server did not start"
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task
