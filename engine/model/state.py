"""The memory of a streaming model between frames: one tensor a layer, one row a slot.

The schema stands with the layers that use it; a layer finds its tensors by its own name. Every
tensor has the slots as its first axis and begins as zeros, so that resetting a row is zeroing it.
All changes are in place and keep the addresses: a captured CUDA graph goes on working.

This module does not know what the tensors mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Spec:
    """One tensor of a state: its name, and the shape and type of one row."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True, slots=True)
class RowState:
    """Named tensors [B, ...] with one row a slot.

    Attributes:
        tensors: name -> tensor; every first axis is `rows` long.
        rows: number of rows, B.
    """

    tensors: Mapping[str, Tensor]
    rows: int

    @classmethod
    def zeros(
        cls, specs: Iterable[Spec], rows: int, device: torch.device | str = "cpu"
    ) -> RowState:
        """Allocates a state for `rows` slots, all of them fresh."""
        tensors = {
            spec.name: torch.zeros(rows, *spec.shape, dtype=spec.dtype, device=device)
            for spec in specs
        }
        return cls(tensors, rows)

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def narrow(self, rows: int, first: int = 0) -> RowState:
        """Views `rows` rows from `first` on; what is written there is written here.

        Raises:
            ValueError: there are not that many rows.
        """
        if not (rows > 0 and first >= 0 and first + rows <= self.rows):
            raise ValueError(
                f"cannot view {rows} rows of a state that has {self.rows}, from row {first} on"
            )
        stop = first + rows
        return RowState({name: tensor[first:stop] for name, tensor in self.tensors.items()}, rows)

    def reset_rows(self, mask: Tensor) -> None:
        """Makes the rows fresh where `mask`, bool [B], is set; no other row is touched.

        The rows are filled, not multiplied by zero: a NaN does not survive.
        """
        for tensor in self.tensors.values():
            tensor.masked_fill_(over_rows(mask, tensor), 0)

    def export_row(self, row: int) -> dict[str, Tensor]:
        """Copies one row out, as name -> tensor without the row axis."""
        return {name: tensor[row].clone() for name, tensor in self.tensors.items()}

    def import_row(self, row: int, exported: Mapping[str, Tensor]) -> None:
        """Overwrites one row with what `export_row` gave, here or in another process.

        Raises:
            ValueError: a tensor is missing, unknown or of another shape; nothing was written.
        """
        self._check_row(exported)
        for name, tensor in self.tensors.items():
            tensor[row].copy_(exported[name])

    def _check_row(self, exported: Mapping[str, Tensor]) -> None:
        if odd := sorted(self.tensors.keys() ^ exported.keys()):
            raise ValueError(f"the row belongs to another model; missing or unknown: {odd}")
        for name, tensor in self.tensors.items():
            if exported[name].shape != tensor.shape[1:]:
                raise ValueError(
                    f"the row belongs to another model: {name} is {list(exported[name].shape)}, "
                    f"not {list(tensor.shape[1:])}"
                )


def over_rows(mask: Tensor, like: Tensor) -> Tensor:
    """Reshapes mask [B] so that it broadcasts over the rows of `like` [B, ...]."""
    return mask.view(-1, *(1,) * (like.dim() - 1))


def keep(state: Tensor, new: Tensor, live: Tensor) -> None:
    """Writes `new` [B, ...] over `state` in the rows that are live; idle rows stay frozen."""
    torch.where(over_rows(live, state), new, state, out=state)
