"""Each kernel alone at the model's sizes: time, bytes a second, and the vendor library beside it.

    python tests/bench/gpu_kernels.py [attention] [projections] [depth] [temporal]

Prints one JSON line a measurement. Every measured launch reads other memory than the one before,
more than the second-level cache holds; launches are replayed from a CUDA graph.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
import triton
from torch.nn import functional

from engine.fp8 import Weight, quantise_weight
from engine.kernels import attention as attention_kernel
from engine.kernels.depth import DepthLayer, DepthStep, run_depth
from engine.kernels.kv_write import Rotation
from engine.kernels.linear import (
    Stream,
    Workspace,
    project,
    project_gated,
    project_normed,
    project_onto,
)
from engine.kernels.sampler import Draw, sample
from engine.kernels.temporal import TemporalLayer, Visible, run_temporal
from engine.kernels.tiles import Tile, depth_tiles, temporal_tiles

EPS = 1e-8
BF16 = torch.bfloat16


def report(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def graph_ms(work: Callable[[], object], launches: int = 1, replays: int = 20) -> float:
    """Median milliseconds of one launch of `work`, which makes `launches` of them."""
    work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    for _ in range(3):
        graph.replay()
    times = []
    for _ in range(replays):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop) / launches)
    graph.reset()
    return statistics.median(times)


def randn(*shape: int, scale: float = 1.0) -> torch.Tensor:
    return torch.empty(shape, dtype=BF16, device="cuda").normal_(0, scale)


# ------------------------------------------------------------------------------- attention


def visible(rows: int, pages: int, positions: int = 3000, sink: int = 90) -> Visible:
    ring = 48
    numbers = partial(torch.full, (rows,), dtype=torch.int32, device="cuda")
    live = torch.randperm(pages - 3, device="cuda")[: rows * ring].view(rows, ring).int() + 3
    start = torch.randint(0, 5000, (rows,), device="cuda", dtype=torch.int32)
    angle = torch.rand(rows, 64, device="cuda")
    stop = start + positions - sink
    return Visible(
        sink_table=torch.tensor([[1, 2]] * rows, dtype=torch.int32, device="cuda"),
        sink_length=numbers(sink),
        live_table=live,
        live_start=start,
        live_stop=stop,
        page_of=live[torch.arange(rows), ((stop - 1) // 64 % ring).long()],
        slot_of=(stop - 1) % 64,
        rotation=Rotation(angle.cos(), angle.sin(), angle.cos(), angle.sin()),
    )


def pool_of(layers: int, pages: int, quantised: bool) -> torch.Tensor:
    shape = (layers, pages, 2, 32, 64, 128)
    if not quantised:
        pool = torch.empty(shape, dtype=BF16, device="cuda")
        for layer in pool:
            layer.normal_()
        return pool
    pool = torch.empty(shape, dtype=torch.uint8, device="cuda")
    for layer in pool:
        layer.random_(0, 112)  # no NaN, up to 128
    return pool.view(torch.float8_e4m3fn)


def attend(q, pool, seen, scales, splits, stages, warps):
    rows, heads, dim = q.shape
    part = q.new_empty(rows, heads, splits, dim, dtype=torch.float32)
    weight = q.new_empty(rows, heads, splits, dtype=torch.float32)
    attention_kernel._attend_pages[(heads, splits, rows)](
        q,
        q,
        pool,
        scales,
        seen.sink_table,
        seen.sink_length,
        seen.live_table,
        seen.live_start,
        seen.live_stop,
        part,
        weight,
        2,
        48,
        0.1,
        HEADS=heads,
        SLOTS=64,
        DIM=dim,
        SPLITS=splits,
        QUANTISED=scales is not None,
        STAGES=stages,
        num_warps=warps,
    )


VARIANTS = list(itertools.product((2, 4, 8), (1, 2, 3), (4, 8)))


def bench_attention() -> None:
    for rows, quantised in ((1, False), (8, False), (32, False), (8, True), (32, True), (64, True)):
        pages = rows * 48 + 3
        layers = max(1, min(20, 1500 // (pages // (2 if quantised else 1))))
        pool = pool_of(layers, pages, quantised)
        seen, q = visible(rows, pages), randn(rows, 32, 128)
        scales = torch.rand(layers, 2, 32, device="cuda") if quantised else [None] * layers
        cells = rows * (3000 - 90) + 90
        size = cells * 2 * 32 * 128 * (1 if quantised else 2)

        def whole() -> None:
            for layer in range(layers):
                attention_kernel.decode_attention(
                    q,
                    q,
                    pool[layer],
                    seen.sink_table,
                    seen.sink_length,
                    seen.live_table,
                    seen.live_start,
                    seen.live_stop,
                    scales[layer],
                )

        ms = graph_ms(whole, layers)
        report(
            bench="attention",
            rows=rows,
            kv="fp8" if quantised else "bf16",
            us=round(ms * 1e3, 1),
            tb_s=round(size / ms / 1e9, 3),
            splits=attention_kernel.splits_for(rows, 32),
        )
        wanted = (
            VARIANTS
            if rows in (32, 64)
            else [(16, 3, 4), (8, 3, 4), (16, 2, 4), (8, 2, 4), (16, 2, 8)]
        )
        found = []
        for splits, stages, warps in wanted:

            def one() -> None:
                for layer in range(layers):
                    attend(q, pool[layer], seen, scales[layer], splits, stages, warps)

            try:
                ms = graph_ms(one, layers, 10)
            except triton.runtime.errors.OutOfResources:
                continue
            found.append((round(size / ms / 1e9, 3), splits, stages, warps))
        report(
            bench="attention variants",
            rows=rows,
            kv="fp8" if quantised else "bf16",
            tb_s_splits_stages_warps=sorted(found, reverse=True)[:8],
        )
        del pool


# ------------------------------------------------------------------------------- projections

# name: outputs, depth, form
SHAPES = {
    "packed": (12288, 4096, "normed"),
    "attended": (4096, 4096, "onto"),
    "gate": (11264, 4096, "gated"),
    "down": (4096, 11264, "onto"),
    "text head": (32000, 4096, "normed"),
    "depth in": (8192, 4096, "normed"),
    "d packed": (3072, 1024, "normed"),
    "d attended": (1024, 1024, "onto"),
    "d gate": (2816, 1024, "gated"),
    "d down": (1024, 2816, "onto"),
    "d head": (2048, 1024, "plain"),
}
PARTS = {4096: 128, 1024: 64, 11264: 1, 2816: 1}


def tiles(name: str, rows: int) -> Iterator[Tile]:
    outputs, depth, form = SHAPES[name]
    small = rows <= 16
    if name.startswith("d "):
        yield from (
            Tile(16, 256, 1, 4),
            Tile(16, 128, 1, 6),
            Tile(32, 128, 1, 4),
            Tile(32, 256, 1, 3),
        )
        yield from (
            Tile(16, 256, 1, 4, 2),
            Tile(32, 128, 2, 4),
            Tile(64, 128, 4, 3),
            Tile(64, 64, 2, 5),
        )
    elif outputs == 4096:
        yield from (
            Tile(32, 128, 1, 5),
            Tile(64, 128, 2, 4),
            Tile(64, 128, 4, 3),
            Tile(32, 256, 1, 3),
        )
        yield from (
            Tile(64, 64, 4, 5),
            Tile(128, 64, 4, 4),
            Tile(32, 128, 2, 5),
            Tile(32, 128, 4, 4),
        )
    else:
        yield from (
            Tile(64, 128, 1, 4),
            Tile(64, 64, 1, 6),
            Tile(32, 128, 1, 4),
            Tile(128, 64, 1, 4),
        )
        yield from (
            Tile(64, 128, 1, 3),
            Tile(128, 64, 1, 4, 8),
            Tile(32, 256, 1, 3),
            Tile(64, 256, 1, 3),
        )
    del small


def call(form, x, weight, out, stream, norm, tile, work):
    if form == "plain":
        project(x, weight, out, tile, work)
    elif form == "normed":
        project_normed(stream, weight, out, EPS, tile, work)
    elif form == "gated":
        project_gated(stream, weight, out, EPS, tile, work)
    else:
        project_onto(x, weight, stream, norm, tile, work)


def case(name, rows, tile, quantised, copies):
    """A function that runs the projection once on each of `copies` weights."""
    outputs, depth, form = SHAPES[name]
    tall = outputs * (2 if form == "gated" else 1)
    weights = []
    for _ in range(copies):
        matrix = randn(tall, depth, scale=depth**-0.5)
        weights.append(quantise_weight(matrix) if quantised else Weight(matrix))
    x = randn(rows, depth)
    work = Workspace.allocate(32000, 128, "cuda")
    if form == "onto":
        stream = Stream(
            randn(rows, outputs), randn(rows, outputs), torch.ones(1, rows, device="cuda")
        )
        norm = randn(outputs)
    else:
        stream, norm = Stream(x, x, torch.ones(PARTS[depth], rows, device="cuda")), None
    out = randn(rows, outputs)

    def run() -> None:
        for weight in weights:
            call(form, x, weight, out, stream, norm, tile, work)

    return run, weights, x


def compile_one(job) -> None:
    """Fills the compiler's cache; the outputs of one tile suffice."""
    if job[0] == "attention":
        _, quantised, splits, stages, warps = job
        scales = torch.ones(2, 32, device="cuda") if quantised else None
        attend(
            randn(1, 32, 128),
            pool_of(1, 60, quantised)[0],
            visible(1, 60, 200),
            scales,
            splits,
            stages,
            warps,
        )
        return
    name, rows, tile, quantised = job
    outputs, depth, form = SHAPES[name]
    SHAPES[name] = (tile.outputs * 16, depth, form)
    try:
        case(name, rows, tile, quantised, 1)[0]()
        torch.cuda.synchronize()
    except triton.runtime.errors.OutOfResources:
        pass
    SHAPES[name] = (outputs, depth, form)


def bench_projections() -> None:
    for name, (outputs, depth, form) in SHAPES.items():
        size = outputs * depth * 2 * (2 if form == "gated" else 1)
        for quantised, rows in ((False, 1), (False, 32), (False, 64), (True, 1), (True, 64)):
            if quantised and name.startswith("d "):
                continue
            copies = max(2, min(32, 300_000_000 // size))
            found = []
            run, weights, x = case(name, rows, next(tiles(name, rows)), quantised, copies)
            library = None
            if not quantised:

                def vendor() -> None:
                    for weight in weights:
                        functional.linear(x, weight.matrix)

                library = round(graph_ms(vendor, copies) * 1e3, 2)
            del run, weights
            for tile in tiles(name, rows):
                try:
                    run, weights, x = case(name, rows, tile, quantised, copies)
                    us = graph_ms(run, copies, 10) * 1e3
                except triton.runtime.errors.OutOfResources:
                    continue
                found.append(
                    (round(us, 2), tile.outputs, tile.depth, tile.splits, tile.stages, tile.warps)
                )
            found.sort()
            bytes_read = size // (2 if quantised else 1)
            report(
                bench="projection",
                name=name,
                rows=rows,
                weights="fp8" if quantised else "bf16",
                vendor_us=library,
                us=found[0][0],
                tb_s=round(bytes_read / found[0][0] / 1e6, 2),
                best=found[0][1:],
                others=found[1:4],
                worst=found[-1],
            )


# ------------------------------------------------------------------------------- whole parts


def sampling(rows: int, most: int) -> Draw:
    return Draw(
        torch.full((rows,), 0.8, device="cuda"),
        torch.full((rows,), most, device="cuda"),
        torch.arange(rows, device="cuda"),
        torch.full((rows,), 77, device="cuda", dtype=torch.int32),
        most,
    )


def bench_depth() -> None:
    def layer() -> DepthLayer:
        one = torch.ones(1024, device="cuda", dtype=BF16)
        w = lambda n, k: Weight(randn(n, k, scale=k**-0.5))  # noqa: E731
        return DepthLayer(one, w(3072, 1024), w(1024, 1024), one, w(5632, 1024), w(1024, 2816))

    steps = tuple(
        DepthStep(
            randn(2049, 1024),
            tuple(layer() for _ in range(6)),
            Weight(randn(2048, 1024, scale=0.1)),
        )
        for _ in range(8)
    )
    work = Workspace.allocate(32000, 128, "cuda")
    for rows in (1, 8, 32, 64):
        projected = randn(rows, 8, 1024)
        broken = torch.zeros(rows, dtype=torch.bool, device="cuda")
        stream = Stream(
            randn(rows, 1024), randn(rows, 1024), torch.full((1, rows), 1024.0, device="cuda")
        )
        cut = depth_tiles(rows)
        draw = sampling(rows, 250)
        ms = graph_ms(
            lambda: run_depth(
                steps, projected, stream, draw, broken, heads=16, eps=EPS, tiles=cut, workspace=work
            )
        )
        text, chosen = randn(rows, 32000), torch.zeros(rows, 1, dtype=torch.int64, device="cuda")
        audio, few = randn(rows, 2048), sampling(rows, 25)
        text_us = (
            graph_ms(lambda: [sample(text, few, 0, chosen[:, 0], broken) for _ in range(10)], 10)
            * 1e3
        )
        audio_us = (
            graph_ms(lambda: [sample(audio, draw, 1, chosen[:, 0], broken) for _ in range(10)], 10)
            * 1e3
        )
        report(
            bench="depth",
            rows=rows,
            ms=round(ms, 3),
            text_sampler_us=round(text_us, 1),
            audio_sampler_us=round(audio_us, 1),
        )


def bench_temporal() -> None:
    for quantised_weights in (False, True):
        one = torch.ones(4096, device="cuda", dtype=BF16)

        def w(n: int, k: int) -> Weight:
            matrix = randn(n, k, scale=k**-0.5)
            return quantise_weight(matrix) if quantised_weights else Weight(matrix)

        layers = tuple(
            TemporalLayer(w(12288, 4096), w(4096, 4096), one, w(22528, 4096), w(4096, 11264), one)
            for _ in range(32)
        )
        work = Workspace.allocate(32000, 128, "cuda")
        plans = (
            ((1, False), (8, False), (32, False), (64, True), (72, True))
            if not quantised_weights
            else ((1, False), (64, True))
        )
        for rows, quantised in plans:
            pages = rows * 48 + 3
            pool = pool_of(32, pages, quantised)
            scales = torch.full((32, 2, 32), 0.01, device="cuda") if quantised else None
            seen = visible(rows, pages)
            stream = Stream(
                randn(rows, 4096), randn(rows, 4096), torch.full((4, rows), 1024.0, device="cuda")
            )
            cut = temporal_tiles(rows, quantised_weights)
            ms = graph_ms(
                lambda: run_temporal(
                    layers, stream, pool, seen, scales, heads=32, eps=EPS, tiles=cut, workspace=work
                ),
                replays=10,
            )
            report(
                bench="temporal",
                rows=rows,
                kv="fp8" if quantised else "bf16",
                weights="fp8" if quantised_weights else "bf16",
                ms=round(ms, 3),
                gib=round(torch.cuda.memory_allocated() / 2**30, 1),
            )
            del pool
        del layers


def main() -> None:
    wanted = sys.argv[1:] or ["attention", "projections", "depth", "temporal"]
    if "projections" in wanted:
        jobs = {
            (name, rows, tile, quantised): None
            for name in SHAPES
            for quantised, rows in ((False, 1), (False, 32), (False, 64), (True, 1), (True, 64))
            if not (quantised and name.startswith("d "))
            for tile in tiles(name, rows)
        }
        jobs |= {("attention", q, *v): None for q in (False, True) for v in VARIANTS}
        begin = time.time()
        with multiprocessing.get_context("fork").Pool(15) as pool:
            pool.map(compile_one, list(jobs), chunksize=4)
        report(bench="compile", kernels=len(jobs), s=round(time.time() - begin, 1))
    report(device=torch.cuda.get_device_name(), torch=torch.__version__, triton=triton.__version__)
    for name in wanted:
        begin = time.time()
        globals()[f"bench_{name}"]()
        torch.cuda.empty_cache()
        report(part=name, wall_s=round(time.time() - begin, 1))


if __name__ == "__main__":
    main()
