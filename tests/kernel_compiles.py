"""Compiles every kernel that an engine would launch, for a card that is not there.

    python -m tests.kernel_compiles 8.9 9.0 ...

The model is built at its published sizes on PyTorch's meta device and led through a tick of every
kind of batch and through pieces of prompts; each launch is compiled for the given compute
capability, up to the point where its shared memory is known. Prints one JSON line for each kernel
that does not compile or asks for more than a block may have, and one for each capability.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

os.environ["TRITON_INTERPRET"] = "0"

import torch
import triton
from torch import Tensor
from triton._C.libtriton import ir
from triton.backends.compiler import GPUTarget
from triton.compiler import make_backend
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from engine.config import AGENT_CODEBOOKS, EngineLimits, Format, LMConfig, MimiConfig
from engine.device import Device, typical
from engine.kernels.mimi import FusedCodec
from engine.kernels.model import FusedModel
from engine.model.delays import GridRows
from engine.model.kv import CacheRows, DecodeAttend, new_pool, position_scales
from engine.model.lm import LanguageModel
from engine.model.mimi import Mimi, MimiState
from engine.model.sampling import SamplingRows

PLAIN_BATCHES = (1, 32, 64, 128)  # one for each block of rows
NARROW_BATCHES = (1, 32, 64, 200)
PAGES = 4


class FakeDriver:
    """What Triton asks a driver before it compiles."""

    def __init__(self, capability: int) -> None:
        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        """The card that is not there."""
        return self.target

    def get_current_device(self) -> int:
        """One number for each kind of card: compiled kernels are kept by it."""
        return int(self.target.arch)

    def get_current_stream(self, device: int) -> int:
        """None is launched on."""
        return 0


@dataclass
class Findings:
    """What was compiled for one card.

    Attributes:
        card: the card.
        kernels: how many.
        faults: a line for each that cannot run there.
        most: the largest share of a block's shared memory, in bytes.
    """

    card: Device
    kernels: int = 0
    most: int = 0
    faults: list[dict[str, object]] = field(default_factory=list)

    def compile(self, source: Any, target: GPUTarget, options: dict[str, Any], **_: Any) -> object:
        """Stands for Triton's compiler: as far as the shared memory is known."""
        fixed = {source.fn.arg_names[at[0]]: value for at, value in source.constants.items()}
        self.kernels += 1
        try:
            shared = shared_of(source, target, options)
        except Exception as error:  # noqa: BLE001 - whatever the compiler says is a fault
            self._fault(source, fixed, f"{type(error).__name__}: {str(error)[-160:]}")
        else:
            self.most = max(self.most, shared)
            if shared > self.card.shared_bytes:
                self._fault(source, fixed, f"{shared} bytes of shared memory")
        return object()

    def _fault(self, source: Any, fixed: dict[str, object], why: str) -> None:
        sizes = {name: value for name, value in fixed.items() if isinstance(value, int)}
        self.faults.append({"kernel": source.name, "why": why, "constants": sizes})


def shared_of(source: Any, target: GPUTarget, options: dict[str, Any]) -> int:
    """Bytes of shared memory that a block of this kernel asks for."""
    backend = make_backend(target)
    parsed = backend.parse_options(dict(options, **source.parse_options()))
    context = ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    stages: dict[str, Any] = {}
    backend.add_stages(stages, parsed, source.language)
    metadata: dict[str, Any] = {"target": target, **parsed.__dict__}
    generated = backend.get_codegen_implementation(parsed)
    module = source.make_ir(target, parsed, generated, backend.get_module_map(), context)
    for name in ("ttir", "ttgir", "llir"):
        module = stages[name](module, metadata)
    return int(metadata["shared"])


@contextmanager
def compiled_alone(findings: Findings) -> Iterator[None]:
    """Every launch compiles and does not run."""
    major, minor = findings.card.capability
    driver.set_active(FakeDriver(10 * major + minor))
    original = JITFunction.run

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        self.device_caches[driver.active.get_current_device()]  # its first use sets `compile`
        self.compile = findings.compile
        return original(self, *args, grid=grid, warmup=True, **kwargs)

    JITFunction.run = run
    try:
        yield
    finally:
        JITFunction.run = original


def decode(lm: LanguageModel, fused: FusedModel, rows: int, pool: Tensor, scales: Any) -> None:
    """The language model's part of a tick."""
    meta, limits = torch.device("meta"), EngineLimits(slots=rows)
    cache = CacheRows.allocate(rows, 12, 47, meta)
    live = torch.ones(rows, dtype=torch.bool, device=meta)
    attend = DecodeAttend(lm.config, pool, cache, live, scales)
    column = GridRows.allocate(rows, meta).column(
        torch.zeros(rows, AGENT_CODEBOOKS, dtype=torch.int64, device=meta)
    )
    ks = (limits.max_text_top_k, limits.max_audio_top_k)
    fused.next_column(column, attend, SamplingRows.allocate(rows, meta), ks)


def codec() -> None:
    """One frame either way: no kernel of the codec's depends on the batch."""
    sizes, meta = MimiConfig(), torch.device("meta")
    with meta:
        mimi = Mimi(sizes)
    mimi.prepare(fused=True)
    fused, state = FusedCodec(mimi), MimiState.allocate(sizes, 2, meta)
    live = torch.ones(2, dtype=torch.bool, device=meta)
    codes = fused.encode_frame(torch.zeros(2, sizes.frame_samples, device=meta), state, live)
    fused.decode_frame(codes, state, live)


def whole_engine(card: Device) -> None:
    """All batches and pieces of prompts, in every format that the card would be given."""
    codec()
    with torch.device("meta"):
        plain = LanguageModel(LMConfig(), AGENT_CODEBOOKS).to(torch.bfloat16)
    plain.prepare()
    like = plain.text_linear.weight
    # A layer's kernels are all layers': two are enough.
    plain.transformer.layers = plain.transformer.layers[:2]
    plain.depformer.layers = plain.depformer.layers[:2]
    formats: tuple[Format, ...] = ("bf16", card.eight_bits)
    for weights in formats:
        fused = FusedModel(plain, 256, card, weights)
        batches = PLAIN_BATCHES if weights == "bf16" else NARROW_BATCHES
        for rows, kind in itertools.product(batches, formats[1:] if weights != "bf16" else formats):
            pool = new_pool(plain.config, PAGES, 64, like, kind)
            by_head = like.new_empty(32, 2, 32, dtype=torch.float32)
            scales = {"bf16": None, "fp8": by_head, "int8": position_scales(pool)}[kind]
            decode(plain, fused, rows, pool, scales)
        pages = torch.zeros(4, dtype=torch.int32, device="meta")
        fused.prompt(like[:128], pool, scales, pages, 0)


def main(*capabilities: str) -> int:
    """All cards; how many kernels cannot run."""
    faults = 0
    for said in capabilities:
        major, minor = said.split(".")
        findings = Findings(typical((int(major), int(minor))))
        with compiled_alone(findings), torch.inference_mode():
            whole_engine(findings.card)
        tried = {
            "capability": said,
            "kernels": findings.kernels,
            "most_shared": findings.most,
            "shared": findings.card.shared_bytes,
            "triton": triton.__version__,
        }
        for line in (*findings.faults, tried):
            sys.stdout.write(json.dumps({"capability": said, **line}) + "\n")
        faults += len(findings.faults)
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
