"""Runs one call: reads the leg, plays the agent, and does what the machine says.

    leg.events() --> _listen --audio--> session.link
                        |events
                        v
                     _control --> machine --> commands
                        ^events
    leg.play() <--audio-- _speak <----- session.link

One task each, in one TaskGroup. No audio task waits for Redis or REST: those run in tasks of their
own and come back as events. It decides nothing about the call (`machine` does) and does not know
the carrier (`leg`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog

from callcenter.call.audio import CallAudio
from callcenter.call.machine import (
    CallMachine,
    ClaimSlot,
    CloseLeg,
    CloseSession,
    Command,
    FlushPlayout,
    HangUp,
    Limits,
    OpenSession,
    Outcome,
    State,
    Transfer,
)
from callcenter.call.meter import CallMeter, unrecorded
from callcenter.call.session import CallSession
from callcenter.errors import LinkLost, ProtocolError, Refused
from callcenter.events import (
    ActionRequested,
    CallEvent,
    GatewayStops,
    LegAudio,
    LegDigit,
    LegEnded,
    LegMarkPlayed,
    LegMisbehaved,
    LegStarted,
    OperatorHangsUp,
    OperatorTransfers,
    SessionLost,
    SessionReady,
    SpeechStarted,
    TimeIsUp,
    TransferDone,
    TransferFailed,
)
from callcenter.link.client import LinkClient
from callcenter.link.protocol import Action, AudioFrame, DrainSoon, Record, Text
from callcenter.media.downlink import AudioPayload
from callcenter.media.quality import CallQuality
from callcenter.records.journal import Note
from callcenter.telephony.leg import CallControlFailed, Captioned, Keyed, Leg

MAX_PLAY_OUT_S = 2.0  # how long a hang-up waits for the last words
MEASURE_EVERY_S = 0.5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CallResult:
    """How a call ended.

    Attributes:
        outcome: for metrics and records.
        code: why, short and stable.
        duration_s: from the open socket to the end.
        quality: all counters; None if there was no media.
    """

    outcome: Outcome
    code: str
    duration_s: float
    quality: CallQuality | None = None


class CallRunner:
    """One call, from the open leg to its end.

    Args:
        leg: the caller's side.
        session: claimed, not yet open.
        limits: of time and of new attempts.
        max_audio_lead_s: the call ends when its audio runs further ahead of real time.
        announced_ago_s: how long ago the carrier first spoke of the call.
        note: writes into the call's record.
    """

    def __init__(
        self,
        leg: Leg,
        session: CallSession,
        limits: Limits,
        max_audio_lead_s: float,
        announced_ago_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        note: Note = unrecorded,
    ) -> None:
        self._note = note
        self._leg = leg
        self._session = session
        self._max_audio_lead_s = max_audio_lead_s
        self._clock = clock
        self._began = clock()
        announced_at = self._began - announced_ago_s
        self._meter = CallMeter(leg.transport, session.spec.persona, announced_at, note)
        self._machine = CallMachine(limits, self._began)
        self._audio: CallAudio | None = None
        self._told: asyncio.Queue[CallEvent] = asyncio.Queue()
        self._tasks = asyncio.TaskGroup()
        self._speaking: asyncio.Task[None] | None = None
        self._pending: asyncio.Task[None] | None = None  # opening a link, or a transfer
        self._claiming: asyncio.Task[None] | None = None
        self._ordered: asyncio.Future[str] | None = None  # a transfer: "" or why it failed

    @property
    def handoff_number(self) -> str | None:
        """Where the call's own route or persona hands it over to; None for nowhere."""
        return self._machine.limits.transfer_number

    async def run(self) -> CallResult:
        """Carries the call; returns when leg, session and slot are given up."""
        self._meter.began()
        try:
            async with self._tasks:
                work = (self._listen(), self._measure(), self._session.keep_lease())
                background = [self._tasks.create_task(loop) for loop in work]
                await self._control()
                for task in background:
                    task.cancel()
        except* Exception:  # this task owns the call's life: whatever broke ends this call only
            log.exception("call_failed", state=self._machine.state.value)
            self._machine.handle(LegMisbehaved("internal_error", ""), self._clock())
        finally:
            self._answer_order(GatewayStops(), taken=True)
            await self._session.close("cancelled")
            await self._leg.close("cancelled")
            self._take_stock()
            outcome = self._machine.outcome or Outcome.FAILED
            self._meter.ended(outcome, worker_lost=self._machine.lost_its_worker)
        return CallResult(
            self._machine.outcome or Outcome.FAILED,
            self._machine.end_code,
            self._clock() - self._began,
            self._audio.quality() if self._audio else None,
        )

    def stop(self) -> None:
        """Asks the call to end because this gateway goes away."""
        self._told.put_nowait(GatewayStops())

    def hang_up(self) -> None:
        """Ends the call because a person wants so."""
        self._told.put_nowait(OperatorHangsUp())

    async def transfer(self, number: str) -> None:
        """Hands the caller over because a person wants so; returns when that is done.

        Raises:
            CallControlFailed: the carrier did not do it, or the call is not live; it goes on.
        """
        if self._ordered is not None and not self._ordered.done():
            raise CallControlFailed("a transfer of this call is under way")
        self._ordered = asyncio.get_running_loop().create_future()
        self._told.put_nowait(OperatorTransfers(number))
        if why := await self._ordered:
            raise CallControlFailed(why)

    async def press(self, keys: str) -> None:
        """Presses keys at the far end because a person wants so.

        Raises:
            CallControlFailed: the carrier takes no keys, or the call is not live.
        """
        if not isinstance(self._leg, Keyed):
            raise CallControlFailed(f"no keys can be pressed over {self._leg.transport}")
        if self._machine.state is not State.LIVE:
            raise CallControlFailed("the call is not live")
        self._note("keys", {"pressed": len(keys)})
        await self._leg.send_keys(keys)

    # --- the loops --------------------------------------------------------------------------------

    async def _control(self) -> None:
        while self._machine.state is not State.ENDED:
            event = await self._next_event()
            commands = self._machine.handle(event, self._clock())
            if isinstance(event, LegMisbehaved):
                log.warning("leg_misbehaved", code=event.code, detail=event.detail)
            if isinstance(event, SessionReady):
                self._start_speaking()
            self._answer_order(event, taken=bool(commands))
            for command in commands:
                await self._carry_out(command)

    async def _listen(self) -> None:
        async for event in self._leg.events():
            match event:
                case LegAudio():
                    self._hear(event)
                case LegMarkPlayed(name=name):
                    if self._audio is not None:
                        self._audio.mark_played(name, self._clock())
                case LegDigit():
                    log.info("digit")  # which one may be part of a card number
                case LegStarted():
                    self._tell(self._start_audio(event))
                case LegEnded(reason=reason):
                    self._meter.leg_ended(reason)
                    self._tell(event)
                case _:
                    self._tell(event)

    async def _speak(self, link: LinkClient) -> None:
        """Plays one session; a slow leg holds up the link, whose other end drops the oldest."""
        self._tell(SessionLost(await self._relay(link)))

    async def _relay(self, link: LinkClient) -> str:
        try:
            async for message in link.messages():
                match message:
                    case AudioFrame():
                        await self._say(message)
                    case Action(name=name):
                        self._tell(ActionRequested(name))
                    case Record(task=task, fields=fields):
                        log.info("task_recorded", task=task)
                        self._note("task", {"task": task, "fields": fields})
                    case DrainSoon(deadline_s=deadline_s):
                        log.info("worker_drains", deadline_s=deadline_s)
                    case Text(piece=piece):
                        log.debug("agent_text", **{"pii.text": piece})
                        self._note("text", {"piece": piece})
                        if isinstance(self._leg, Captioned):
                            await self._leg.caption(piece)
        except LinkLost:  # the worker died, or the network between
            return "link_lost"
        except Refused as refusal:  # the engine gave this session up
            return refusal.code
        except ProtocolError as error:  # another release on the worker
            log.error("link_protocol_error", detail=str(error))
            return "link_protocol"
        return "ended_by_worker"

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(MEASURE_EVERY_S)
            self._take_stock()

    # --- audio ------------------------------------------------------------------------------------

    def _start_audio(self, started: LegStarted) -> CallEvent:
        try:
            self._audio = CallAudio(started, self._clock())
        except ProtocolError as error:
            return LegMisbehaved("unsupported_encoding", str(error))
        return started

    def _hear(self, event: LegAudio) -> None:
        now = self._clock()
        if self._audio is None:
            return
        for frame in self._audio.heard(event.payload, event.timestamp_s, now):
            self._session.send(frame)
        lead_s = self._audio.lead_s(now)
        if lead_s > self._max_audio_lead_s:
            self._tell(LegMisbehaved("too_fast", f"audio is {lead_s:.1f} s ahead of real time"))

    async def _say(self, frame: AudioFrame) -> None:
        if self._audio is None:
            return
        if frame.waited_s is not None:
            self._audio.waited(frame.waited_s)
            self._meter.waited(frame.waited_s)
        for item in self._audio.said(frame.pcm, self._clock()):
            if isinstance(item, AudioPayload):
                await self._leg.play(item.payload)
            else:
                await self._leg.mark(item.name)

    def _take_stock(self) -> None:
        """Brings the metrics up to date."""
        audio, now = self._audio, self._clock()
        if audio is None:
            return
        if audio.first_sound_at is not None:
            self._meter.first_sound(audio.first_sound_at - audio.started_at)
        for party, edge in audio.speech_edges():
            speaking = isinstance(edge, SpeechStarted)
            ago_s = round(now - edge.at_s, 3)
            self._note("speech", {"party": party.value, "speaking": speaking, "ago_s": ago_s})
        for event in audio.turn_events(now):
            self._meter.turn(event)
        self._meter.send_lead(audio.backlog_s(now))
        self._meter.quality(audio.quality())

    # --- commands ---------------------------------------------------------------------------------

    async def _carry_out(self, command: Command) -> None:
        match command:
            case OpenSession():
                self._pending = self._report(self._session.open)
            case ClaimSlot():
                self._claiming = self._report(self._session.claim_again)
            case Transfer(number=number):
                self._pending = self._report(partial(self._transfer, number))
            case CloseSession(reason=reason):
                await self._close_session(reason)
            case FlushPlayout():
                await self._flush()
            case HangUp():
                await self._hang_up()
            case CloseLeg(code=code):
                await self._leg.close(code)

    def _report(self, work: Callable[[], Awaitable[CallEvent]]) -> asyncio.Task[None]:
        async def report() -> None:
            self._tell(await work())

        return self._tasks.create_task(report())

    def _start_speaking(self) -> None:
        link = self._session.link
        if link is not None:
            self._meter.session_ready(self._clock(), self._session.engine)
            self._speaking = self._tasks.create_task(self._speak(link))

    async def _close_session(self, reason: str) -> None:
        """Lets a claim that is under way come to its end, so that no slot is left behind."""
        for task in (self._speaking, self._pending):
            if task is not None:
                task.cancel()
        if self._claiming is not None:
            await asyncio.wait([self._claiming])
        await self._session.close(reason)

    async def _flush(self) -> None:
        if self._audio is not None:
            self._audio.flush(self._clock())
        await self._leg.clear()

    async def _hang_up(self) -> None:
        backlog_s = self._audio.backlog_s(self._clock()) if self._audio else 0.0
        await asyncio.sleep(min(backlog_s, MAX_PLAY_OUT_S))
        try:
            await self._leg.hang_up()
        except CallControlFailed as error:  # closing the leg is what is left to do
            log.warning("hang_up_failed", detail=str(error))

    async def _transfer(self, number: str) -> CallEvent:
        self._note("transfer", {"number": number})
        try:
            await self._leg.transfer(number)
        except CallControlFailed as error:
            log.warning("transfer_failed", detail=str(error))
            self._note("transfer_failed", {"why": str(error)})
            return TransferFailed(str(error))
        return TransferDone()

    def _answer_order(self, event: CallEvent, *, taken: bool) -> None:
        """Tells whoever ordered a transfer what became of it."""
        if self._ordered is None or self._ordered.done():
            return
        if isinstance(event, OperatorTransfers) and not taken:
            self._ordered.set_result("the call is not live")
        elif isinstance(event, TransferFailed):
            self._ordered.set_result(event.detail)
        elif self._machine.state is State.ENDED:
            gone = self._machine.outcome is Outcome.TRANSFERRED
            self._ordered.set_result("" if gone else "the call has ended")

    # --- events -----------------------------------------------------------------------------------

    def _tell(self, event: CallEvent) -> None:
        self._told.put_nowait(event)

    async def _next_event(self) -> CallEvent:
        deadline = self._machine.next_timer()
        wait_s = None if deadline is None else max(0.0, deadline - self._clock())
        try:
            async with asyncio.timeout(wait_s):
                return await self._told.get()
        except TimeoutError:
            return TimeIsUp()
