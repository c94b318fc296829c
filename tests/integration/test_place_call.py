"""The test caller over real sockets, against a small server that answers as a phone would."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from twilio.request_validator import RequestValidator

from callcenter.evaluation.call import place_call, run
from callcenter.evaluation.plan import CallPlan, CallReport
from callcenter.evaluation.script import Step
from callcenter.evaluation.wav import read_wav
from callcenter.media.g711 import encode_ulaw

SPEECH_WAV = Path(__file__).parents[1] / "fixtures" / "question_8khz.wav"
PUBLIC_URL = "https://phone.example"
TOKEN = "secret"
STREAM_TWIML = (
    '<Response><Connect><Stream url="wss://phone.example/media/one-time">'
    '<Parameter name="persona" value="bank"/></Stream></Connect></Response>'
)


@dataclass
class Phone:
    """Checks signatures, greets, and keeps what it was sent."""

    twiml: str = STREAM_TWIML
    status_code: int = 200
    hang_up_after_packets: int | None = None
    close_code: int = 1000
    events: list[dict] = field(default_factory=list)
    url: str = ""

    def app(self) -> FastAPI:
        app = FastAPI()
        app.post("/twilio/voice")(self.voice)
        app.websocket("/media/one-time")(self.media)
        return app

    async def voice(self, request: Request) -> Response:
        validator = RequestValidator(TOKEN)
        signature = request.headers["X-Twilio-Signature"]
        if not validator.validate(f"{PUBLIC_URL}/twilio/voice", await request.form(), signature):
            return Response("bad signature", status_code=403)
        return Response(self.twiml, status_code=self.status_code, media_type="text/xml")

    async def media(self, socket: WebSocket) -> None:
        signature = socket.headers["X-Twilio-Signature"]
        if not RequestValidator(TOKEN).validate(
            "wss://phone.example/media/one-time", {}, signature
        ):
            await socket.close(1008)
            return
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            await self.talk(socket)

    async def talk(self, socket: WebSocket) -> None:
        packets = 0
        while True:
            event = json.loads(await socket.receive_text())
            self.events.append(event)
            if event["event"] == "start":
                await self.greet(socket)
            packets += event["event"] == "media"
            if packets == self.hang_up_after_packets:
                await socket.close(self.close_code)
                return

    async def greet(self, socket: WebSocket) -> None:
        payload = base64.b64encode(encode_ulaw(read_wav(SPEECH_WAV))).decode()
        await socket.send_json({"event": "media", "streamSid": "x", "media": {"payload": payload}})
        await socket.send_json({"event": "mark", "streamSid": "x", "mark": {"name": "greeted"}})

    def of(self, kind: str) -> list[dict]:
        return [event for event in self.events if event["event"] == kind]


@contextlib.asynccontextmanager
async def serving(phone: Phone) -> AsyncIterator[Phone]:
    """The phone on a free port."""
    config = uvicorn.Config(phone.app(), port=0, log_level="critical", ws="websockets-sansio")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event to wait for
        await asyncio.sleep(0.01)
    phone.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield phone
    finally:
        server.should_exit = True
        await task


def plan(phone: Phone, **changes: object) -> CallPlan:
    """Says 0.2 s and presses a key when the greeting is over."""
    steps = [
        Step(np.full(1_600, 4_000, np.int16), "", "agent_done", 0.3, 10.0),
        Step(np.zeros(0, np.int16), "5", "call_time", 0.0, 10.0),
    ]
    options = {"steps": steps, "answer_patience_s": 0.5, "auth_token": TOKEN, **changes}
    return CallPlan(server=phone.url, public_url=PUBLIC_URL, number="+15551234567", **options)  # type: ignore[arg-type]


async def call(phone: Phone, **changes: object) -> CallReport:
    """One call of a fresh server."""
    async with serving(phone):
        return await place_call(plan(phone, **changes))


async def test_a_whole_call_is_heard_recorded_and_judged(tmp_path: Path) -> None:
    """Greeting, a word, a key, hang-up: everything arrives on both sides."""
    phone, out = Phone(), tmp_path / "heard.wav"
    report = await call(phone, out=out, stereo=True)
    assert report.status == "completed"
    assert report.packets_missing == 0
    assert report.marks_echoed == 1
    assert report.dtmf_sent == 1
    assert report.score is not None
    assert report.score.first_speech_s == pytest.approx(0.1, abs=0.2)
    assert 2.5 < report.duration_s < 4.5
    kinds = [event["event"] for event in phone.events]
    assert kinds[:2] == ["connected", "start"]
    assert kinds[-1] == "stop"
    assert phone.of("start")[0]["start"]["customParameters"] == {"persona": "bank"}
    assert len(phone.of("media")) == report.packets_sent
    assert phone.of("dtmf")[0]["dtmf"]["digit"] == "5"
    assert phone.of("mark")[0]["mark"]["name"] == "greeted"
    with wave.open(str(out)) as recording:
        assert recording.getnchannels() == 2
        assert recording.getnframes() == report.packets_sent * 160


async def test_packets_keep_an_absolute_clock() -> None:
    """Timestamps are 20 ms apart and the call lasts as long as it says."""
    phone = Phone()
    began = asyncio.get_running_loop().time()
    report = await call(phone, steps=[], answer_patience_s=1.0)
    lasted_s = asyncio.get_running_loop().time() - began
    stamps = [int(event["media"]["timestamp"]) for event in phone.of("media")]
    assert stamps == list(range(0, 20 * len(stamps), 20))
    assert report.duration_s <= lasted_s


async def test_a_wrong_token_is_refused() -> None:
    """The server says 403, the report says so."""
    report = await call(Phone(), auth_token="wrong")
    assert report.status == "refused"
    assert "403" in report.detail


async def test_no_free_slot_is_a_refusal() -> None:
    """A 503 whose TwiML says why."""
    busy = "<Response><Say>All lines are busy.</Say></Response>"
    report = await call(Phone(twiml=busy, status_code=503))
    assert report.status == "refused"
    assert "All lines are busy" in report.detail


async def test_a_stream_that_does_not_exist_is_a_refusal() -> None:
    """The handshake's status is in the report."""
    report = await call(Phone(twiml=STREAM_TWIML.replace("one-time", "elsewhere")))
    assert report.status == "refused"
    assert "403" in report.detail


async def test_the_server_may_hang_up() -> None:
    """In order: what was heard until then is judged."""
    report = await call(Phone(hang_up_after_packets=20))
    assert report.status == "ended_by_server"
    assert report.packets_sent >= 20


async def test_a_server_that_breaks_down_is_a_failure() -> None:
    """Close code 1011 is no hang-up."""
    report = await call(Phone(hang_up_after_packets=20, close_code=1011))
    assert report.status == "failed"
    assert "1011" in report.detail


async def test_nobody_listens() -> None:
    """A server that isn't there is a report, not a traceback."""
    report = await place_call(plan(Phone(url="http://127.0.0.1:9")))
    assert report.status == "failed"
    assert "127.0.0.1:9" in report.detail


def test_run_prints_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    """And its exit status tells of the failure."""
    assert run("+15551234567", "http://127.0.0.1:9", TOKEN) == 1
    line = json.loads(capsys.readouterr().out)
    assert line["status"] == "failed"
    assert TOKEN not in str(line)


def test_run_names_a_missing_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Before any call is made."""
    status = run("+15551234567", "http://127.0.0.1:9", TOKEN, wav=[tmp_path / "no.wav"])
    assert status == 2
    assert "no.wav" in capsys.readouterr().err
