"""How each projection of the model is cut, as measured on an H100 (`tests/bench/gpu_kernels.py`).

Rules behind the numbers: 64 outputs fill the long side of the matrix instruction; a narrow
projection is split along its depth until there are as many blocks as multiprocessors; stages
are as many as shared memory holds beside the rows of the batch. Knows shapes, no weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Tile:
    """How one projection is cut.

    Attributes:
        outputs: outputs of one block.
        depth: inputs of one step of its loop.
        splits: shares of the depth, each a block of its own.
        stages: steps that are on their way from memory at a time.
        warps: warps of a block.
    """

    outputs: int
    depth: int
    splits: int = 1
    stages: int = 4
    warps: int = 4

    def fit(self, outputs: int, depth: int, value_bytes: int) -> Tile:
        """The largest tile, no larger than this, of which a weight [outputs, depth] is a multiple.

        Args:
            outputs: N.
            depth: K.
            value_bytes: of an input; the table is made for two, four take half the depth.
        """
        steps = math.gcd(self.depth * 2 // value_bytes, depth)
        return replace(
            self,
            outputs=math.gcd(self.outputs, outputs),
            depth=steps,
            splits=self.splits if depth // steps >= 2 * self.splits else 1,
        )


@dataclass(frozen=True, slots=True)
class TemporalTiles:
    """The temporal transformer's projections, and those that read its result."""

    packed: Tile
    attended: Tile
    gate: Tile
    down: Tile
    heads: Tile


@dataclass(frozen=True, slots=True)
class DepthTiles:
    """The depth transformer's projections."""

    packed: Tile
    attended: Tile
    gate: Tile
    down: Tile
    head: Tile


def temporal_tiles(rows: int, quantised: bool) -> TemporalTiles:
    """For a batch of `rows`, with plain or with fp8 weights."""
    few = rows <= 32 and not quantised
    wide = Tile(64, 128, stages=4 if few else 3)
    return TemporalTiles(
        packed=wide,
        attended=Tile(64, 128, splits=4, stages=3) if quantised else Tile(64, 128, splits=2),
        gate=Tile(64, 128, stages=3 if quantised or rows > 64 else 4),
        down=Tile(64, 128, splits=4, stages=3),
        heads=wide,
    )


def depth_tiles(rows: int) -> DepthTiles:
    """For a batch of `rows`."""
    narrow = Tile(16, 128, stages=6 if rows <= 64 else 4)
    return DepthTiles(
        packed=Tile(32, 128),
        attended=narrow,
        gate=Tile(32, 128) if rows <= 32 else Tile(32, 128, stages=3),
        down=Tile(64, 128, splits=4, stages=3),
        head=narrow,
    )
