"""The public reference implementation on the same device: one call's tick, its own loop.

    MOSHI_ORACLE=FOLDER python tests/bench/gpu_reference.py [BATCH ...] [--compiled]

FOLDER holds the wheel `moshi==0.1.0`: pip install --no-deps --target FOLDER moshi==0.1.0

Random weights of the published sizes, bf16 with the codec in float32, the window allocated at 3000
positions, CUDA graphs as the reference makes them; rows run in lockstep. A tick is mimi.encode,
LMGen.step with 16 depth steps, mimi.decode, frames in host memory to frames in host memory. The
user's codes are put where the 16-step loop expects them. With --compiled the functions that the
reference hands to torch.compile are compiled. Prints one JSON line for each batch size.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.config import AGENT_STREAMS, DELAYS, USER_STREAMS
from tests.bench.gpu_engine import SOUND, report, summary
from tests.bench.true_size import DEVICE, LM, MIMI, machine, synchronise
from tests.unit.engine.model.mimi_cases import random_mimi, reference
from tests.unit.engine.oracle_lm import reference_model
from tests.unit.engine.oracle_moshi import NAME

TICKS = 150
WARM_UP = 12  # its graphs are recorded in the first few
PCM16_SCALE = 32_768.0


class Reference:
    """The reference's codec and generator, streaming.

    Args:
        lm: its language model.
        mimi: its codec.
        batch: rows in lockstep.
    """

    def __init__(self, lm: Any, mimi: Any, batch: int) -> None:
        self._mimi = mimi
        self._generator = sys.modules[f"{NAME}.models.lm"].LMGen(lm)
        mimi.streaming_forever(batch)
        self._generator.streaming_forever(batch)
        self._nothing = torch.empty(batch, 0, 1, dtype=torch.long, device=DEVICE)

    @torch.no_grad()
    def tick(self, pcm: np.ndarray) -> np.ndarray | None:
        """int16 [B, 1920] -> int16 [B, 1920]; None in the first two ticks, which are delay."""
        sound = torch.from_numpy(pcm).to(DEVICE).float() / PCM16_SCALE
        self._hear(self._mimi.encode(sound[:, None]))
        tokens = self._generator.step(self._nothing)
        if tokens is None:
            return None
        said = self._mimi.decode(tokens[:, AGENT_STREAMS])[:, 0]
        return (said.clamp(-1, 1) * (PCM16_SCALE - 1)).to(torch.int16).cpu().numpy()

    def _hear(self, codes: Tensor) -> None:
        """Writes the user's codes [B, 8, 1] into the generator's grid, each at its delay."""
        state = self._generator._streaming_state
        for index, delay in enumerate(DELAYS[USER_STREAMS]):
            place = (state.offset + delay) % state.cache.shape[2]
            state.cache[:, USER_STREAMS.start + index, place] = codes[:, index, 0]


def language_model() -> Any:
    """At the published sizes."""
    dtype = torch.bfloat16 if DEVICE.type == "cuda" else torch.float32
    return reference_model(LM, device=DEVICE, dtype=dtype).to(DEVICE, dtype)


def tick_times(subject: Reference, batch: int) -> list[float]:
    """Milliseconds of each tick."""
    times = []
    for index in range(TICKS + WARM_UP):
        pcm = np.stack([SOUND[(index + 7 * row) % len(SOUND)] for row in range(batch)])
        begin = time.perf_counter()
        said = subject.tick(pcm)
        synchronise()
        times.append((time.perf_counter() - begin) * 1e3)
    if said is None or said.shape != pcm.shape:
        raise RuntimeError("the reference said nothing")
    return times[WARM_UP:]


def main() -> None:
    """Measures each batch size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("batch", type=int, nargs="*", default=[1])
    parser.add_argument("--compiled", action="store_true")
    wanted = parser.parse_args()
    os.environ["NO_TORCH_COMPILE"] = "" if wanted.compiled else "1"
    torch.manual_seed(0)
    lm, codec = language_model(), random_mimi(MIMI)
    for batch in wanted.batch:
        times = tick_times(Reference(lm, reference(codec).to(DEVICE), batch), batch)
        report(
            bench="reference", **machine(), calls=batch, window=LM.window_positions,
            depth_steps=lm.dep_q, compiled=wanted.compiled,
            **summary(times),
        )  # fmt: skip


if __name__ == "__main__":
    main()
