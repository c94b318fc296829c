"""Carries sessions between the link and the tick thread; lives on the event loop.

One coroutine a session: it lets the admission judge, orders a slot, pushes the caller's frames into
the inbox, and ends when the gateway, the engine or the worker ends the session, whoever is first.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import structlog

from callcenter import metrics, tracing
from callcenter.errors import Draining, NoCapacity, Refused
from callcenter.link.protocol import Action, DrainSoon, End, OpenSession, Ready, Record, Stats, Text
from callcenter.link.refusals import PromptRefused, SessionFailed, StaleClaim
from callcenter.link.server import GatewayChannel, SessionLink
from callcenter.worker.admission import Admission
from callcenter.worker.sessions import Delivery, Post, Session
from callcenter.worker.ticker import Ticker
from callcenter.worker.voices import VoiceIntake
from engine.interface import EngineError, NoFreeSlot, PromptRejected, Sampling, SessionSpec

DRAINED = "drained"

log = structlog.get_logger(__name__)


class LiveSession:
    """One session on the event loop's side.

    Attributes:
        session: its other half, in the tick thread.
        ended: done when the session must end: with a reason to say, or with a refusal.
    """

    def __init__(self, link: SessionLink, kind: str) -> None:
        self._channel: GatewayChannel = link.channel
        self._kind = kind
        self._trimmed = 0
        self._began = False
        self._drain_deadline_s: float | None = None
        self.session = Session(spec_of(link.spec), self.deliver)
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def begin(self) -> None:
        """Tells the gateway, once, that the session has its slot: its first word must be that."""
        if self._began:
            return
        self._began = True
        self._channel.send_control(Ready())
        if self._drain_deadline_s is not None:
            self._channel.send_control(DrainSoon(deadline_s=self._drain_deadline_s))

    def deliver(self, delivery: Delivery) -> None:
        """Sends one tick's result, unless the session is over."""
        if self.ended.done():
            return
        if delivery.output is None:
            self.ended.set_exception(SessionFailed(delivery.failure))
            return
        self.begin()  # its first tick may overtake the word that its prompt is in
        self._count(delivery)
        self._channel.send_frame(delivery.output.pcm, waited_s=delivery.waited_s)
        if delivery.output.text:
            self._channel.send_control(Text(piece=delivery.output.text, frame=delivery.frame))
        if delivery.output.action:
            self._channel.send_control(Action(name=delivery.output.action))
        if delivery.output.record:
            fields = dict(delivery.output.record)
            self._channel.send_control(Record(task=fields.pop("task"), fields=fields))

    def _count(self, delivery: Delivery) -> None:
        if delivery.concealed:
            metrics.MEDIA_GAP_FILL_FRAMES.labels(self._kind).inc()
        before, self._trimmed = self._trimmed, self.session.inbox.trimmed
        if self._trimmed > before:
            metrics.MEDIA_FRAMES_DROPPED.labels("in", "trimmed").inc(self._trimmed - before)

    def end(self, reason: str) -> None:
        """Ends the session in good order."""
        if not self.ended.done():
            self.ended.set_result(reason)

    def refuse(self, refusal: Refused) -> None:
        """Ends the session with an error."""
        if not self.ended.done():
            self.ended.set_exception(refusal)

    def warn_of_drain(self, deadline_s: float) -> None:
        """Tells the gateway that this worker leaves, as soon as the session has begun."""
        self._drain_deadline_s = deadline_s
        if self._began:
            self._channel.send_control(DrainSoon(deadline_s=deadline_s))

    async def carry(self, link: SessionLink) -> str:
        """Moves the caller's frames until somebody ends the session.

        Returns:
            The outcome, for metrics: ended or drained.

        Raises:
            Refused: the engine or a newer claim ended it.
            ProtocolError: the gateway sent something that is no message.
        """
        reader = asyncio.create_task(self._read(link), name="session-reader")
        try:
            ends: set[asyncio.Future[Any]] = {reader, self.ended}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not self.ended.done():
                reader.result()
                return "ended"
            reason = self.ended.result()
            self._channel.send_control(self.stats())
            self._channel.send_control(End(reason=reason))
            return reason
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    def close(self) -> None:
        """Takes no more results; a failure that nobody waited for is settled."""
        if self.ended.done():
            self.ended.exception()
        self.ended.cancel()

    def stats(self) -> Stats:
        """What happened to the frames so far."""
        inbox = self.session.inbox
        return Stats(
            frames_in=inbox.received,
            frames_dropped=inbox.dropped,
            frames_concealed=inbox.concealed,
            frames_out=self.session.frames_out,
        )

    async def _read(self, link: SessionLink) -> None:
        async for audio in link.messages():
            if self.session.inbox.push(audio.pcm, time.monotonic()):
                metrics.MEDIA_FRAMES_DROPPED.labels("in", "overflow").inc()


class SessionService:
    """All sessions of this worker.

    Args:
        admission: who may have a slot.
        ticker: where slots are.
        kind: the engine's kind, for metrics.
        voices: brings published voices to the engine.
    """

    def __init__(
        self, admission: Admission, ticker: Ticker, kind: str, voices: VoiceIntake
    ) -> None:
        self._voices = voices
        self._admission = admission
        self._ticker = ticker
        self._kind = kind
        self._live: dict[str, LiveSession] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    async def serve(self, link: SessionLink) -> None:
        """Runs one session to its end.

        Raises:
            Refused: the session can't be had or was given up; the link tells the gateway.
            ProtocolError: the gateway broke the protocol.
        """
        superseded = self._admission.enter(link.token, link.spec)
        if superseded is not None:
            self._live[superseded.call_id].refuse(StaleClaim("a newer claim took this call over"))
        live = LiveSession(link, self._kind)
        self._live[link.token.call_id] = live
        self._empty.clear()
        outcome = "refused"
        try:
            await self._admit(live, link)
            outcome = "failed"
            outcome = await live.carry(link)
        except StaleClaim:
            outcome = "superseded"
            raise
        finally:
            self._forget(live, link, outcome)

    def deliver(self, post: Post) -> None:
        """Hands one tick's results to their sessions; called once a tick."""
        for session, delivery in post:
            session.deliver(delivery)

    def warn_of_drain(self, deadline_s: float) -> None:
        """Tells every session's gateway that this worker leaves."""
        for live in self._live.values():
            live.warn_of_drain(deadline_s)

    def end_all(self, reason: str) -> None:
        """Ends every session in good order."""
        for live in self._live.values():
            live.end(reason)

    async def wait_until_empty(self, timeout_s: float) -> bool:
        """Waits for the last session's end; False if it takes longer than that."""
        try:
            await asyncio.wait_for(self._empty.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def _admit(self, live: LiveSession, link: SessionLink) -> None:
        """Waits for the session's slot, unless somebody ends it before.

        Raises:
            Refused: it gets none.
        """
        seating = asyncio.create_task(self._seat(live, link), name="session-seating")
        try:
            ends: set[asyncio.Future[Any]] = {seating, live.ended}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not seating.done():
                live.ended.result()
                raise Draining("this worker has ended its sessions; this one had not begun")
            seating.result()
        finally:
            seating.cancel()
            await asyncio.gather(seating, return_exceptions=True)
        live.begin()

    async def _seat(self, live: LiveSession, link: SessionLink) -> None:
        voice = await self._voices.name_of(link.spec.voice, link.spec.voice_sha256)
        live.session.spec = replace(live.session.spec, voice=voice)
        try:
            with tracing.span("worker.admit", link.token.call_id, persona=link.spec.persona):
                await asyncio.wrap_future(self._ticker.admit(live.session))
        except NoFreeSlot as error:
            raise NoCapacity(str(error)) from None
        except PromptRejected as error:
            raise PromptRefused(str(error)) from None
        except EngineError as error:
            raise SessionFailed(str(error)) from None
        self._admission.remember_prompt(link.token.prompt_hash)
        log.info(
            "session_started",
            call_id=link.token.call_id,
            persona=link.spec.persona,
            voice=voice,
            voice_sha256=link.spec.voice_sha256,
        )

    def _forget(self, live: LiveSession, link: SessionLink, outcome: str) -> None:
        """Frees the slot at once, whatever ended the session."""
        self._ticker.release(live.session)
        self._admission.leave(link.token)
        live.close()
        if self._live.get(link.token.call_id) is live:
            del self._live[link.token.call_id]
        if not self._live:
            self._empty.set()
        metrics.WORKER_SESSIONS.labels(self._kind, outcome).inc()
        if link.channel.frames_dropped:
            metrics.MEDIA_FRAMES_DROPPED.labels("out", "slow_gateway").inc(
                link.channel.frames_dropped
            )
        log.info(
            "session_over",
            call_id=link.token.call_id,
            outcome=outcome,
            **live.stats().model_dump(exclude={"type"}),
        )


def spec_of(opening: OpenSession) -> SessionSpec:
    """The engine's view of a session."""
    return SessionSpec(
        session_id=opening.call_id,
        persona=opening.persona,
        role_text=opening.role_text,
        voice=opening.voice,
        greeting=opening.greeting,
        seed=opening.seed,
        sampling=Sampling(**opening.sampling.model_dump()),
        dialogue=opening.dialogue,
    )
