"""The test caller: calls a running system the way Twilio does, in real time, and reports.

It signs the webhook, obeys the TwiML, opens the media socket and sends 20 ms packets on an absolute
clock; what comes back goes through a model of Twilio's playout buffer, and that is what it hears,
records and judges. Knows nothing of the system under test beyond the protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import httpx
import numpy as np
import typer
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidHandshake

from callcenter.errors import CallcenterError, ProtocolError, Refused
from callcenter.evaluation.carrier import (
    SIGNATURE_HEADER,
    WEBHOOK_PATH,
    AgentAudio,
    AgentClear,
    AgentMark,
    Carrier,
    StreamOrder,
    local_url,
    parse_message,
    parse_twiml,
)
from callcenter.evaluation.plan import CallPlan, CallReport, steps_from_options
from callcenter.evaluation.playback import PlaybackBuffer
from callcenter.evaluation.scoring import score
from callcenter.evaluation.script import Ear, Mouth
from callcenter.evaluation.wav import write_wav
from callcenter.media.g711 import encode_ulaw
from callcenter.media.units import NARROWBAND_HZ, PACKET_S, Pcm16

CONNECT_TIMEOUT_S = 15.0  # Twilio gives a webhook as long
_MAX_MESSAGE_BYTES = 1 << 20


async def place_call(plan: CallPlan) -> CallReport:
    """Makes the call, to its end.

    Returns:
        The report; a refusal or a broken connection is a report, too.
    """
    carrier = Carrier(plan.auth_token, plan.caller, plan.number)
    try:
        order = await _ring(plan, carrier)
        stream = await _open_stream(plan, carrier, order)
    except Refused as error:
        return CallReport("refused", str(error), carrier.call_sid)
    except (ProtocolError, OSError, httpx.HTTPError, TimeoutError, InvalidHandshake) as error:
        detail = str(error) or type(error).__name__
        return CallReport("failed", f"{plan.server}: {detail}", carrier.call_sid)
    line = _Line(plan, carrier, stream)
    async with stream:
        status, detail = await line.talk(order.parameters)
    return await asyncio.to_thread(line.report, status, detail)


async def _ring(plan: CallPlan, carrier: Carrier) -> StreamOrder:
    form = carrier.webhook_form()
    signature = carrier.sign(plan.public_url.rstrip("/") + WEBHOOK_PATH, form)
    async with httpx.AsyncClient(timeout=CONNECT_TIMEOUT_S, trust_env=False) as client:
        response = await client.post(
            plan.server.rstrip("/") + WEBHOOK_PATH, data=form, headers={SIGNATURE_HEADER: signature}
        )
    if response.is_success:
        return parse_twiml(response.text)
    raise Refused(f"webhook: HTTP {response.status_code}: {response.text[:500]}")


async def _open_stream(plan: CallPlan, carrier: Carrier, order: StreamOrder) -> ClientConnection:
    try:
        return await connect(
            local_url(order.url, plan.server),
            additional_headers={SIGNATURE_HEADER: carrier.sign(order.url)},
            user_agent_header="TwilioProxy/1.1",
            compression=None,
            max_size=_MAX_MESSAGE_BYTES,
            max_queue=None,  # a real-time receiver never asks the sender to wait
            open_timeout=CONNECT_TIMEOUT_S,
            ping_interval=None,
            proxy=None,
        )
    except InvalidHandshake as error:
        raise Refused(f"media socket: {error}") from error


class _Line:
    """The media stream of one call."""

    def __init__(self, plan: CallPlan, carrier: Carrier, stream: ClientConnection) -> None:
        self._plan, self._carrier, self._stream = plan, carrier, stream
        self._playback = PlaybackBuffer()
        self._ear, self._mouth = Ear(), Mouth(list(plan.steps))
        self._said: list[Pcm16] = []
        self._heard: list[Pcm16] = []
        self._started_at = 0.0  # the loop's clock
        self._received_bytes = 0
        self._first_audio_s: float | None = None
        self._marks = self._digits = 0
        self._max_backlog_s = self._max_late_s = 0.0

    async def talk(self, parameters: dict[str, str]) -> tuple[str, str]:
        """Runs the stream until either side ends it.

        Returns:
            Status and detail of the report.
        """
        clock = asyncio.get_running_loop()
        listener: asyncio.Task[None] | None = None
        try:
            await self._stream.send(self._carrier.connected())
            await self._stream.send(self._carrier.start(parameters))
            self._started_at = clock.time()
            listener = asyncio.create_task(self._listen())
            await self._speak(listener)
            await self._stream.send(self._carrier.stop())
        except ConnectionClosedOK as error:  # the server ended the call on purpose
            return "ended_by_server", str(error)
        except (ConnectionClosed, ProtocolError) as error:  # it died, or broke the protocol
            return "failed", str(error)
        finally:
            if listener is not None:
                listener.cancel()
                await asyncio.gather(listener, return_exceptions=True)
        return "completed", ""

    async def _listen(self) -> None:
        async for text in self._stream:
            match parse_message(text):
                case AgentAudio(payload):
                    self._note_audio(payload)
                    self._playback.audio(payload)
                case AgentMark(name):
                    self._playback.mark(name)
                case AgentClear():
                    self._playback.clear()

    def _note_audio(self, payload: bytes) -> None:
        if self._first_audio_s is None:
            self._first_audio_s = asyncio.get_running_loop().time() - self._started_at
        self._received_bytes += len(payload)

    async def _speak(self, listener: asyncio.Task[None]) -> None:
        clock = asyncio.get_running_loop()
        while not self._done():
            due = self._started_at + self._mouth.packets * PACKET_S
            # Sleeping even when late lets the listener take what has come in the meantime.
            await asyncio.sleep(max(0.0, due - clock.time()))
            self._max_late_s = max(self._max_late_s, clock.time() - due)
            if listener.done():
                listener.result()  # raises what the server did wrong
            await self._packet()

    async def _packet(self) -> None:
        """20 ms of both directions."""
        self._max_backlog_s = max(self._max_backlog_s, self._playback.backlog_s)
        played = self._playback.play()
        self._ear.hear(played.heard)
        utterance = self._mouth.next(self._ear)
        self._heard.append(played.heard)
        self._said.append(utterance.audio)
        timestamp_ms = round((self._mouth.packets - 1) * PACKET_S * 1000)
        await self._stream.send(self._carrier.media(encode_ulaw(utterance.audio), timestamp_ms))
        if utterance.digit:
            self._digits += 1
            await self._stream.send(self._carrier.dtmf(utterance.digit))
        for name in played.marks:
            self._marks += 1
            await self._stream.send(self._carrier.mark(name))

    def _done(self) -> bool:
        if self._ear.now_s >= self._plan.max_s:
            return True
        if not self._mouth.finished:
            return False
        return (
            self._mouth.answered(self._ear, self._plan.hang_up_after_s)
            or self._mouth.idle_for_s(self._ear) >= self._plan.answer_patience_s
        )

    def report(self, status: str, detail: str) -> CallReport:
        """Writes the recording and judges it."""
        none = np.zeros(0, np.int16)
        said = np.concatenate([none, *self._said])
        heard = np.concatenate([none, *self._heard])
        if self._plan.out is not None:
            write_wav(self._plan.out, [said, heard] if self._plan.stereo else [heard])
        return CallReport(
            status,
            detail,
            self._carrier.call_sid,
            duration_s=round(self._ear.now_s, 2),
            packets_sent=self._mouth.packets,
            audio_received_s=round(self._received_bytes / NARROWBAND_HZ, 2),
            packets_missing=self._playback.packets_missing,
            first_audio_s=None if self._first_audio_s is None else round(self._first_audio_s, 3),
            marks_echoed=self._marks,
            clears=self._playback.clears,
            dtmf_sent=self._digits,
            max_backlog_s=round(self._max_backlog_s, 3),
            max_late_s=round(self._max_late_s, 4),
            score=score(said, heard),
        )


def run(
    number: str,
    server: str,
    auth_token: str,
    *,
    wav: Sequence[Path] = (),
    interrupt: Sequence[str] = (),
    dtmf: str = "",
    script: Path | None = None,
    out: Path | None = None,
    stereo: bool = False,
    public_url: str = "",
    caller: str = "+15005550006",
    max_s: float = 120.0,
    expect_speech: bool = False,
) -> int:
    """The `call` command: makes one call and prints its report as one JSON line.

    Returns:
        Exit status: 0 when either side ended the call on purpose, 1 when it was refused or failed
        (or the agent never spoke, where that was expected), 2 when an option is wrong.
    """
    try:
        plan = CallPlan(
            server=server,
            public_url=public_url or server,
            number=number,
            auth_token=auth_token,
            steps=steps_from_options(wav, interrupt, dtmf, script),
            caller=caller,
            out=out,
            stereo=stereo,
            max_s=max_s,
        )
    except CallcenterError as error:
        typer.echo(str(error), err=True)
        return 2
    report = asyncio.run(place_call(plan))
    typer.echo(report.to_json())
    return exit_status(report, expect_speech=expect_speech)


def exit_status(report: CallReport, *, expect_speech: bool) -> int:
    """0 for a call that went well, else 1."""
    spoke = report.score is not None and report.score.first_speech_s is not None
    ended_well = report.status in ("completed", "ended_by_server")
    return 0 if ended_well and (spoke or not expect_speech) else 1
