"""The whole engine at the published sizes with random weights: tick times, joins, agreement.

    python tests/bench/gpu_engine.py curve KV WEIGHTS SLOTS [CALLS ...] [join=OTHERS]
    python tests/bench/gpu_engine.py join SLOTS
    python tests/bench/gpu_engine.py agreement
    python tests/bench/gpu_engine.py move

KV, WEIGHTS: bf16, fp8 or int8. join=OTHERS measures joins as well, in the engine that stands
already.

Prints one JSON line a measurement. A tick's time is the host's: from the frames in its hands to
the frames in its hands.
"""

from __future__ import annotations

import copy
import itertools
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from engine.agreement import Lead, Logits, columns, compare, forced_logits, lead_of_columns
from engine.calibration import kv_scales
from engine.config import EngineLimits, Execution, Format
from engine.device import Device
from engine.engine import PersonaPlexEngine
from engine.handoff import SessionState
from engine.phases import span
from engine.weights import Models
from tests.bench.true_size import (
    DEVICE,
    ROLE,
    TRIAL,
    build_models,
    frames,
    machine,
    memory,
    spec,
    synchronise,
    voice,
)

TICKS = 5 if TRIAL else 150
UNCACHED = "please verify this " * 15  # with the voice about 300 positions
SOUND = frames(97)
BUDGET_MS = 80.0


def report(**fields: object) -> None:
    """One line."""
    print(json.dumps(fields), flush=True)


def build(
    kv: Format, weights: Format, slots: int, models: Models | None = None, **more: Any
) -> PersonaPlexEngine:
    """An engine and what it cost to make; `more` are limits."""
    begin = time.perf_counter()
    models = models or build_models()
    built = time.perf_counter()
    execution = Execution(kv=kv, weights=weights, reserve_gib=2.0)
    limits = EngineLimits(slots=slots, prompt_positions=400, cached_prompts=2, **more)
    engine = PersonaPlexEngine(models, limits, {"noise": voice()}, execution=execution)
    report(
        bench="start", **machine(), kv=kv, weights=weights, slots=slots, phases=limits.phases,
        weights_s=round(built - begin, 1), engine_s=round(time.perf_counter() - built, 1),
        memory=str(engine.memory), fallbacks=engine.fallbacks, **memory(),
    )  # fmt: skip
    return engine


def join(engine: PersonaPlexEngine, calls: int, role: str = ROLE) -> None:
    """Fills slots 0 .. calls - 1."""
    for seed in range(calls):
        slot = engine.admit(spec(seed, role))
        while slot not in engine.prime():
            pass


def fill_windows(engine: PersonaPlexEngine, slots: Sequence[int]) -> None:
    """Makes every call as old as its window: pages as after that many ticks, full of noise."""
    cache, index = engine.rows.cache, torch.tensor(list(slots), device=DEVICE)
    missing = engine._models.lm.config.window_positions - int(cache.position[slots[0]])
    for _ in range(missing):
        engine.scheduler.plan(slots)
    cache.position[index] += missing
    engine.seating.publish(slots)
    for layer in engine._step.pool:
        if layer.dtype == torch.int8:
            layer.random_(-127, 128)
        elif layer.element_size() == 1:
            layer.view(torch.uint8).random_(0, 0x60)  # no NaN
        else:
            layer.normal_()
    if engine._step.pool.dtype == torch.int8:
        engine._step.scales.fill_(0.01)


def tick_times(engine: PersonaPlexEngine, slots: Sequence[int], ticks: int) -> list[float]:
    """Milliseconds of each tick, one right after the other."""
    times = []
    for index in range(ticks + 5):
        inputs = {slot: SOUND[(index + 7 * slot) % len(SOUND)] for slot in slots}
        begin = time.perf_counter()
        result = engine.tick(inputs)
        times.append((time.perf_counter() - begin) * 1e3)
        if result.failed:
            raise RuntimeError(f"sessions failed: {result.failed}")
    return times[5:]


def summary(times: Sequence[float]) -> dict[str, float]:
    """Percentiles of tick times, and how many missed their 80 ms."""
    p50, p99 = np.percentile(times, [50, 99])
    return {
        "p50_ms": round(float(p50), 2), "p99_ms": round(float(p99), 2),
        "max_ms": round(max(times), 2), "missed": sum(ms > BUDGET_MS for ms in times),
    }  # fmt: skip


def bench_curve(kv: str, weights: str, slots: str, *more: str) -> None:
    """Tick time against calls, every window full."""
    engine = build(kv, weights, int(slots))
    calls = {int(count) for count in more if not count.startswith("join=")}
    others = {int(count.removeprefix("join=")) for count in more if count.startswith("join=")}
    live = int(slots)
    join(engine, live)
    fill_windows(engine, range(live))
    for count in sorted({live} | calls | others, reverse=True):
        while live > count:
            live -= 1
            engine.release(live)
        if count in calls or count == int(slots):
            report_point(engine, count, kv, weights)
        if count in others:
            measure_joins(engine, range(count))


def report_point(engine: PersonaPlexEngine, count: int, kv: str, weights: str) -> None:
    """One point of the curve."""
    report(
        bench="curve", **machine(), calls=count, kv=kv, weights=weights,
        window=engine._models.lm.config.window_positions,
        **summary(tick_times(engine, range(count), TICKS)),
        device_ms=device_ms(engine, count), shortened=engine.stats().pages_shortened,
    )  # fmt: skip


def device_ms(engine: PersonaPlexEngine, count: int) -> float | None:
    """Median time on the device alone, with the rows as they are (positions do not matter)."""
    if TRIAL:
        return None
    rows = engine.seating.view(span(engine.limits, count - 1))
    times = []
    for _ in range(10):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        engine._run(rows)
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop))
    engine.rows.cache.position[:count] -= 10
    return round(float(np.median(times)), 2)


def bench_join(slots: str) -> None:
    """Calls that join while all other slots talk with full windows."""
    engine = build("fp8", "bf16", int(slots))
    others = range(int(slots) - 1)
    join(engine, len(others))
    fill_windows(engine, others)
    measure_joins(engine, others)


def measure_joins(engine: PersonaPlexEngine, others: Sequence[int]) -> None:
    """A known prompt twice, then one that nobody has used, piece by piece between ticks."""
    tick_times(engine, others, min(10, TICKS))
    for name, role in (("cached", ROLE), ("cached", ROLE), ("uncached", UNCACHED)):
        begin = time.perf_counter()
        slot, ready, late, ticks, pieces = engine.admit(spec(999, role)), False, 0, [], []
        due = begin
        while not ready:
            if time.perf_counter() >= due:
                ticks += tick_once(engine, others)
                late += ticks[-1] > BUDGET_MS
                due += 0.08
            piece = time.perf_counter()
            ready = slot in engine.prime()
            pieces.append((time.perf_counter() - piece) * 1e3)
        ready_ms = (time.perf_counter() - begin) * 1e3
        first = tick_once(engine, [*others, slot])
        report(
            bench="join",
            **machine(),
            prompt=name,
            positions=int(engine.rows.cache.sink_length[slot]),
            others=len(others),
            ready_ms=round(ready_ms, 1),
            pieces_ms=[round(ms, 1) for ms in pieces],
            ticks_ms=[round(ms, 1) for ms in ticks],
            late_ticks=late,
            first_frame_tick_ms=round(first[0], 1),
        )
        engine.release(slot)


def tick_once(engine: PersonaPlexEngine, slots: Sequence[int]) -> list[float]:
    """One tick's milliseconds."""
    inputs = {slot: SOUND[slot % len(SOUND)] for slot in slots}
    begin = time.perf_counter()
    engine.tick(inputs)
    return [(time.perf_counter() - begin) * 1e3]


def bench_agreement() -> None:
    """8-bit keys and values, and weights, against bf16 and against float32; on a GPU alone."""
    from engine.kernels.model import FusedModel

    lm = build_models().lm
    card = Device.of(torch.cuda.get_device_properties(0))
    exact = copy.deepcopy(lm).float()
    exact.prepare()
    found: dict[tuple[str, int], Logits] = {}
    depths = (500, 1500, 3000)
    leads = {n: lead_of_columns(lm, columns(lm.config, n + 1), 100) for n in depths}
    for positions, lead in leads.items():
        own = Lead(lead.inputs.float(), lead.following)
        found["float32", positions] = forced_logits(exact, exact.hidden, own)
    del exact
    torch.cuda.empty_cache()
    scales = kv_scales(lm, FusedModel(lm, 128, card).hidden, 64, [leads[500].inputs])
    for weights, kinds in (
        ("bf16", ("bf16", "fp8", "int8")),
        ("fp8", ("fp8",)),
        ("int8", ("int8",)),
    ):
        fused = FusedModel(copy.deepcopy(lm), 128, card, weights)
        for kv, (positions, lead) in itertools.product(kinds, leads.items()):
            name = f"{kv} KV, {weights} weights"
            found[name, positions] = forced_logits(lm, fused.hidden, lead, scales, kv)
        del fused
        torch.cuda.empty_cache()
    names = list(dict.fromkeys(name for name, _ in found))
    plain = names[1]
    for one, other in ((names[0], plain), *((plain, name) for name in names[2:])):
        for positions in depths:
            result = compare(found[one, positions], found[other, positions])
            report(
                bench="agreement", reference=one, other=other, positions=positions, compared=100,
                text_top1=round(result.text_top1, 3),
                audio_top1=[round(top, 3) for top in result.audio_top1],
                text_kl=round(result.text_kl, 5), audio_kl=round(result.audio_kl, 5),
            )  # fmt: skip


def bench_move() -> None:
    """Time to export a call with a full window and to take it over in another engine."""
    models = build_models()
    # One batch size, whoever is live: between sizes the kernels round differently.
    here, there = (build("bf16", "bf16", 2, models, buckets=(2,)) for _ in range(2))
    join(here, 1)
    join(there, 1, UNCACHED)  # not the moving call's prompt, which comes along full of noise
    fill_windows(here, range(1))
    begin = time.perf_counter()
    state = here.export_session(0)
    exported = time.perf_counter()
    data = state.to_bytes()
    packed = time.perf_counter()
    state = SessionState.from_bytes(data)
    unpacked = time.perf_counter()
    slot = there.import_session(state)
    synchronise()
    imported = time.perf_counter()
    report(
        bench="move", **machine(), engines=2, gb=round(len(data) / 1e9, 2),
        export_ms=round((exported - begin) * 1e3), pack_ms=round((packed - exported) * 1e3),
        unpack_ms=round((unpacked - packed) * 1e3), import_ms=round((imported - unpacked) * 1e3),
        same_sound_for_20_ticks=_say_the_same(here, there, slot, 20),
    )  # fmt: skip


def _say_the_same(here: PersonaPlexEngine, there: PersonaPlexEngine, slot: int, ticks: int) -> bool:
    """Whether slot 0 here and `slot` there go on alike, beside another call there."""
    same = True
    for index in range(ticks):
        ours = here.tick({0: SOUND[index]}).outputs[0]
        beside = SOUND[index + ticks]
        theirs = there.tick({slot: SOUND[index], 0: beside}).outputs[slot]
        same &= bool(np.array_equal(ours.pcm, theirs.pcm)) and ours.text == theirs.text
    return same


if __name__ == "__main__":
    globals()[f"bench_{sys.argv[1]}"](*sys.argv[2:])
