"""Manners of the cascade engine: turn gap, barge-in, backchannels, noise. One JSON line.

Runs in real time with worker threads, for what is measured depends on how fast this machine
thinks. The callers' sounds stand in `tests/data/cascade_callers`; none of their voices trained
the judge of short bursts. Gaps and stops are taken from the caller's sound: from its true end or
onset to the first or last audible frame of the agent.

    python tests/bench/cascade_manners.py
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.cascade.engine import CascadeEngine, CascadeSettings
from engine.interface import FRAME_S, FRAME_SAMPLES, SAMPLE_RATE_HZ
from personas import library
from tests.bench.cascade_caller import Caller, frames, read_mulaw, session_spec

Samples = NDArray[np.int16]

DATA = Path(__file__).parents[1] / "data" / "cascade_callers"
QUESTION = DATA / "manners" / "question.wav"  # its answer is long enough to speak into
BARGE_AT_S = 1.0  # into the answer
STOPPED_S = 0.4  # of silence that counts as a stop, not as a breath between two lines


class RealTimeCaller(Caller):
    """A caller whose frames leave every 80 ms of the wall clock."""

    due_s = 0.0
    late = 0
    worst_tick_s = 0.0

    def frame(self, speech: Samples | None = None) -> bool:
        """Waits for the frame's time, then sends it."""
        now_s = time.perf_counter()
        self.due_s = max(self.due_s, now_s - 1.0) if self.due_s else now_s
        time.sleep(max(0.0, self.due_s - now_s))
        self.due_s += FRAME_S
        began_s = time.perf_counter()
        sounded = super().frame(speech)
        took_s = time.perf_counter() - began_s
        self.worst_tick_s = max(self.worst_tick_s, took_s)
        self.late += took_s > FRAME_S
        return sounded


def trimmed(samples: Samples) -> Samples:
    """Cuts what is 26 dB below the loudest 20 ms at both ends: speech from onset to end."""
    block = SAMPLE_RATE_HZ // 50
    count = len(samples) // block
    power = (samples[: count * block].astype(np.float64).reshape(count, block) ** 2).mean(1)
    loud = np.flatnonzero(power > power.max() / 400)
    return samples[loud[0] * block : (loud[-1] + 1) * block]


def connect(engine: CascadeEngine, persona: str, name: str) -> RealTimeCaller:
    """Opens a call and listens to its greeting."""
    slot = engine.admit(replace(session_spec(library.load(), persona, name)))
    while slot not in engine.prime():
        time.sleep(0.01)
    caller = RealTimeCaller(engine, slot)
    caller.listen()
    return caller


def turn_gap(caller: RealTimeCaller, recording: Path) -> float:
    """Says one thing; returns seconds from its end to the agent's first audible frame."""
    speech = trimmed(read_mulaw(recording))
    for piece in frames(speech):
        caller.frame(piece)
    spare_s = (-len(speech) % FRAME_SAMPLES) / SAMPLE_RATE_HZ  # line noise after the last word
    waited = 1
    while not caller.frame() and waited < 60:
        waited += 1
    caller.listen(limit_s=30.0)
    return spare_s + (waited - 1) * FRAME_S


def stop_after(caller: RealTimeCaller, sound: Samples, persona_question: Samples) -> float | None:
    """Makes the agent talk, speaks into it; returns seconds from onset to silence, or None."""
    caller.speak(persona_question)
    while not caller.frame():
        pass
    for _ in range(int(BARGE_AT_S / FRAME_S)):
        caller.frame()
    offset = int(caller.noise.integers(0, FRAME_SAMPLES))
    shifted = np.concatenate([np.zeros(offset, np.int16), sound])
    sounded = [caller.frame(piece) for piece in frames(shifted)]
    while len(sounded) < 20:
        sounded.append(caller.frame())
    caller.listen(limit_s=20.0)
    quiet = int(STOPPED_S / FRAME_S)
    for index in range(len(sounded) - quiet + 1):
        if not any(sounded[index : index + quiet]):
            return index * FRAME_S + FRAME_S - offset / SAMPLE_RATE_HZ
    return None


def noise_burst(index: int) -> Samples:
    """A knock, a hiss, a hum, a beep, a rattle or a crackle of 0.1-0.6 s."""
    rng = np.random.default_rng(index)
    length = int(rng.uniform(0.1, 0.6) * SAMPLE_RATE_HZ)
    t = np.arange(length) / SAMPLE_RATE_HZ
    white = rng.standard_normal(length)
    kinds = [
        white * np.exp(-t * 40),
        white,
        np.sin(2 * np.pi * rng.uniform(60, 200) * t) + 0.2 * white,
        np.sin(2 * np.pi * rng.uniform(400, 2_000) * t),
        white * (np.sin(2 * np.pi * 15 * t) > 0.6),
        white * (rng.random(length) > 0.995) * 4,
    ]
    wave = kinds[index % len(kinds)]
    return (wave / np.abs(wave).max() * rng.uniform(3_000, 14_000)).astype(np.int16)


def percentile(values: list[float], share: float) -> float:
    """Rounded to milliseconds."""
    return round(float(np.percentile(values, share)), 3) if values else float("nan")


def main() -> None:
    """Runs all four and prints one JSON line."""
    options = argparse.ArgumentParser()
    options.add_argument("--persona", default="bank")
    options.add_argument("--limit", type=int, default=20)
    options.add_argument("--cache", type=Path)
    chosen = options.parse_args()
    engine = CascadeEngine(
        CascadeSettings(cache_folder=chosen.cache, render_ahead=bool(chosen.cache))
    )
    caller = connect(engine, chosen.persona, "manners")
    question = read_mulaw(QUESTION)
    sounds = DATA / "manners"
    gaps = [
        turn_gap(caller, path)
        for path in sorted((DATA / "heldout").glob(f"{chosen.persona}-*.wav"))[: chosen.limit]
    ]
    stops = [
        stop_after(caller, trimmed(read_mulaw(path)), question)
        for path in sorted(sounds.glob("interruption-*.wav"))[: chosen.limit]
    ]
    nods = [
        stop_after(caller, trimmed(read_mulaw(path)), question)
        for path in sorted(sounds.glob("backchannel-*.wav"))[: chosen.limit]
    ]
    noises = [stop_after(caller, noise_burst(index), question) for index in range(chosen.limit)]
    stopped = [stop for stop in stops if stop is not None]
    print(
        json.dumps(
            {
                "bench": "cascade_manners",
                "turn_gap_s": {
                    "n": len(gaps),
                    "p50": percentile(gaps, 50),
                    "p95": percentile(gaps, 95),
                },
                "barge_in_stop_s": {
                    "n": len(stops),
                    "stopped": len(stopped),
                    "p50": percentile(stopped, 50),
                    "p95": percentile(stopped, 95),
                },
                "stops_on_backchannels": f"{sum(s is not None for s in nods)}/{len(nods)}",
                "stops_on_noise": f"{sum(s is not None for s in noises)}/{len(noises)}",
                "ticks": caller.ticks,
                "late_ticks": caller.late,
                "worst_tick_ms": round(caller.worst_tick_s * 1e3, 1),
            }
        )
    )
    engine.close()


if __name__ == "__main__":
    main()
