"""The host's side of frames and page tables."""

from __future__ import annotations

import numpy as np
import torch

from engine.interface import FRAME_SAMPLES
from engine.model.kv import CacheRows
from engine.step import FrameRows
from engine.transfer import HostFrames, HostTables

CPU = torch.device("cpu")


def test_send_makes_rows_live_or_idle() -> None:
    """A row that had a frame in the last tick and has none now is idle."""
    rows, frames = FrameRows.allocate(4, CPU), HostFrames(4, CPU)
    sound = np.arange(FRAME_SAMPLES, dtype=np.int16)
    for _ in range(2):  # both sets of buffers
        frames.turn().send({0: sound, 2: -sound}, rows.rows(0, 3))
        assert rows.live.tolist() == [True, False, True, False]
        assert np.array_equal(rows.pcm_in[2].numpy(), -sound)
    frames.turn().send({1: sound}, rows.rows(0, 2))
    assert rows.live[:2].tolist() == [False, True]
    assert np.array_equal(rows.pcm_in[1].numpy(), sound)


def test_send_to_rows_in_the_middle() -> None:
    """Slot 3 is row 1 of the rows that begin at slot 2; what lies before them is not touched."""
    rows, frames = FrameRows.allocate(4, CPU), HostFrames(4, CPU)
    sound = np.arange(FRAME_SAMPLES, dtype=np.int16)
    frames.turn().send({3: sound}, rows.rows(2, 4), first=2)
    assert rows.live.tolist() == [False, False, False, True]
    assert np.array_equal(rows.pcm_in[3].numpy(), sound)


def test_receive_brings_the_prefix_back() -> None:
    """Outputs of the rows that took part."""
    rows, frames = FrameRows.allocate(3, CPU), HostFrames(3, CPU)
    rows.pcm_out[1] = 5
    rows.text[1] = 77
    rows.broken[0] = True
    received = frames.turn().receive(rows.rows(0, 2))
    assert received.pcm.shape == (2, FRAME_SAMPLES)
    assert received.pcm[1].tolist() == [5] * FRAME_SAMPLES
    assert received.text.tolist() == [0, 77]
    assert received.broken.tolist() == [True, False]


def test_what_came_back_outlives_the_next_step() -> None:
    """Two sets in turn: a reader of one step is not disturbed by the next, but by the one after."""
    rows, frames = FrameRows.allocate(1, CPU), HostFrames(1, CPU)
    read = []
    for step in (1, 2, 3):
        buffers = frames.turn()
        buffers.send({0: np.full(FRAME_SAMPLES, step, np.int16)}, rows)
        rows.pcm_out.copy_(rows.pcm_in)
        rows.text.fill_(step)
        read.append(buffers.receive(rows))
        if step == 2:
            assert (int(read[0].pcm[0, 0]), int(read[0].text[0])) == (1, 1)
    assert [int(received.pcm[0, 0]) for received in read] == [3, 2, 3]


def test_tables_are_copied_when_sent() -> None:
    """Nothing reaches the device before `send`; unchanged rows stay."""
    rows = CacheRows.allocate(2, 1, 3, CPU)
    tables = HostTables(rows)
    tables.set(1, [4, 5, 0], 8)
    assert not rows.live_table.any()
    tables.send()
    assert rows.live_table.tolist() == [[0, 0, 0], [4, 5, 0]]
    assert rows.live_floor.tolist() == [0, 8]
    tables.set(0, [1, 2, 3], 0)
    tables.send()
    assert rows.live_table.tolist() == [[1, 2, 3], [4, 5, 0]]


def test_send_without_a_change_copies_nothing() -> None:
    """What the device holds is left alone."""
    rows = CacheRows.allocate(1, 1, 2, CPU)
    tables = HostTables(rows)
    rows.live_table[0] = 9
    tables.send()
    assert rows.live_table.tolist() == [[9, 9]]
