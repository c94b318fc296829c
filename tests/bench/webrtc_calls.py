"""CPU of whole browser calls: ICE, DTLS, SRTP, RTCP, Opus, both jitter buffers, 80 ms frames.

This process serves; another one plays the browsers, with aiortc. Prints one JSON line.
"""

import asyncio
import json
import multiprocessing
import time

import httpx
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from tests.e2e.webrtc import echo

CALLS = 5
SETTLE_S = 4.0
MEASURE_S = 10.0


async def browser(url: str, http: httpx.AsyncClient) -> RTCPeerConnection:
    """Places one call."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTrack(AudioStreamTrack())
    peer.createDataChannel("events")
    await peer.setLocalDescription(await peer.createOffer())
    offer = {"sdp": peer.localDescription.sdp, "type": "offer"}
    answer = (await http.post(f"{url}/api/offer", json=offer)).json()
    await peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
    return peer


async def browsers(url: str) -> None:
    """Holds all calls for long enough."""
    async with httpx.AsyncClient() as http:
        peers = [await browser(url, http) for _ in range(CALLS)]
        await asyncio.sleep(SETTLE_S + MEASURE_S + 1.0)
        for peer in peers:
            await peer.close()


def play_browsers(url: str) -> None:
    """The other process."""
    asyncio.run(browsers(url))


async def main() -> None:
    """Measures and prints."""
    async with echo.serving(echo.create_app(echo.echo_frames, frozenset())) as url:
        others = multiprocessing.get_context("spawn").Process(target=play_browsers, args=(url,))
        others.start()
        await asyncio.sleep(SETTLE_S)
        began_s, cpu_s = time.monotonic(), time.process_time()
        await asyncio.sleep(MEASURE_S)
        used = (time.process_time() - cpu_s) / (time.monotonic() - began_s) / CALLS
        await asyncio.to_thread(others.join)
    print(json.dumps({"bench": "webrtc_calls", "calls": CALLS, "core_percent_a_call": 100 * used}))


if __name__ == "__main__":
    asyncio.run(main())
