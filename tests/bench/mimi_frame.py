"""Time of one codec frame against the batch: `python tests/bench/mimi_frame.py [--device cuda]`.

Prints one JSON line per direction, variant and batch: milliseconds of the median frame, kernels,
and the ratio to the exact variant of the same run. The variants are the codec as the reference
computes it, its layers fused in PyTorch, and on CUDA its own kernels, which the engine runs. On
CUDA the frame is replayed from a graph. Weights are random; the sizes are the published ones unless
--small.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

from engine.config import MimiConfig
from engine.model.mimi import Mimi, MimiState
from engine.step import Codec

SMALL = MimiConfig(filters=8, dimension=64, heads=4, layers=2, feedforward=128, codebook_dim=32)


def random_mimi(config: MimiConfig, device: str) -> Mimi:
    """A codec with random weights."""
    torch.manual_seed(0)
    with torch.device(device):
        mimi = Mimi(config).eval()
    for name, tensor in mimi.state_dict().items():
        if name.endswith("embedding_sum"):
            tensor.normal_()
    return mimi


def directions(
    mimi: Codec, config: MimiConfig, rows: int, device: str
) -> dict[str, Callable[[], torch.Tensor]]:
    """One frame of each direction over static buffers, with every ring full."""
    state = MimiState.allocate(config, rows, device)
    for side in ("encoder", "decoder"):
        state[f"{side}_transformer.position"].fill_(2 * config.context)
    live = torch.ones(rows, dtype=torch.bool, device=device)
    pcm = 0.1 * torch.randn(rows, config.frame_samples, device=device)
    codes = torch.randint(config.codebook_size, (rows, config.codebooks), device=device)
    return {
        "encode": lambda: mimi.encode_frame(pcm, state, live),
        "decode": lambda: mimi.decode_frame(codes, state, live),
    }


def in_kernels(mimi: Mimi) -> Codec:
    """The codec as the engine runs it on a GPU."""
    from engine.kernels.mimi import FusedCodec

    return FusedCodec(mimi)


def captured(frame: Callable[[], torch.Tensor]) -> Callable[[], None]:
    """The frame as a CUDA graph."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            frame()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        frame()
    return graph.replay


def kernels_in(frame: Callable[[], torch.Tensor]) -> int:
    """Kernels that the device runs for one frame."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        frame()
        torch.cuda.synchronize()
    return sum(event.device_type == torch.autograd.DeviceType.CUDA for event in profile.events())


def median_ms(run: Callable[[], object], repeats: int, device: str) -> float:
    """Median wall time of one run, the device's work included."""
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[2:])


def main() -> None:
    """Runs every combination."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rows", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    torch.set_float32_matmul_precision("high")  # TF32 where there are tensor cores
    mimi = random_mimi(SMALL if options.small else MimiConfig(), options.device)
    exact: dict[tuple[str, int], float] = {}
    for variant in ("exact", "fused", *(["kernels"] if options.device == "cuda" else [])):
        mimi.prepare(fused=variant != "exact")
        codec = in_kernels(mimi) if variant == "kernels" else mimi
        for rows in options.rows:
            for name, frame in directions(codec, mimi.config, rows, options.device).items():
                on_cuda = options.device == "cuda"
                run = captured(frame) if on_cuda else frame
                spent_ms = median_ms(run, options.repeats, options.device)
                exact.setdefault((name, rows), spent_ms)
                line = {
                    "bench": "mimi_frame",
                    "direction": name,
                    "device": options.device,
                    "rows": rows,
                    "variant": variant,
                    "median_ms": round(spent_ms, 3),
                    "ratio_to_exact": round(spent_ms / exact[name, rows], 3),
                    "kernels": kernels_in(frame) if on_cuda else None,
                }
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
