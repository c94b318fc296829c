"""The worker's ticker over the whole engine in real time: full windows, joins and leaves.

    python tests/bench/gpu_soak.py SECONDS SLOTS [KV] [WEIGHTS] [--phases 2] [--ends-s S]

All slots but one hold calls whose windows are full; in the last one a call leaves and another
joins every second, each tenth of them with a prompt that nobody has used. Frames come from a thread
of their own, every caller's at his own moment of the 80 ms. With --phases 2 the two halves of the
slots tick 40 ms apart; --ends-s cuts the soak short so that the whole program takes no longer.
Prints one JSON line a minute and one at the end. How long a frame waits for its tick is, here, a
matter of chance; a gateway moves each call's frames to just before its tick.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future

import numpy as np

from callcenter.worker.clock import TickTiming
from callcenter.worker.sessions import Post, Session
from callcenter.worker.ticker import Ticker
from engine.engine import PersonaPlexEngine
from engine.interface import FRAME_S, Frame, TickResult
from tests.bench.gpu_engine import SOUND, build, fill_windows, report, summary
from tests.bench.true_size import LM, ROLE, machine, memory, spec

PROGRAM_BEGAN_S = time.monotonic()
MOMENTS = 8  # of the 80 ms, at which callers speak
EVERY_TENTH = 10


class RecordingTicker(Ticker):
    """Keeps every tick's timing, with its phase group, and when the present one began."""

    def __init__(self, engine: PersonaPlexEngine, callers: Callers) -> None:
        super().__init__(engine, callers.take)
        self._callers = callers
        self.timings: list[tuple[int, TickTiming]] = []

    def _tick(self, inputs: dict[int, Frame]) -> TickResult:
        self._callers.tick_began_s = time.monotonic()
        return super()._tick(inputs)

    def _measure(self, phase: int, timing: TickTiming, *, stepped: bool) -> None:
        super()._measure(phase, timing, stepped=stepped)
        self.timings.append((phase, timing))


class Callers:
    """The calls' frames in and out."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.tick_began_s = 0.0
        self.waited_ms: list[float] = []
        self.answered_ms: list[float] = []
        self.frames_out = 0
        self.failures: list[str] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)

    def start(self) -> None:
        """Every caller says a frame every 80 ms."""
        self._thread.start()

    def stop(self) -> None:
        """No more frames."""
        self._stopping.set()
        self._thread.join()

    def begin_counting(self) -> None:
        """Forgets what was counted while everybody settled."""
        self.waited_ms, self.answered_ms, self.frames_out = [], [], 0

    def take(self, post: Post) -> None:
        """Counts what the engine says; called in the tick thread."""
        step_s = time.monotonic() - self.tick_began_s
        for _, delivery in post:
            self.frames_out += delivery.output is not None
            if delivery.failure:
                self.failures.append(delivery.failure)
            if delivery.waited_s is not None:
                self.waited_ms.append(delivery.waited_s * 1e3)
                self.answered_ms.append((delivery.waited_s + step_s) * 1e3)

    def _speak(self) -> None:
        begin, moment = time.monotonic(), 0
        while not self._stopping.wait(
            max(0.0, begin + moment * FRAME_S / MOMENTS - time.monotonic())
        ):
            index, turn = divmod(moment, MOMENTS)
            for number, session in enumerate(list(self.sessions)):
                if number % MOMENTS == turn:
                    frame = SOUND[(index + 7 * number) % len(SOUND)]
                    session.inbox.push(frame, time.monotonic())
            moment += 1


def admitted(ticker: Ticker, seed: int, role: str = ROLE) -> tuple[Session, Future[None]]:
    """A new session and its readiness."""
    session = Session(spec(seed, role), lambda delivery: None)
    return session, ticker.admit(session)


class Soak:
    """One soak: a full house, and a guest who changes every second.

    Args:
        engine: fresh.
        slots: its slots.
    """

    def __init__(self, engine: PersonaPlexEngine, slots: int) -> None:
        self.engine = engine
        self.callers = Callers()
        self.ticker = RecordingTicker(engine, self.callers)
        self.ready_ms: dict[str, list[float]] = {"cached": [], "uncached": []}
        self._residents = slots - 1
        self._guest: Session | None = None

    def settle(self) -> None:
        """The residents join, their windows fill, and everybody begins to talk."""
        self.ticker.start()
        for seed in range(self._residents):
            session, ready = admitted(self.ticker, seed)
            ready.result(timeout=60)
            self.callers.sessions.append(session)
        aged: Future[None] = Future()
        self.ticker._orders.put(
            lambda: aged.set_result(fill_windows(self.engine, range(self._residents)))
        )
        aged.result(timeout=120)
        self.callers.start()
        time.sleep(2)
        self.callers.begin_counting()

    def change_guest(self, second: int) -> None:
        """The guest leaves and another comes."""
        if self._guest is not None:
            self.callers.sessions.remove(self._guest)
            self.ticker.release(self._guest)
        fresh = second % EVERY_TENTH == EVERY_TENTH - 1
        role = f"Today is call {second}. " + "please verify this " * 14 if fresh else ROLE
        ordered = time.monotonic()
        self._guest, ready = admitted(self.ticker, 1000 + second, role)
        ready.result(timeout=10)
        self.ready_ms["uncached" if fresh else "cached"].append((time.monotonic() - ordered) * 1e3)
        self.callers.sessions.append(self._guest)

    def stop(self) -> None:
        """Ends everything."""
        self.callers.stop()
        self.ticker.stop()

    def recent(self, first: int) -> list[float]:
        """Milliseconds of the ticks from `first` on."""
        return [timing.duration_s * 1e3 for _, timing in self.ticker.timings[first:]]

    def findings(self, first: int) -> Mapping[str, object]:
        """What was seen from tick `first` on."""
        timings, callers = self.ticker.timings[first:], self.callers
        waiting = {"waited": callers.waited_ms, "answered": callers.answered_ms}
        residents = callers.sessions[: self._residents]
        joined = {name: ms for name, ms in self.ready_ms.items() if ms}
        return {
            "ticks": len(timings), **summary(self.recent(first)),
            "ended_after_next_was_due": [
                sum(timing.missed for phase, timing in timings if phase == which)
                for which in range(self.engine.phases)
            ],
            "ticks_skipped": sum(timing.skipped for _, timing in timings),
            "frames_out": callers.frames_out, "failures": callers.failures[:3],
            "concealed": sum(session.inbox.concealed for session in residents),
            **{f"{name}_p50_ms": round(float(np.median(ms)), 1) for name, ms in waiting.items()},
            "joins": {name: len(ms) for name, ms in self.ready_ms.items()},
            "ready_p50_ms": {n: round(float(np.median(ms)), 1) for n, ms in joined.items()},
            "ready_max_ms": {n: round(max(ms), 1) for n, ms in joined.items()},
            "shortened": self.engine.stats().pages_shortened,
        }  # fmt: skip


def soak(wanted: argparse.Namespace) -> None:
    """Runs it."""
    engine = build(wanted.kv, wanted.weights, wanted.slots, phases=wanted.phases)
    subject = Soak(engine, wanted.slots)
    subject.settle()
    first, minute, before, begin = len(subject.ticker.timings), 0, memory(), time.monotonic()
    ends = min(begin + wanted.seconds, PROGRAM_BEGAN_S + wanted.ends_s)
    second = 0
    while time.monotonic() < ends:
        subject.change_guest(second)
        second += 1
        if second % 60 == 0:
            minute, since = minute + 1, -round(60 * wanted.phases / FRAME_S)
            report(
                bench="soak minute",
                calls=wanted.slots,
                minute=minute,
                **summary(subject.recent(since)),
                **memory(),
            )
        time.sleep(max(0.0, begin + second - time.monotonic()))
    found = subject.findings(first)
    subject.stop()
    report(
        bench="soak", **machine(), kv=wanted.kv, weights=wanted.weights, phases=wanted.phases,
        window=LM.window_positions, calls=wanted.slots, seconds=second, **found,
        before=before, after=memory(),
    )  # fmt: skip


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("seconds", type=int)
    parser.add_argument("slots", type=int)
    parser.add_argument("kv", nargs="?", default="fp8")
    parser.add_argument("weights", nargs="?", default="bf16")
    parser.add_argument("--phases", type=int, default=1)
    parser.add_argument("--ends-s", type=float, default=float("inf"))
    return parser.parse_args()


if __name__ == "__main__":
    soak(arguments())
