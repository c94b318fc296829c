"""Looks for the best tiles of the card at hand.

    python tests/bench/gpu_tiles.py ROWS[,ROWS ...] [NAME ...] [compile]

Compiles every candidate in as many processes as there are cores, then times them one by one, each
launch on another weight than the one before; with `compile` nothing is timed. Prints one JSON line
for each projection and number of rows: the engine's own choice, and the five best.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict

import torch

from engine.kernels.tiles import Tile
from tests.bench.gpu_kernels import SHAPES, Projection, graph_us

BEST = 5
SHARED_BYTES = 227 * 1024
LARGE = ("packed", "attended", "gate", "down", "text head", "depth in")


def candidates(name: str, rows: int) -> Iterator[Tile]:
    """Tiles worth a try."""
    outputs, _, form = SHAPES[name]
    blocks = [size for size in (16, 32, 64, 128) if size < 2 * rows or size == 16]
    split = (1, 2, 4) if outputs <= 4096 else (1,)
    small = outputs < 4096 or name.startswith("depth ")
    wide = (16, 32, 64) if small and name != "depth in" else (64, 128)
    for block, out, deep, splits in itertools.product(blocks, wide, (64, 128), split):
        if block < 32 <= rows or -(-rows // block) > 8:
            continue
        for stages in (3, 4, 5):
            tile = Tile(out, deep, splits, stages, 8 if out * block >= 128 * 128 else 4, block)
            weights = out * (2 if form == "gated" else 1)
            if stages * deep * 2 * (weights + block) <= SHARED_BYTES:
                yield tile


def compile_one(job: tuple[str, int, Tile]) -> str:
    """Runs a candidate once, so that its code lies in the cache."""
    name, rows, tile = job
    try:
        case = Projection(name, rows, fp8=False)
        case.weights, case.tile = case.weights[:1], tile
        case()
        torch.cuda.synchronize()
    except Exception as error:  # noqa: BLE001 - a candidate that fails is no candidate
        return f"{name} {tile}: {type(error).__name__}"
    return ""


def jobs(names: list[str], rows: list[int]) -> list[tuple[str, int, Tile]]:
    """Everything to compile: what differs in nothing but the number of rows is compiled once."""
    seen: dict[tuple[str, Tile], int] = {}
    for name, count in itertools.product(names, rows):
        for tile in candidates(name, count):
            seen.setdefault((name, tile), count)
    return [(name, count, tile) for (name, tile), count in seen.items()]


def main(rows_said: str, *names_said: str) -> None:
    """Compiles all, then times all."""
    rows = [int(each) for each in rows_said.split(",")]
    names = [each for each in names_said if each != "compile"] or list(LARGE)
    work = jobs(names, rows)
    with multiprocessing.get_context("spawn").Pool((os.cpu_count() or 2) - 1) as pool:
        failed = {each for each in pool.imap_unordered(compile_one, work, chunksize=4) if each}
    print(json.dumps({"bench": "tiles", "compiled": len(work), "failed": sorted(failed)[:4]}))
    if "compile" in names_said:
        return
    for name, count in itertools.product(names, rows):
        case = Projection(name, count, fp8=False)
        own, found = case.tile, []
        for tile in [own, *candidates(name, count)]:
            if f"{name} {tile}" in {each.rsplit(":", 1)[0] for each in failed}:
                continue
            case.tile = tile
            found.append((round(graph_us(case, len(case.weights)), 2), tile))
        best = sorted(found[1:], key=lambda pair: pair[0])[:BEST]
        line = {
            "bench": "tiles",
            "name": name,
            "rows": count,
            "own_us": found[0][0],
            "tb_s": round(case.bytes / best[0][0] / 1e6, 2),
            "library_us": round(graph_us(case.library, len(case.weights)), 2),
            "best": [(us, list(asdict(tile).values())) for us, tile in best],
        }
        print(json.dumps(line), flush=True)
        del case


if __name__ == "__main__":
    main(*sys.argv[1:])
