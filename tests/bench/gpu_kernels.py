"""Each kernel alone at the model's sizes: time, bytes a second, and the vendor library beside it.

    python tests/bench/gpu_kernels.py [attention] [projections] [depth]

Prints one JSON line a measurement. Launches are replayed from a CUDA graph, each on other memory
than the one before, more than the second-level cache holds.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from engine.device import Device
from engine.formats import FP8, Weight, quantise_weight
from engine.kernels.attention import decode_attention
from engine.kernels.depth import DepthLayer, DepthStep, run_depth
from engine.kernels.linear import (
    Stream,
    Workspace,
    project,
    project_gated,
    project_normed,
    project_onto,
)
from engine.kernels.sampler import Draw, sample
from engine.kernels.tiles import Tile, depth_tiles, temporal_tiles

CARD = Device.of(torch.cuda.get_device_properties(0))
EPS = 1e-8
BF16 = torch.bfloat16
HEADS, DIM, SLOTS, RING = 32, 128, 64, 48
POSITIONS, SINK = 3000, 90
ROTATED_BYTES = 300_000_000  # six times the second-level cache


def report(**fields: object) -> None:
    """One line."""
    print(json.dumps(fields), flush=True)


def graph_us(work: Callable[[], object], launches: int) -> float:
    """Median microseconds of one launch of `work`, which makes `launches` of them."""
    work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    times = []
    for _ in range(23):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop) * 1e3 / launches)
    return statistics.median(times[3:])


def randn(*shape: int, scale: float = 1.0) -> Tensor:
    """Fresh bf16 noise."""
    return torch.empty(shape, dtype=BF16, device="cuda").normal_(0, scale)


def numbers(rows: int, value: int) -> Tensor:
    """The same int32 for every row."""
    return torch.full((rows,), value, dtype=torch.int32, device="cuda")


# --- attention -----------------------------------------------------------------------------------


def noise_pages(layers: int, pages: int, fp8: bool) -> Tensor:
    """KV pages full of noise."""
    shape = (layers, pages, 2, HEADS, SLOTS, DIM)
    if not fp8:
        return torch.stack([randn(*shape[1:]) for _ in range(layers)])
    return torch.randint(0, 0x60, shape, dtype=torch.uint8, device="cuda").view(FP8)


def attend_layers(query: Tensor, pool: Tensor, scales: Tensor | None, tables: list[Tensor]) -> None:
    """One decode attention a layer."""
    for layer, pages in enumerate(pool):
        decode_attention(
            query, query, pages, *tables, None if scales is None else scales[layer]
        )  # fmt: skip


def bench_attention() -> None:
    """Full windows behind a shared prompt."""
    for rows, fp8 in ((1, False), (8, False), (32, False), (8, True), (32, True), (64, True)):
        pages = rows * RING + 3
        layers = max(1, 1500 // (pages // (2 if fp8 else 1)))
        pool = noise_pages(layers, pages, fp8)
        scales = torch.rand(layers, 2, HEADS, device="cuda") if fp8 else None
        ring = torch.randperm(pages - 3, device="cuda")[: rows * RING].view(rows, RING).int() + 3
        start = torch.randint(0, 5000, (rows,), device="cuda", dtype=torch.int32)
        prompt = torch.tensor([[1, 2]] * rows, dtype=torch.int32, device="cuda")
        tables = [prompt, numbers(rows, SINK), ring, start, start + (POSITIONS - SINK)]
        us = graph_us(Attention(randn(rows, HEADS, DIM), pool, scales, tables), layers)
        read = (rows * (POSITIONS - SINK) + SINK) * 2 * HEADS * DIM * pool.element_size()
        report(
            bench="attention", rows=rows, kv="fp8" if fp8 else "bf16",
            us=round(us, 1), tb_s=round(read / us / 1e6, 3),
        )  # fmt: skip
        del pool


@dataclass(frozen=True)
class Attention:
    """`attend_layers` on fixed tensors."""

    query: Tensor
    pool: Tensor
    scales: Tensor | None
    tables: list[Tensor]

    def __call__(self) -> None:
        """All layers once."""
        attend_layers(self.query, self.pool, self.scales, self.tables)


# --- projections ---------------------------------------------------------------------------------

# name: outputs, depth, form
SHAPES = {
    "packed": (12288, 4096, "normed"), "attended": (4096, 4096, "onto"),
    "gate": (11264, 4096, "gated"), "down": (4096, 11264, "onto"),
    "text head": (32000, 4096, "normed"), "depth in": (8192, 4096, "normed"),
    "depth packed": (3072, 1024, "normed"), "depth attended": (1024, 1024, "onto"),
    "depth gate": (2816, 1024, "gated"), "depth down": (1024, 2816, "onto"),
    "depth head": (2048, 1024, "plain"),
}  # fmt: skip


def tile_of(name: str, rows: int, fp8: bool) -> Tile:
    """The engine's choice."""
    if name in ("text head", "depth in"):
        return temporal_tiles(rows, fp8, CARD).heads
    part = name.removeprefix("depth ")
    table = temporal_tiles(rows, fp8, CARD) if part == name else depth_tiles(rows, CARD)
    return getattr(table, part)


class Projection:
    """One of the model's projections over several weights of its shape."""

    def __init__(self, name: str, rows: int, fp8: bool) -> None:
        outputs, depth, self.form = SHAPES[name]
        tall = outputs * (2 if self.form == "gated" else 1)
        self.bytes = tall * depth * (1 if fp8 else 2)
        copies = max(2, min(32, ROTATED_BYTES // self.bytes))
        plain = [randn(tall, depth, scale=depth**-0.5) for _ in range(copies)]
        self.weights = [quantise_weight(matrix) if fp8 else Weight(matrix) for matrix in plain]
        self.x, self.out = randn(rows, depth), randn(rows, outputs)
        onto = self.form == "onto"
        value = randn(rows, outputs) if onto else self.x
        ones = torch.ones(1 if onto else 64, rows, device="cuda")
        self.stream = Stream(value, torch.empty_like(value), ones)
        self.norm = randn(outputs)
        self.tile = tile_of(name, rows, fp8)
        self.work = Workspace.allocate(32000, 128, "cuda")

    def __call__(self) -> None:
        """Once over each weight."""
        for weight in self.weights:
            if self.form == "plain":
                project(self.x, weight, self.out, self.tile, self.work)
            elif self.form == "normed":
                project_normed(self.stream, weight, self.out, EPS, self.tile, self.work)
            elif self.form == "gated":
                project_gated(self.stream, weight, self.out, EPS, self.tile, self.work)
            else:
                project_onto(self.x, weight, self.stream, self.norm, self.tile, self.work)

    def library(self) -> None:
        """The bare product, as PyTorch does it."""
        for weight in self.weights:
            functional.linear(self.x, weight.matrix)


def bench_projections() -> None:
    """Every shape, at few and many rows."""
    for name in SHAPES:
        for fp8, rows in ((False, 1), (False, 32), (False, 64), (True, 1), (True, 64)):
            if fp8 and name.startswith("depth "):
                continue
            case = Projection(name, rows, fp8)
            us = graph_us(case, len(case.weights))
            vendor = None if fp8 else round(graph_us(case.library, len(case.weights)), 2)
            report(
                bench="projection", name=name, rows=rows, weights="fp8" if fp8 else "bf16",
                us=round(us, 2), tb_s=round(case.bytes / us / 1e6, 2), library_us=vendor,
            )  # fmt: skip


# --- depth steps ---------------------------------------------------------------------------------


def noise_layer() -> DepthLayer:
    """One layer of one depth step."""
    one = torch.ones(1024, device="cuda", dtype=BF16)
    shapes = ((3072, 1024), (1024, 1024), (5632, 1024), (1024, 2816))
    packed, attended, gate, down = (Weight(randn(n, k, scale=k**-0.5)) for n, k in shapes)
    return DepthLayer(one, packed, attended, one, gate, down)


def noise_step() -> DepthStep:
    """One depth step."""
    layers = tuple(noise_layer() for _ in range(6))
    return DepthStep(randn(2049, 1024), layers, Weight(randn(2048, 1024)))


@dataclass(frozen=True)
class Depth:
    """Eight depth steps of a batch."""

    steps: tuple[DepthStep, ...]
    rows: int
    draw: Draw
    work: Workspace

    def __call__(self) -> None:
        """All codebooks of one frame."""
        projected = torch.ones(self.rows, 8, 1024, dtype=BF16, device="cuda")
        squares = torch.full((1, self.rows), 1024.0, device="cuda")
        stream = Stream(projected[:, 0].clone(), projected[:, 1].clone(), squares)
        broken = torch.zeros(self.rows, dtype=torch.bool, device="cuda")
        run_depth(
            self.steps, projected, stream, self.draw, broken,
            heads=16, eps=EPS, tiles=depth_tiles(self.rows, CARD), workspace=self.work,
        )  # fmt: skip


@dataclass(frozen=True)
class Sampling:
    """Ten draws from one vocabulary."""

    logits: Tensor
    draw: Draw

    def __call__(self) -> None:
        """Ten launches."""
        rows = len(self.logits)
        chosen = torch.zeros(rows, dtype=torch.int64, device="cuda")
        broken = torch.zeros(rows, dtype=torch.bool, device="cuda")
        for _ in range(10):
            sample(self.logits, self.draw, 0, chosen, broken)


def drawing(rows: int, most: int) -> Draw:
    """Reference sampling."""
    warm = torch.full((rows,), 0.8, device="cuda")
    top_k = torch.full((rows,), most, device="cuda")
    return Draw(warm, top_k, torch.arange(rows, device="cuda"), numbers(rows, 77), most)


def bench_depth() -> None:
    """All codebooks of a frame, and the samplers alone."""
    steps = tuple(noise_step() for _ in range(8))
    work = Workspace.allocate(4096, 128, "cuda")
    for rows in (1, 8, 32, 64):
        us = graph_us(Depth(steps, rows, drawing(rows, 250), work), 1)
        text = graph_us(Sampling(randn(rows, 32000), drawing(rows, 25)), 10)
        audio = graph_us(Sampling(randn(rows, 2048), drawing(rows, 250)), 10)
        report(
            bench="depth", rows=rows, ms=round(us / 1e3, 3),
            text_sampler_us=round(text, 1), audio_sampler_us=round(audio, 1),
        )  # fmt: skip


if __name__ == "__main__":
    for part in sys.argv[1:] or ["attention", "projections", "depth"]:
        globals()[f"bench_{part}"]()
