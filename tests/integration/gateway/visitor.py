"""A page and a browser as far as the gateway sees them; a second aiortc plays the browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import av
import httpx
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from callcenter.media.units import rms

SECRET = "secret-of-the-tests-0123456789abcdef"
PAGE = "https://www.example.com"


@dataclass
class Page:
    """A page in a browser, as far as the gateway sees it."""

    http: httpx.AsyncClient
    base_url: str
    origin: str = PAGE

    async def session(self, persona: str = "bank") -> httpx.Response:
        """Asks for a call."""
        return await self._send("POST", "/api/session", {"persona": persona})

    async def token(self) -> str:
        """A good token."""
        response = await self.session()
        assert response.status_code == 200, response.text
        token: str = response.json()["token"]
        return token

    async def offer(self, body: dict[str, object], token: str | None) -> httpx.Response:
        """Places the call."""
        return await self._send("POST", "/api/offer", body, token)

    async def candidates(self, pc_id: str, *candidates: str) -> httpx.Response:
        """Sends late addresses."""
        items = [{"candidate": text, "sdp_mid": "0", "sdp_mline_index": 0} for text in candidates]
        return await self._send("PATCH", "/api/offer", {"pc_id": pc_id, "candidates": items})

    async def _send(
        self, method: str, path: str, body: object, token: str | None = None
    ) -> httpx.Response:
        headers = {"Origin": self.origin} if self.origin else {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        url = self.base_url + path
        return await self.http.request(method, url, json=body, headers=headers)


@dataclass
class Browser:
    """Its end of the connection."""

    peer: RTCPeerConnection
    heard: list[np.ndarray] = field(default_factory=list)
    messages: asyncio.Queue[dict[str, str]] = field(default_factory=asyncio.Queue)
    listening: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.peer.addTrack(AudioStreamTrack())
        self.channel = self.peer.createDataChannel("events")
        self.channel.on("message", lambda text: self.messages.put_nowait(json.loads(text)))
        self.peer.on("track", self._on_track)

    def _on_track(self, track: Any) -> None:
        self.listening = asyncio.create_task(self._listen(track))

    async def _listen(self, track: Any) -> None:
        while True:
            av_frame: av.AudioFrame = await track.recv()
            self.heard.append(av_frame.to_ndarray())

    async def offer(self) -> dict[str, object]:
        """The body of the request."""
        await self.peer.setLocalDescription(await self.peer.createOffer())
        local = self.peer.localDescription
        return {"sdp": local.sdp, "type": local.type}

    async def accept(self, answer: dict[str, str]) -> None:
        """Takes the answer."""
        description = RTCSessionDescription(answer["sdp"], answer["type"])
        await self.peer.setRemoteDescription(description)

    async def hear(self, packets: int = 10) -> None:
        """Waits until the agent's tone comes."""
        while sum(rms(packet.ravel()) > 1_000 for packet in self.heard) < packets:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        """Goes away."""
        if self.listening is not None:
            self.listening.cancel()
        await self.peer.close()


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A browser that leaves no task behind."""
    opened = Browser(RTCPeerConnection(RTCConfiguration(iceServers=[])))
    yield opened
    await opened.close()


async def call(page: Page, caller: Browser) -> str:
    """Places a call that is answered; returns the connection's id."""
    response = await page.offer(await caller.offer(), await page.token())
    assert response.status_code == 200, response.text
    await caller.accept(response.json())
    await caller.hear()
    pc_id: str = response.json()["pc_id"]
    return pc_id


def code(response: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal, which must have words for its visitor, too."""
    body = response.json()
    assert body["message"]
    return response.status_code, body["code"]
