"""How each projection of the model is cut, for a batch and a card.

The numbers were measured on an H100 and an H200 (`tests/bench/gpu_tiles.py`); on a card with less
shared memory a block keeps fewer stages on their way. Rules behind them: 64 outputs fill the long
side of the matrix instruction; a narrow projection is split along its depth until there are as many
blocks as multiprocessors. Knows shapes, no weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from engine.device import Device

MOST_ROWS = 128  # of one block: more would not fit its registers
SPARE_BYTES = 2048  # of shared memory: for barriers and sums over threads


@dataclass(frozen=True, slots=True)
class Tile:
    """How one projection is cut.

    Attributes:
        outputs: outputs of one block.
        depth: inputs of one step of its loop.
        splits: shares of the depth, each a block of its own.
        stages: steps that are on their way from memory at a time.
        warps: warps of a block.
        rows: rows of the batch in one block; 0: as many as there are, up to 128.
    """

    outputs: int
    depth: int
    splits: int = 1
    stages: int = 4
    warps: int = 4
    rows: int = 0

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

    def on(self, device: Device, rows: int, weight_bytes: int, gated: bool = False) -> Tile:
        """This tile with as many stages as the card's shared memory holds.

        Args:
            device: the card.
            rows: rows of one block.
            weight_bytes: of one weight; an input has two.
            gated: two weights are read side by side.
        """
        tile = self
        while tile.shared(device, rows, weight_bytes, gated) > device.shared_bytes - SPARE_BYTES:
            tile = (
                replace(tile, stages=tile.stages - 1)
                if tile.stages > 2
                else replace(tile, depth=tile.depth // 2)
            )
        return tile

    def shared(self, device: Device, rows: int, weight_bytes: int, gated: bool) -> int:
        """Bytes of shared memory that the loop's stages take."""
        weights = self.outputs * (2 if gated else 1) * weight_bytes
        buffers = self.stages if device.multiplies_from_shared else self.stages - 1
        return buffers * self.depth * (weights + 2 * rows)


def block_of_rows(rows: int) -> int:
    """Rows of one block: the matrix instruction wants at least 16, registers at most 128."""
    return min(MOST_ROWS, max(16, 1 << (rows - 1).bit_length()))


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


def temporal_tiles(rows: int, quantised: bool, device: Device) -> TemporalTiles:
    """For a batch of `rows`, with plain or with 8-bit weights."""
    few = rows <= 32 and not quantised
    block, size = block_of_rows(rows), 1 if quantised else 2
    wide = Tile(64, 128, stages=4 if few else 3)
    attended = Tile(64, 128, splits=4, stages=3) if quantised else Tile(64, 128, splits=2)
    gate = Tile(64, 128, stages=3) if quantised or rows <= 32 else Tile(64, 64)
    return TemporalTiles(
        packed=wide.on(device, block, size),
        attended=attended.on(device, block, size),
        gate=gate.on(device, block, size, gated=True),
        down=Tile(64, 128, splits=4, stages=3).on(device, block, size),
        heads=Tile(64, 128, stages=4 if rows <= 32 else 3).on(device, block, 2),
    )


def depth_tiles(rows: int, device: Device) -> DepthTiles:
    """For a batch of `rows`.

    The weights are small enough to stay in the second-level cache: more rows are taken in blocks of
    32, of which many run side by side.
    """
    if rows <= 16:
        narrow = Tile(16, 128, stages=6).on(device, 16, 2)
        return DepthTiles(
            packed=Tile(32, 128).on(device, 16, 2),
            attended=narrow,
            gate=Tile(32, 128).on(device, 16, 2, gated=True),
            down=Tile(64, 128, splits=4, stages=4).on(device, 16, 2),
            head=narrow,
        )
    many = rows > 96
    gate = Tile(64, 64, stages=5, rows=64) if many else Tile(64, 128, stages=4, rows=32)
    return DepthTiles(
        packed=Tile(64, 128, stages=4, rows=32).on(device, 32, 2),
        attended=Tile(64, 128, stages=5, rows=32).on(device, 32, 2),
        gate=gate.on(device, gate.rows, 2, gated=True),
        down=Tile(64, 128, splits=1 if many else 4, stages=4, rows=32).on(device, 32, 2),
        head=Tile(64, 128, stages=4, rows=64 if many else 32).on(device, 64 if many else 32, 2),
    )
