"""Columns of the grid as frames come and go."""

from __future__ import annotations

import torch

from engine.model.delays import GridRows

CPU = torch.device("cpu")


def frame(index: int) -> torch.Tensor:
    """A frame whose codes tell frame and codebook: [1, 8]."""
    return 100 * index + torch.arange(8)[None]


def test_frames_come_out_as_they_were_drawn() -> None:
    """Columns are drawn one ahead; a frame is the semantic of one and the acoustics of the next."""
    grid = GridRows.allocate(1, CPU)
    live = torch.ones(1, dtype=torch.bool)
    heard = []
    for index in range(5):
        column = grid.column(frame(index))
        heard.append(column)
        drawn = 1000 + frame(index + 1)  # column index + 1 of the agent
        said = grid.agent_frame(drawn)
        if index:
            assert int(said[0, 0]) == 1000 + 100 * index
        assert said[0, 1:].tolist() == drawn[0, 1:].tolist()
        grid.advance(torch.tensor([index]), drawn, frame(index), live)
    last = heard[4][0]
    assert int(last[0]) == 3  # drawn in the tick before
    assert last[1:9].tolist() == (1000 + frame(4))[0].tolist()
    assert int(last[9]) == 400  # the user's semantic code is new
    assert last[10:].tolist() == frame(3)[0, 1:].tolist()  # the acoustic ones are of frame 3


def test_idle_rows_keep_their_column() -> None:
    """Only the live row moves on; views share memory."""
    grid = GridRows.allocate(3, CPU)
    codes = torch.cat([frame(1), frame(2), frame(3)])
    before = [tensor.clone() for tensor in (grid.text, grid.agent, grid.user_acoustic)]
    live = torch.tensor([False, True, False])
    grid.rows(0, 3).advance(torch.tensor([7, 8, 9]), codes, codes, live)
    assert grid.text.tolist() == [0, 8, 0]
    assert torch.equal(grid.agent[1], codes[1])
    assert torch.equal(grid.user_acoustic[1], codes[1, 1:])
    for tensor, old in zip((grid.text, grid.agent, grid.user_acoustic), before, strict=True):
        assert torch.equal(tensor[[0, 2]], old[[0, 2]])
