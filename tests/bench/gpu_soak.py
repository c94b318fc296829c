"""The worker's ticker over the whole engine in real time: full windows, joins and leaves.

    python tests/bench/gpu_soak.py SECONDS SLOTS [KV] [WEIGHTS]

All slots but one hold calls whose windows are full; in the last one a call leaves and another
joins every second, each tenth of them with a prompt that nobody has used. Frames come every
80 ms from a thread of their own. Prints one JSON line a minute and one at the end.
"""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import Future
from typing import Any

import numpy as np
import torch

from callcenter.worker.clock import TickTiming
from callcenter.worker.sessions import Post, Session
from callcenter.worker.ticker import Ticker
from engine.engine import PersonaPlexEngine
from engine.interface import FRAME_S
from tests.bench.gpu_engine import SOUND, build, fill_windows, report, summary
from tests.bench.true_size import ROLE, spec


class RecordingTicker(Ticker):
    """Keeps every tick's timing."""

    def __init__(self, engine: PersonaPlexEngine, post: Any) -> None:
        super().__init__(engine, post)
        self.timings: list[TickTiming] = []

    def _measure(self, timing: TickTiming) -> None:
        super()._measure(timing)
        self.timings.append(timing)


class Callers:
    """The calls' frames in and out."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
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

    def take(self, post: Post) -> None:
        """Counts what the engine says; called in the tick thread."""
        self.frames_out += sum(delivery.output is not None for _, delivery in post)
        self.failures += [delivery.failure for _, delivery in post if delivery.failure]

    def _speak(self) -> None:
        due, index = time.monotonic(), 0
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            for number, session in enumerate(list(self.sessions)):
                session.inbox.push(SOUND[(index + 7 * number) % len(SOUND)])
            due, index = due + FRAME_S, index + 1


def admitted(ticker: Ticker, seed: int, role: str = ROLE) -> tuple[Session, Future[None]]:
    """A new session and its readiness."""
    session = Session(spec(seed, role), lambda delivery: None)
    return session, ticker.admit(session)


def memory() -> dict[str, float]:
    """What the device and PyTorch hold."""
    free, total = torch.cuda.mem_get_info()
    return {
        "device_gib": round((total - free) / 2**30, 3),
        "allocated_gib": round(torch.cuda.memory_allocated() / 2**30, 3),
    }


def main(seconds: int, slots: int, kv: str = "fp8", weights: str = "bf16") -> None:
    """Runs the soak."""
    engine, callers = build(kv, weights, slots), Callers()
    ticker = RecordingTicker(engine, callers.take)
    ticker.start()
    for seed in range(slots - 1):
        session, ready = admitted(ticker, seed)
        ready.result(timeout=60)
        callers.sessions.append(session)
    aged: Future[None] = Future()
    ticker._orders.put(lambda: aged.set_result(fill_windows(engine, range(slots - 1))))
    aged.result(timeout=120)
    callers.start()
    time.sleep(2)
    first, said, begin = len(ticker.timings), callers.frames_out, memory()
    ready_ms: dict[str, list[float]] = {"cached": [], "uncached": []}
    guest: Session | None = None
    for second in range(seconds):
        due = time.monotonic() + 1
        if guest is not None:
            callers.sessions.remove(guest)
            ticker.release(guest)
        fresh = second % 10 == 9
        role = f"Today is call {second}. " + "please verify this " * 14 if fresh else ROLE
        ordered = time.monotonic()
        guest, ready = admitted(ticker, 1000 + second, role)
        ready.result(timeout=10)
        ready_ms["uncached" if fresh else "cached"].append((time.monotonic() - ordered) * 1e3)
        callers.sessions.append(guest)
        if second % 60 == 59:
            recent = [timing.duration_s * 1e3 for timing in ticker.timings[-750:]]
            report(bench="soak minute", minute=(second + 1) // 60, **summary(recent), **memory())
        time.sleep(max(0.0, due - time.monotonic()))
    timings = ticker.timings[first:]
    inboxes = [session.inbox for session in callers.sessions[:-1]]
    report(
        bench="soak", device=torch.cuda.get_device_name(), torch=torch.__version__, kv=kv,
        weights=weights, window=3000, calls=slots, seconds=seconds, ticks=len(timings),
        **summary([timing.duration_s * 1e3 for timing in timings]),
        ended_after_next_was_due=sum(timing.missed for timing in timings),
        ticks_skipped=sum(timing.skipped for timing in timings),
        frames_out=callers.frames_out - said, failures=callers.failures[:3],
        concealed=sum(inbox.concealed for inbox in inboxes),
        joins={name: len(values) for name, values in ready_ms.items()},
        ready_p50_ms={n: round(float(np.median(v)), 1) for n, v in ready_ms.items() if v},
        ready_max_ms={n: round(max(v), 1) for n, v in ready_ms.items() if v},
        before=begin, after=memory(), shortened=engine.stats().pages_shortened,
    )  # fmt: skip
    callers.stop()
    ticker.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
