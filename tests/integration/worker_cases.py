"""A worker's parts in this process, and a gateway's side of its sessions."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator

import numpy as np

from callcenter.broker.broker import Broker
from callcenter.broker.connection import connect
from callcenter.link.client import LinkClient
from callcenter.link.protocol import AudioFrame, OpenSession, Text, prompt_hash
from callcenter.link.token import SessionToken, sign
from callcenter.settings import WorkerSettings
from callcenter.worker.program import Worker

SECRET = "s" * 32
PROMPT = prompt_hash("nora", "Be kind.")
QUIET = np.zeros(1_920, np.int16)


def settings(redis_url: str, **overrides: object) -> WorkerSettings:
    """A worker on free ports, in a pool of its own."""
    values: dict[str, object] = {
        "redis_url": redis_url,
        "link_secret": SECRET,
        "worker_id": "w1",
        "worker_pool": f"pool-{time.time_ns()}",
        "worker_port": 0,
        "worker_http_port": 0,
        "heartbeat_s": 0.05,
        "drain_deadline_s": 5.0,
    }
    return WorkerSettings.load(**values | overrides)


@contextlib.asynccontextmanager
async def books(config: WorkerSettings) -> AsyncIterator[Broker]:
    """The gateway's view of the worker's pool."""
    async with connect(config.redis_url) as client:
        yield Broker(client, config.worker_pool)


def opening(call_id: str, voice: str = "nora") -> OpenSession:
    """A session's first message."""
    return OpenSession(
        call_id=call_id,
        persona="bank",
        persona_version="1",
        role_text="Be kind.",
        voice=voice,
        prompt_hash=prompt_hash(voice, "Be kind."),
    )


async def claimed(broker: Broker) -> LinkClient:
    """A call on the slot that the broker gives it, by the claim's own url and epoch."""
    claim = await broker.claim("CA1", PROMPT, "g1")
    token = SessionToken(
        call_id="CA1",
        worker_id=claim.worker_id,
        epoch=claim.epoch,
        fencing_token=claim.fencing_token,
        prompt_hash=PROMPT,
        expires_at_s=time.time() + 30,
    )
    return await LinkClient.open(claim.url, sign(token, SECRET), opening("CA1"))


def token_for(
    worker: Worker, call_id: str, fencing_token: int = 1, prompt: str = PROMPT, **fields: object
) -> str:
    """A session token as a gateway signs it; `fields` replace what would be right."""
    token = SessionToken(
        call_id=call_id,
        worker_id="w1",
        epoch=worker.epoch,
        fencing_token=fencing_token,
        prompt_hash=prompt,
        expires_at_s=time.time() + 30,
    )
    return sign(token.model_copy(update=fields), SECRET)


async def join(worker: Worker, call_id: str, **fields: int) -> LinkClient:
    """Opens a session."""
    return await LinkClient.open(worker.url, token_for(worker, call_id, **fields), opening(call_id))


async def hear(link: LinkClient, frames: int) -> tuple[list[np.ndarray], str]:
    """Speaks silence and listens for some frames."""
    heard: list[np.ndarray] = []
    words = ""
    async for message in link.messages():
        if isinstance(message, AudioFrame):
            heard.append(message.pcm)
            link.send(QUIET)
        elif isinstance(message, Text):
            words += message.piece
        if len(heard) == frames:
            break
    return heard, words
