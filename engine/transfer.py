"""Frames and page tables between the host and the device, through pinned memory: one wait a step.

Frames have two sets of buffers, used in turn: what came back in one step stays as it is while the
next step runs. A set is written again only when its own copies are done.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.interface import FRAME_SAMPLES, Frame
from engine.model.kv import CacheRows
from engine.step import FrameRows


@dataclass(frozen=True, slots=True)
class Received:
    """What came back, for the step's rows: views, good until the step after the next.

    Attributes:
        pcm: int16 [B, 1920].
        text: int64 [B].
        broken: bool [B].
    """

    pcm: NDArray[np.int16]
    text: NDArray[np.int64]
    broken: NDArray[np.bool_]


class FrameBuffers:
    """One set of host memory for the frames of a step, in and out.

    Args:
        slots: rows in all.
        device: where the other side is.
    """

    def __init__(self, slots: int, device: torch.device) -> None:
        self._device = device
        self._done = torch.cuda.Event() if device.type == "cuda" else None
        self._live = self._buffer(torch.bool, slots)
        self._pcm_in = self._buffer(torch.int16, slots, FRAME_SAMPLES)
        self._live_here, self._pcm_here = self._live.numpy(), self._pcm_in.numpy()
        self._pcm_out = self._buffer(torch.int16, slots, FRAME_SAMPLES)
        self._text = self._buffer(torch.int64, slots)
        self._broken = self._buffer(torch.bool, slots)

    def _buffer(self, dtype: torch.dtype, *shape: int) -> Tensor:
        return torch.zeros(*shape, dtype=dtype, pin_memory=self._done is not None)

    def send(self, inputs: Mapping[int, Frame], rows: FrameRows, first: int = 0) -> None:
        """Copies the frames to their rows; rows without one are idle.

        Args:
            inputs: slot -> int16 [1920].
            rows: the rows of this step.
            first: the slot of their first one.
        """
        self._wait()
        batch = len(rows.live)
        self._live_here[:batch] = False
        for slot, frame in inputs.items():
            self._live_here[slot - first] = True
            self._pcm_here[slot - first] = frame
        rows.live.copy_(self._live[:batch], non_blocking=True)
        rows.pcm_in.copy_(self._pcm_in[:batch], non_blocking=True)

    def receive(self, rows: FrameRows) -> Received:
        """Brings the outputs back and waits for them."""
        batch = len(rows.live)
        pcm, text, broken = self._pcm_out[:batch], self._text[:batch], self._broken[:batch]
        pcm.copy_(rows.pcm_out, non_blocking=True)
        text.copy_(rows.text, non_blocking=True)
        broken.copy_(rows.broken, non_blocking=True)
        if self._done is not None:
            self._done.record(torch.cuda.current_stream(self._device))
        self._wait()
        return Received(pcm.numpy(), text.numpy(), broken.numpy())

    def _wait(self) -> None:
        """Until nothing of this set is on its way any more."""
        if self._done is not None:
            self._done.synchronize()


class HostFrames:
    """The host's side of `FrameRows`: two sets of buffers that take turns.

    So the next step's frames can be put down and sent while the last step's are still being read.

    Args:
        slots: rows in all.
        device: where the other side is.
    """

    def __init__(self, slots: int, device: torch.device) -> None:
        self._sets = itertools.cycle([FrameBuffers(slots, device) for _ in range(2)])

    def turn(self) -> FrameBuffers:
        """The set for the next step."""
        return next(self._sets)


class HostTables:
    """The host's side of the rings in `CacheRows`: many rows change, one copy is made.

    Args:
        rows: the device's side.
    """

    def __init__(self, rows: CacheRows) -> None:
        pinned = rows.live_table.device.type == "cuda"
        self._rows = rows
        self._table = torch.zeros(rows.live_table.shape, dtype=torch.int32, pin_memory=pinned)
        self._floor = torch.zeros(rows.live_floor.shape, dtype=torch.int32, pin_memory=pinned)
        self._changed = False

    def set(self, slot: int, table: Sequence[int], floor: int) -> None:
        """Notes a row's pages and its first visible offset."""
        self._table[slot] = torch.tensor(table, dtype=torch.int32)
        self._floor[slot] = floor
        self._changed = True

    def send(self) -> None:
        """Queues a copy of all rows, if any changed.

        A copy that is still queued may carry newer rows than when it was made: what matters is
        what the device sees when the next tick runs.
        """
        if self._changed:
            self._rows.live_table.copy_(self._table, non_blocking=True)
            self._rows.live_floor.copy_(self._floor, non_blocking=True)
            self._changed = False
