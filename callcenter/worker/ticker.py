"""The tick thread: owns the engine, and calls it every 80 ms for each phase group of its slots.

    gather -> tick -> scatter, then prompt work and orders until the next tick is due

Orders (admit, release) come from the event loop through a queue; results go back with one
`call_soon_threadsafe` a tick. Nothing here waits for the network or for a caller.

An engine call that raises ends the sessions that were in it, and is logged once; the thread lives
on. After several such ticks in a row the engine counts as broken: `broken` turns true, and the
program is expected to end so that something fresh takes its place.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TypeVar

import numpy as np
import structlog

from callcenter import metrics
from callcenter.link.protocol import Frame
from callcenter.worker.clock import TickTiming
from callcenter.worker.phase_groups import PhaseClocks, PhaseGroups
from callcenter.worker.probe import Probe
from callcenter.worker.sessions import Post, Session
from engine.interface import (
    FRAME_S,
    Engine,
    EngineError,
    PhasedEngine,
    SessionSpec,
    TickResult,
)

BROKEN_AFTER_FAILURES = 3
PRIME_RESERVE_S = 0.02  # a piece of prompt work takes up to 18 ms: begin none closer to a tick
RECENT_TICKS = 250  # 20 s of one phase group
HEARTBEAT_FRESH_S = 1.0
STOP_S = 5.0

log = structlog.get_logger(__name__)

Order = Callable[[], None]
Answer = TypeVar("Answer")


class EngineBrokeError(EngineError):
    """The engine raised what its contract doesn't name."""


class Ticker:
    """Runs an engine in a thread of its own.

    Args:
        engine: used by no other thread from `start` on.
        post: takes each tick's results; called in the tick thread, must not block.
        probe: what an idle engine is asked now and then, to show that it steps frames in time.

    Attributes:
        broken: the engine failed too often to go on.
    """

    def __init__(
        self, engine: Engine, post: Callable[[Post], None], probe: SessionSpec | None = None
    ) -> None:
        self._engine = engine
        self._post = post
        self._probe = Probe(probe)
        self._sessions = _groups(engine)
        self._becoming_ready: dict[Session, tuple[Future[None], float]] = {}  # since when
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="ticker", daemon=True)
        self._recent_s: deque[float] = deque(maxlen=RECENT_TICKS)
        self._failures_in_a_row = 0
        self._beat_s = -float("inf")
        self.broken = False

    # --- called from the event loop ---------------------------------------------------------------

    def start(self) -> None:
        """Starts ticking."""
        self._thread.start()

    def stop(self) -> None:
        """Stops after the present tick; a thread that hangs in the engine is left to itself."""
        self._stopping.set()
        self._orders.put(lambda: None)  # wakes a thread that waits for orders
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            log.error("tick_thread_hangs", engine=self._engine.kind, waited_s=STOP_S)

    def admit(self, session: Session) -> Future[None]:
        """Orders a slot; the future is done when the session's prompt is in.

        It fails with the engine's EngineError, or with EngineBrokeError.
        """
        ready: Future[None] = Future()
        self._orders.put(lambda: self._admit(session, ready))
        return ready

    def release(self, session: Session) -> None:
        """Orders the session's slot to be freed; harmless if it has none."""
        self._orders.put(lambda: self._release(session))

    def alive(self, now: float) -> bool:
        """Whether a tick ended lately, on the monotonic clock."""
        return now - self._beat_s < HEARTBEAT_FRESH_S and not self.broken

    def unready(self, now: float) -> str:
        """Why the engine can't be relied on, on the monotonic clock, or ""."""
        return self._probe.unready(now)

    def tick_p99_ms(self) -> float:
        """99th percentile of the recent ticks' time."""
        recent = list(self._recent_s)
        return float(np.percentile(recent, 99)) * 1_000 if recent else 0.0

    # --- the tick thread --------------------------------------------------------------------------

    def _loop(self) -> None:
        clocks = PhaseClocks(self._sessions.count, FRAME_S, time.monotonic())
        while not self._stopping.is_set():
            phase, clock = clocks.next_due()
            self._work_until(clock.due_s)
            began_s = time.monotonic()
            inputs = self._sessions[phase].gather(began_s)
            result = self._tick(inputs)
            self._send(self._probe.take_out(self._sessions[phase].scatter(result)))
            timing = clock.finish(began_s, time.monotonic())
            self._measure(phase, timing, stepped=bool(result.outputs))
            self._look_after_probe()

    def _work_until(self, due_s: float) -> None:
        """Follows orders and primes until the tick is due; primes at least once if work waits."""
        self._follow_orders()
        self._prime()
        while (left_s := due_s - time.monotonic()) > 0:
            if self._sessions.waiting() and left_s > PRIME_RESERVE_S:
                self._prime()
                self._follow_orders()
            else:
                self._wait_for_order(left_s)

    def _wait_for_order(self, timeout_s: float) -> None:
        try:
            self._orders.get(timeout=timeout_s)()
        except queue.Empty:
            return  # nothing was ordered: the tick is due

    def _follow_orders(self) -> None:
        while not self._orders.empty():
            self._orders.get()()

    def _look_after_probe(self) -> None:
        now = time.monotonic()
        if self._probe.over():
            self._end_probe()
        elif self._probe.due(now, len(self._sessions)):
            ready: Future[None] = Future()
            self._admit(self._probe.begin(now), ready)
            if ready.done() and (error := ready.exception()):
                self._probe.refused(str(error))

    def _end_probe(self) -> None:
        if self._probe.session is not None:
            self._release(self._probe.session)

    def _admit(self, session: Session, ready: Future[None]) -> None:
        if session is not self._probe.session:
            self._end_probe()  # its slot may be the last one
        if not ready.set_running_or_notify_cancel():
            return  # the gateway left before its turn came
        try:
            slot = self._call("admit", [session], lambda: self._engine.admit(session.spec))
        except EngineError as error:
            ready.set_exception(error)
        else:
            self._sessions.seat(slot, session)
            self._becoming_ready[session] = (ready, time.monotonic())

    def _prime(self) -> None:
        """One piece of prompt work; sessions whose prompt is in become live."""
        waiting = [self._sessions.at(slot) for slot in self._sessions.waiting()]
        if not waiting:
            return
        try:
            slots = self._call("prime", waiting, self._engine.prime)
        except EngineError as error:
            for session in waiting:
                self._becoming_ready.pop(session)[0].set_exception(error)
                self._release(session)
        else:
            for session in self._sessions.start(slots):
                ready, since_s = self._becoming_ready.pop(session)
                ready.set_result(None)
                if session is not self._probe.session:
                    metrics.ENGINE_PROMPT_PREFILL_SECONDS.labels(self._engine.kind).observe(
                        time.monotonic() - since_s
                    )

    def _tick(self, inputs: dict[int, Frame]) -> TickResult:
        if not inputs:
            return TickResult({})
        sessions = [self._sessions.at(slot) for slot in inputs]
        try:
            result = self._call("tick", sessions, lambda: self._engine.tick(inputs))
        except EngineError as error:
            # Which row was at fault can't be known, and rows may have advanced: none is usable.
            self._failures_in_a_row += 1
            self.broken = self._failures_in_a_row >= BROKEN_AFTER_FAILURES
            return TickResult({}, dict.fromkeys(inputs, str(error)))
        self._failures_in_a_row = 0
        return result

    def _send(self, post: Post) -> None:
        """Hands the results over and frees the slots of failed sessions."""
        if post:
            self._post(post)
        for session, delivery in post:
            if delivery.failure:
                self._release(session)

    def _release(self, session: Session) -> None:
        if session is self._probe.session:
            self._probe.end()
        slot = self._sessions.slot_of(session)
        if slot is None:
            return
        self._sessions.free(slot)
        if (waiting := self._becoming_ready.pop(session, None)) is not None:
            waiting[0].set_exception(EngineBrokeError("released before its prompt was in"))
        with contextlib.suppress(EngineError):  # logged; there is no slot to give back
            self._call("release", [session], lambda: self._engine.release(slot))

    def _call(self, name: str, sessions: Iterable[Session], ask: Callable[[], Answer]) -> Answer:
        """Asks the engine; what it raises outside its contract is logged and ends these sessions.

        Raises:
            EngineError: its own refusal, or EngineBrokeError.
        """
        try:
            return ask()
        except EngineError:
            raise
        except Exception:  # this thread owns the engine's life
            names = [session.spec.session_id for session in sessions]
            log.exception("engine_failed", engine=self._engine.kind, call=name, session_ids=names)
            raise EngineBrokeError(f"the engine failed ({name})") from None

    def _measure(self, phase: int, timing: TickTiming, *, stepped: bool) -> None:
        kind = self._engine.kind
        self._beat_s = time.monotonic()
        if stepped and not timing.missed:
            self._probe.stepped(self._beat_s)
        self._recent_s.append(timing.duration_s)
        metrics.ENGINE_FRAME_SECONDS.labels(kind, "total").observe(timing.duration_s)
        metrics.ENGINE_REALTIME_FACTOR.labels(kind).set(
            FRAME_S / self._sessions.count * len(self._recent_s) / max(1e-9, sum(self._recent_s))
        )
        calls = len(self._sessions) - (self._probe.session is not None)
        metrics.WORKER_SLOTS_USED.labels(kind).set(calls)
        if timing.missed:
            metrics.ENGINE_FRAME_DEADLINE_MISSES.labels(kind).inc()
            metrics.ENGINE_TICKS_SKIPPED.labels(kind).inc(timing.skipped)
        metrics.ENGINE_PHASE_SESSIONS.labels(kind, phase).set(len(self._sessions[phase]))
        outcome = "missed" if timing.missed else "in_time"
        metrics.ENGINE_PHASE_TICKS.labels(kind, phase, outcome).inc()


def _groups(engine: Engine) -> PhaseGroups:
    """The engine's phase groups; one where it knows of none."""
    if isinstance(engine, PhasedEngine):
        return PhaseGroups(engine.phases, engine.phase_of)
    return PhaseGroups(1, lambda slot: 0)
