"""Programmatic dependent launch: a kernel starts while the one before it still drains.

Between two kernels of a tick lie a few microseconds in which the memory is idle: the last blocks
finish, the next kernel is scheduled, its first loads are on their way. On Hopper a kernel may be
launched early; it may touch what no kernel of the tick writes (the weights) and must wait before
it touches anything else, and before it writes anything.

    let_next_start(OVERLAP)    the next kernel may be scheduled
    ...                        prefetch weights
    await_previous(OVERLAP)    from here on everything written before is visible
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl


@cache
def launch_options() -> dict[str, Any]:
    """Keyword arguments for a launch, the kernel's `OVERLAP` constant among them."""
    if torch.cuda.is_available() and torch.cuda.get_device_capability() >= (9, 0):
        return {"OVERLAP": True, "launch_pdl": True}
    return {"OVERLAP": False}


@triton.jit
def let_next_start(OVERLAP: tl.constexpr):
    """Allows the next kernel to be scheduled as soon as there is room."""
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()


@triton.jit
def await_previous(OVERLAP: tl.constexpr):
    """Waits until every kernel before has finished and its writes are visible."""
    if OVERLAP:
        tl.extra.cuda.gdc_wait()


@triton.jit
def prefetch(pointers, OVERLAP: tl.constexpr):
    """Asks for the 128-byte lines at `pointers`, into the second-level cache."""
    if OVERLAP:
        tl.inline_asm_elementwise(
            "prefetch.global.L2 [$1]; mov.u32 $0, 0;",
            "=r,l",
            [pointers],
            dtype=tl.int32,
            is_pure=False,
            pack=1,
        )
