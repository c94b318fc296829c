"""Rows of a state: views, resets, export and import."""

from __future__ import annotations

import pytest
import torch

from engine.model.state import RowState, Spec, keep, over_rows

SPECS = [Spec("carry", (2, 3)), Spec("position", (), torch.int64)]


def filled(rows: int) -> RowState:
    """A state in which row i is filled with i + 1."""
    state = RowState.zeros(SPECS, rows)
    for row in range(rows):
        for tensor in state.tensors.values():
            tensor[row] = row + 1
    return state


def test_zeros_has_the_shapes_of_the_schema() -> None:
    """Every tensor has the rows first, then its own shape, and begins as zeros."""
    state = RowState.zeros(SPECS, 4)
    assert state["carry"].shape == (4, 2, 3)
    assert state["position"].shape == (4,)
    assert state["position"].dtype == torch.int64
    assert not any(tensor.any() for tensor in state.tensors.values())


def test_narrow_is_a_view() -> None:
    """What is written in a narrowed state is written in the whole one."""
    state = filled(4)
    narrowed = state.narrow(2)
    narrowed["position"].fill_(9)
    assert narrowed.rows == 2
    assert state["position"].tolist() == [9, 9, 3, 4]
    state.narrow(1, first=3)["position"].fill_(7)
    assert state["position"].tolist() == [9, 9, 3, 7]


@pytest.mark.parametrize("rows", [0, -1, 5])
def test_narrow_refuses_rows_that_are_not_there(rows: int) -> None:
    """The message names both numbers."""
    with pytest.raises(ValueError, match=f"{rows} rows of a state that has 4"):
        filled(4).narrow(rows)
    with pytest.raises(ValueError, match="2 rows of a state that has 4, from row 3 on"):
        filled(4).narrow(2, first=3)


def test_reset_rows_clears_only_the_masked_rows() -> None:
    """A masked row is zero afterwards, the others keep every bit."""
    state = filled(3)
    state.reset_rows(torch.tensor([False, True, False]))
    assert state["position"].tolist() == [1, 0, 3]
    assert state["carry"].sum(dim=(1, 2)).tolist() == [6, 0, 18]


def test_reset_rows_clears_a_row_of_nan() -> None:
    """A slot that went bad is good again for the next call."""
    state = filled(2)
    state["carry"][0] = torch.nan
    state.reset_rows(torch.tensor([True, False]))
    assert not state["carry"][0].any()


def test_export_is_a_copy() -> None:
    """Later changes of the row do not reach what was exported."""
    state = filled(2)
    exported = state.export_row(1)
    state["carry"].zero_()
    assert exported["carry"].tolist() == [[2.0] * 3] * 2
    assert exported["position"].item() == 2


def test_import_overwrites_one_row() -> None:
    """A row exported from one slot can live on in another."""
    source, target = filled(3), RowState.zeros(SPECS, 2)
    target.import_row(0, source.export_row(2))
    assert target["position"].tolist() == [3, 0]
    assert target["carry"][0].eq(3).all()
    assert not target["carry"][1].any()


def test_import_refuses_a_row_of_another_model() -> None:
    """A missing, an unknown or a mis-shaped tensor is named, and nothing is written."""
    state = filled(2)
    row = state.export_row(0)
    with pytest.raises(ValueError, match=r"\['position'\]"):
        state.import_row(1, {"carry": row["carry"]})
    with pytest.raises(ValueError, match=r"\['ring'\]"):
        state.import_row(1, row | {"ring": row["carry"]})
    with pytest.raises(ValueError, match=r"carry is \[2, 4\], not \[2, 3\]"):
        state.import_row(1, row | {"carry": torch.zeros(2, 4)})
    assert state["position"].tolist() == [1, 2]


def test_keep_writes_live_rows_in_place() -> None:
    """Idle rows keep their values, and the tensor keeps its address."""
    state = torch.zeros(3, 2)
    address = state.data_ptr()
    keep(state, torch.ones(3, 2), torch.tensor([True, False, True]))
    assert state.tolist() == [[1, 1], [0, 0], [1, 1]]
    assert state.data_ptr() == address


def test_over_rows_broadcasts_over_any_depth() -> None:
    """A mask of rows gets as many axes as the tensor it meets."""
    mask = torch.tensor([True, False])
    assert over_rows(mask, torch.zeros(2)).shape == (2,)
    assert over_rows(mask, torch.zeros(2, 3, 4)).shape == (2, 1, 1)
