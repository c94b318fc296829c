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
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.cascade.engine import CascadeEngine, CascadeSettings
from engine.interface import FRAME_S, FRAME_SAMPLES, SAMPLE_RATE_HZ
from personas import library
from tests.bench.cascade_caller import AUDIBLE, Caller, frames, read_mulaw, session_spec

Samples = NDArray[np.int16]

PERSONAS = library.load()
DATA = Path(__file__).parents[1] / "data" / "cascade_callers"
QUESTION = DATA / "manners" / "question.wav"  # its answer is long enough to speak into
BARGE_AT_S = 1.0  # into the answer
NOISY_FLOOR_DB = 14.0  # for recordings with noise at -15 dB
QUIET_FLOOR_DB = 20.0  # for recordings with noise at -25 dB
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


def trimmed(samples: Samples, floor_db: float, rate_hz: int = SAMPLE_RATE_HZ) -> Samples:
    """Cuts both ends to where a 20 ms block last is within `floor_db` of the loudest.

    The floor must lie above the recording's noise, or noise would count as speech.
    """
    block = rate_hz // 50
    count = len(samples) // block
    power = (samples[: count * block].astype(np.float64).reshape(count, block) ** 2).mean(1)
    loud = np.flatnonzero(power > power.max() / 10 ** (floor_db / 10))
    return samples[loud[0] * block : (loud[-1] + 1) * block]


def connect(engine: CascadeEngine, persona: str, name: str) -> RealTimeCaller:
    """Opens a call in which the caller speaks first."""
    slot = engine.admit(replace(session_spec(PERSONAS, persona, name), greeting=""))
    while slot not in engine.prime():
        time.sleep(0.01)
    return RealTimeCaller(engine, slot)


def turn_gap(caller: RealTimeCaller, recording: Path) -> float:
    """Says one thing; returns seconds from its end to the agent's first audible frame."""
    speech = trimmed(read_mulaw(recording), NOISY_FLOOR_DB)
    for piece in frames(speech):
        caller.frame(piece)
    spare_s = (-len(speech) % FRAME_SAMPLES) / SAMPLE_RATE_HZ  # line noise after the last word
    waited = 1
    while not caller.frame() and waited < 60:
        waited += 1
    caller.listen(limit_s=30.0)
    return spare_s + (waited - 1) * FRAME_S


def stop_after(
    engine: CascadeEngine, persona: str, sound: Samples, calls: list[RealTimeCaller]
) -> float | None:
    """Makes the agent talk, speaks into it; returns seconds from onset to silence, or None."""
    caller = connect(engine, persona, f"call-{len(calls)}")
    calls.append(caller)
    caller.speak(read_mulaw(QUESTION))
    while not caller.frame():
        if caller.now_s > 10:
            raise RuntimeError("no answer to the question")
    for _ in range(int(BARGE_AT_S / FRAME_S)):
        caller.frame()
    offset = int(caller.noise.integers(0, FRAME_SAMPLES))
    shifted = np.concatenate([np.zeros(offset, np.int16), sound])
    first = len(caller.heard)
    sounded = [caller.frame(piece) for piece in frames(shifted)]
    while len(sounded) < 20:
        sounded.append(caller.frame())
    engine.release(caller.slot)
    quiet = int(STOPPED_S / FRAME_S)
    for index in range(1, len(sounded) - quiet + 1):
        if not any(sounded[index : index + quiet]):
            return _end_of_sound(caller.heard[first + index - 1], index) - offset / SAMPLE_RATE_HZ
    return None


def _end_of_sound(last: Samples, index: int) -> float:
    """When the caller hears the last sample, in seconds since the first frame was sent.

    What tick k returns is heard from (k + 1) frames on, for the frame of tick k had to be spoken.
    """
    return index * FRAME_S + (np.flatnonzero(np.abs(last) > AUDIBLE)[-1] + 1) / SAMPLE_RATE_HZ


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
    sounds = DATA / "manners"
    calls = [connect(engine, chosen.persona, "gaps")]
    gaps = [
        turn_gap(calls[0], path)
        for path in sorted((DATA / "heldout").glob(f"{chosen.persona}-*.wav"))[: chosen.limit]
    ]

    def stops_on(stimuli: Iterable[Samples]) -> list[float | None]:
        return [stop_after(engine, chosen.persona, sound, calls) for sound in stimuli]

    def recorded(kind: str) -> Iterator[Samples]:
        for path in sorted(sounds.glob(f"{kind}-*.wav"))[: chosen.limit]:
            yield trimmed(read_mulaw(path), QUIET_FLOOR_DB)

    stops = stops_on(recorded("interruption"))
    nods = stops_on(recorded("backchannel"))
    noises = stops_on(noise_burst(index) for index in range(chosen.limit))
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
                "load": round(os.getloadavg()[0], 1),
                "ticks": sum(call.ticks for call in calls),
                "late_ticks": sum(call.late for call in calls),
                "worst_tick_ms": round(max(call.worst_tick_s for call in calls) * 1e3, 1),
            }
        )
    )
    engine.close()


if __name__ == "__main__":
    main()
