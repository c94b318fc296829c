"""Manners of the cascade engine: turn gap, barge-in, backchannels, noise. One JSON line.

Runs in real time with worker threads, for what is measured depends on how fast this machine
thinks. The callers' sounds stand in `tests/data/cascade_callers`; none of their voices trained
the judge of short bursts. Gaps and stops are taken from the caller's sound: from its true end or
onset to the first or last audible frame of the agent.

    python -m tests.bench.cascade_manners [--part interruptions] [--cache FOLDER]
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
from tests.bench.cascade_caller import AUDIBLE, Caller, frames, kept_lines, session_spec
from tests.recordings import read_mulaw

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


class Bench:
    """One engine, and everything that callers do to it."""

    def __init__(self, engine: CascadeEngine, persona: str, limit: int, recordings: Path) -> None:
        self._engine, self._persona, self._limit = engine, persona, limit
        self._recordings = recordings
        self.calls: list[RealTimeCaller] = []

    def gaps(self) -> dict[str, object]:
        """Questions, and how long until the answer."""
        caller = connect(self._engine, self._persona, "gaps")
        self.calls.append(caller)
        paths = sorted((DATA / "heldout").glob(f"{self._persona}-*.wav"))[: self._limit]
        return {"turn_gap_s": spread([turn_gap(caller, path) for path in paths])}

    def interruptions(self) -> dict[str, object]:
        """Words that want the floor."""
        stops = self._stops(self._recorded("interruption"))
        stopped = [stop for stop in stops if stop is not None]
        return {"barge_in_stop_s": {"asked": len(stops), **spread(stopped)}}

    def backchannels(self) -> dict[str, object]:
        """Words that don't."""
        return {"stops_on_backchannels": self._false(self._recorded("backchannel"))}

    def noises(self) -> dict[str, object]:
        """No words."""
        return {"stops_on_noise": self._false(map(noise_burst, range(self._limit)))}

    def _recorded(self, kind: str) -> Iterator[Samples]:
        for path in sorted(self._recordings.glob(f"{kind}-*.wav"))[: self._limit]:
            yield trimmed(read_mulaw(path), QUIET_FLOOR_DB)

    def _stops(self, sounds: Iterable[Samples]) -> list[float | None]:
        return [stop_after(self._engine, self._persona, sound, self.calls) for sound in sounds]

    def _false(self, sounds: Iterable[Samples]) -> dict[str, int]:
        """Stops, and hesitations: silences that are too short to be one."""
        before = len(self.calls)
        stops = self._stops(sounds)
        hushed = sum("yield" in call.actions for call in self.calls[before:])
        stopped = sum(stop is not None for stop in stops)
        return {"of": len(stops), "stopped": stopped, "hesitated": hushed - stopped}


def spread(values: list[float]) -> dict[str, float]:
    """How many, median, 95th percentile and largest."""
    shares = {"p50": 50, "p95": 95, "max": 100}
    return {"n": len(values), **{name: percentile(values, at) for name, at in shares.items()}}


PARTS = {
    "gaps": Bench.gaps,
    "interruptions": Bench.interruptions,
    "backchannels": Bench.backchannels,
    "noises": Bench.noises,
}


def main() -> None:
    """Runs the parts and prints one JSON line."""
    options = argparse.ArgumentParser()
    options.add_argument("--part", choices=PARTS, action="append", help="default: all, 8 minutes")
    options.add_argument("--persona", default="bank")
    options.add_argument("--limit", type=int, default=20)
    options.add_argument("--set", choices=("manners", "unseen"), default="manners")
    options.add_argument("--cache", type=Path)
    chosen = options.parse_args()
    lines = kept_lines(PERSONAS, chosen.persona)
    engine = CascadeEngine(CascadeSettings(cache_folder=chosen.cache, fixed_lines=lines))
    bench = Bench(engine, chosen.persona, chosen.limit, DATA / chosen.set)
    found: dict[str, object] = {"bench": "cascade_manners", "set": chosen.set}
    found["cores"] = os.cpu_count()
    found["load_before"] = round(os.getloadavg()[0], 1)
    for part in chosen.part or PARTS:
        found |= PARTS[part](bench)
    found["ticks"] = sum(call.ticks for call in bench.calls)
    found["late_ticks"] = sum(call.late for call in bench.calls)
    found["worst_tick_ms"] = round(max(call.worst_tick_s for call in bench.calls) * 1e3, 1)
    print(json.dumps(found))
    engine.close()


if __name__ == "__main__":
    main()
