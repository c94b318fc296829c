"""Conversations through pipecat pipelines, with the serializers of two carriers.

Telnyx's is the program of the README, as it stands there.
"""

import asyncio
import base64
import contextlib
import json
import re
import time
import types
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI, WebSocket
from websockets.asyncio.client import ClientConnection, connect

from callcenter.evaluation.wav import read_wav
from callcenter.gateway.agents import Agents, agents
from callcenter.media.g711 import decode_ulaw, encode_ulaw
from callcenter.media.units import PACKET_S, Pcm16, rms
from personas.library import SHIPPED
from tests.servers import free_port

pytest.importorskip("pipecat", reason="needs the extra: pip install '.[pipecat]'")

from pipecat.frames.frames import InterruptionFrame
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.transports.websocket.fastapi import (
    FastAPIWebsocketParams,
    FastAPIWebsocketTransport,
)
from pipecat.workers.runner import WorkerRunner

from callcenter.telephony.pipecat.service import PersonaPlexService

PACKET_SAMPLES = 160
LOUD = 300
ROOT = Path(__file__).parents[3]
GREETING = ROOT / "engine" / "rehearsal_lines" / "greeting.wav"
README = ROOT / "callcenter" / "telephony" / "pipecat" / "README.md"
SILENCE = np.zeros(PACKET_SAMPLES, np.int16)
TELNYX_START: list[dict[str, Any]] = [
    {"event": "connected", "version": "1.0.0"},
    {
        "event": "start",
        "sequence_number": "1",
        "stream_id": "32de0dea-53cb-4b21-89a4-9e1819c043bc",
        "start": {
            "call_control_id": "v2:T02llQxIyaRkhfRKxgAP8nY511EhFLizdvdUKJiSw8d6A9BborherQ",
            "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
        },
    },
]


class Watch(BaseObserver):
    """Counts what must not happen."""

    def __init__(self) -> None:
        super().__init__()
        self.interruptions = 0

    async def on_push_frame(self, data: FramePushed) -> None:
        """Looks at every frame of the pipeline."""
        self.interruptions += isinstance(data.frame, InterruptionFrame)


@dataclass
class Line:
    """A carrier's side of the socket: sends packets in real time and keeps what comes."""

    stream: ClientConnection
    media: Callable[[str], dict[str, Any]]
    heard: list[Pcm16] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    async def listen(self) -> None:
        """Takes everything that the pipeline sends."""
        async for text in self.stream:
            message = json.loads(text)
            if message["event"] == "media":
                payload = base64.b64decode(message["media"]["payload"])
                self.heard.append(decode_ulaw(payload))
            else:
                self.other.append(message["event"])

    async def say(self, packets: list[Pcm16]) -> None:
        """Sends packets on an absolute clock."""
        began = time.monotonic()
        for index, packet in enumerate(packets):
            payload = base64.b64encode(encode_ulaw(packet)).decode()
            await self.stream.send(json.dumps(self.media(payload)))
            await asyncio.sleep(max(0.0, began + (index + 1) * PACKET_S - time.monotonic()))

    async def wait_for_speech(self, after_s: float = 0.0) -> None:
        """Stays silent until the agent has spoken and fallen silent again."""
        skip = round(after_s / PACKET_S)
        while not _has_spoken(self.heard[skip:]):
            await self.say([SILENCE] * 10)

    async def wait_for_a_word(self) -> None:
        """Stays silent until the agent speaks."""
        said = len(self.heard)
        while not any(rms(packet) > LOUD for packet in self.heard[said:]):
            await self.say([SILENCE] * 5)

    @property
    def heard_s(self) -> float:
        """Length of all audio that came."""
        return sum(packet.size for packet in self.heard) / 8_000


def _has_spoken(packets: list[Pcm16]) -> bool:
    """Speech, and then half a second without."""
    loud = [rms(packet) > LOUD for packet in packets]
    return any(loud) and not any(loud[-25:])


def _twilio(payload: str) -> dict[str, Any]:
    return {"event": "media", "streamSid": "MZ1", "media": {"payload": payload}}


def _telnyx(payload: str) -> dict[str, Any]:
    return {"event": "media", "media": {"payload": payload}}


def _twilio_program(found: Agents, watch: Watch) -> FastAPI:
    """A pipeline for each socket."""
    app = FastAPI()

    @app.websocket("/media")
    async def carrier(websocket: WebSocket) -> None:
        await websocket.accept()
        serializer = TwilioFrameSerializer(
            stream_sid="MZ1", params=TwilioFrameSerializer.InputParams(auto_hang_up=False)
        )
        service = PersonaPlexService(found.caller("bank"))
        await _run_pipeline(websocket, serializer, service, watch)

    return app


def _readme_program() -> FastAPI:
    """The README's, imported as a module: nothing but that may be needed."""
    (program,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    module = types.ModuleType("agent")
    exec(compile(program, README, "exec"), module.__dict__)  # noqa: S102
    app: FastAPI = module.__dict__["app"]
    return app


async def _run_pipeline(
    websocket: WebSocket, serializer: FrameSerializer, service: PersonaPlexService, watch: Watch
) -> None:
    params = FastAPIWebsocketParams(
        audio_in_enabled=True,
        audio_out_enabled=True,
        audio_out_10ms_chunks=2,
        serializer=serializer,
    )
    transport = FastAPIWebsocketTransport(websocket, params)
    pipeline = Pipeline([transport.input(), service, transport.output(), service.marks()])
    worker = PipelineWorker(
        pipeline,
        params=PipelineParams(audio_in_sample_rate=8_000, audio_out_sample_rate=8_000),
        observers=[watch],
        enable_rtvi=False,
        enable_turn_tracking=False,
        idle_timeout_secs=None,
    )

    @transport.event_handler("on_client_disconnected")
    async def gone(_transport: object, _client: object) -> None:
        await worker.cancel()

    await _run(worker)


async def _run(worker: PipelineWorker) -> None:
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


@contextlib.asynccontextmanager
async def _serving(app: FastAPI) -> AsyncIterator[str]:
    port = free_port()
    config = uvicorn.Config(app, port=port, log_config=None, ws="websockets-sansio")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0.01)
    yield f"ws://127.0.0.1:{port}"
    server.should_exit = True
    await task


def _speech() -> list[Pcm16]:
    """A few seconds of a person."""
    return _packets(read_wav(SHIPPED / "voices" / "joe.wav")[: 3 * 8_000])


def _packets(samples: Pcm16) -> list[Pcm16]:
    """Packets of 20 ms at 8 kHz."""
    starts = range(0, samples.size - PACKET_SAMPLES + 1, PACKET_SAMPLES)
    return [samples[start : start + PACKET_SAMPLES] for start in starts]


def _loud_s(packets: list[Pcm16]) -> float:
    """How long somebody speaks in them."""
    return PACKET_S * sum(rms(packet) > LOUD for packet in packets)


async def _converse(line: Line) -> None:
    """The agent greets, answers and is talked over; nothing is cleared or left out."""
    listening = asyncio.create_task(line.listen())
    await line.wait_for_speech()
    greeting_s = _loud_s(line.heard)
    began, heard_before_s = time.monotonic(), line.heard_s
    await line.say(_speech())
    await line.wait_for_a_word()
    await line.say(_speech()[:50])  # the model yields by itself, or not
    await line.wait_for_speech(after_s=heard_before_s)
    flowed_s, took_s = line.heard_s - heard_before_s, time.monotonic() - began
    await line.stream.close()
    await listening
    assert line.other == []  # an interruption would be a "clear" here
    assert greeting_s > 0.9 * _loud_s(_packets(read_wav(GREETING)))
    assert flowed_s > 0.85 * took_s


@pytest.mark.alone
@pytest.mark.timeout(60)
async def test_conversations(hall: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over Twilio, with an eye on every frame of the pipeline, and over Telnyx at the same time.

    The README's program gets its environment and what Telnyx sends; nothing else.
    """
    monkeypatch.setenv("REDIS_URL", hall.redis_url)
    monkeypatch.setenv("LINK_SECRET", hall.link_secret)
    monkeypatch.setenv("GATEWAY_POOLS", hall.pool)
    monkeypatch.delenv("TELNYX_API_KEY", raising=False)
    watch = Watch()
    async with (
        _agents_of(hall) as found,
        _serving(_twilio_program(found, watch)) as twilio_url,
        _serving(_readme_program()) as telnyx_url,
        connect(f"{twilio_url}/media", proxy=None) as twilio,
        connect(f"{telnyx_url}/media", proxy=None) as telnyx,
    ):
        for message in TELNYX_START:
            await telnyx.send(json.dumps(message))
        async with asyncio.TaskGroup() as both:
            both.create_task(_converse(Line(twilio, _twilio)))
            both.create_task(_converse(Line(telnyx, _telnyx)))
        await hall.until_free()
    assert watch.interruptions == 0


def _agents_of(hall: Any) -> contextlib.AbstractAsyncContextManager[Agents]:
    return agents(redis_url=hall.redis_url, link_secret=hall.link_secret, pools=[hall.pool])


async def _errors_of(service: PersonaPlexService, played_hz: int = 8_000) -> list[str]:
    """Runs a pipeline that cannot have an agent; it must end by itself."""
    errors: list[str] = []
    worker = PipelineWorker(
        Pipeline([service, service.marks()]),
        params=PipelineParams(audio_in_sample_rate=8_000, audio_out_sample_rate=played_hz),
        enable_rtvi=False,
        idle_timeout_secs=None,
    )

    @worker.event_handler("on_pipeline_error")
    async def failed(_worker: object, frame: Any) -> None:
        errors.append(frame.error)

    await _run(worker)
    return errors


@pytest.mark.timeout(30)
async def test_pipelines_without_an_agent_end(hall: Any) -> None:
    """With an error that says which settings to change, or that there is no room; no slot goes."""
    async with _agents_of(hall) as found:
        (error,) = await _errors_of(PersonaPlexService(found.caller("bank")), played_hz=7_919)
        assert "audio_out_sample_rate" in error
    async with agents(redis_url=hall.redis_url, link_secret="x", pools=["empty"]) as found:
        (error,) = await _errors_of(PersonaPlexService(found.caller("bank")))
        assert "no agent: no free slot" in error
    assert await hall.slots_used() == 0
