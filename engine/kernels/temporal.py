"""The temporal transformer over a batch of rows: seven kernels a layer.

The rows are either sessions at one position each or the positions of a prompt; the attention that
is handed in knows which. Floor of a decode step: 13.15 GB of weights, and 512 KiB of keys and
values (bf16) for each visible position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from engine.formats import Weight
from engine.kernels.attention import decode_attention
from engine.kernels.kv_write import Rotation, write_kv
from engine.kernels.linear import Stream, Workspace, project_gated, project_normed, project_onto
from engine.kernels.tiles import TemporalTiles


@dataclass(frozen=True, slots=True)
class TemporalLayer:
    """One layer's weights.

    Attributes:
        packed: [3 E, E], queries, keys, values.
        attended: [E, E], out of the attention.
        norm_gate: [E], before the gate.
        gate: [2 F, E].
        down: [E, F].
        norm_next: [E], of the next layer, or the transformer's last norm.
    """

    packed: Weight
    attended: Weight
    norm_gate: torch.Tensor
    gate: Weight
    down: Weight
    norm_next: torch.Tensor


class AttendPacked(Protocol):
    """Stores one layer's new keys and values and attends to what is visible."""

    def __call__(self, layer: int, packed: torch.Tensor) -> torch.Tensor:
        """[N, 3 E], queries, keys and values -> [N, E]."""
        ...


@dataclass(frozen=True, slots=True)
class DecodePages:
    """One new position in each row of a batch; see `decode_attention` and `write_kv`.

    Attributes:
        pool: [layers, pages, 2, H, S, D].
        scales: for 8-bit pages: fp8: float32 [layers, 2, H], int8: [layers, pages, 2, H, S].
        sink_table: int32 [B, any].
        sink_length: int32 [B].
        live_table: int32 [B, ring].
        live_start: int32 [B].
        live_stop: int32 [B].
        page_of: int32 [B], where each row writes.
        slot_of: int32 [B], and in which slot of the page.
        rotation: this tick's angles.
    """

    pool: torch.Tensor
    scales: torch.Tensor | None
    sink_table: torch.Tensor
    sink_length: torch.Tensor
    live_table: torch.Tensor
    live_start: torch.Tensor
    live_stop: torch.Tensor
    page_of: torch.Tensor
    slot_of: torch.Tensor
    rotation: Rotation

    def __call__(self, layer: int, packed: torch.Tensor) -> torch.Tensor:
        """[B, 3 E] -> [B, E]."""
        pages = self.pool[layer]
        scales = self.scales[layer] if self.scales is not None else None
        query_live, query_sink = write_kv(
            packed, self.rotation, pages, self.page_of, self.slot_of, pages.shape[2], scales
        )
        attended = decode_attention(
            query_live, query_sink, pages, self.sink_table, self.sink_length,
            self.live_table, self.live_start, self.live_stop, scales,
        )  # fmt: skip
        return attended.flatten(1)


def run_temporal(
    layers: tuple[TemporalLayer, ...],
    stream: Stream,
    attend: AttendPacked,
    *,
    eps: float,
    tiles: TemporalTiles,
    workspace: Workspace,
) -> Stream:
    """Takes the rows through all layers.

    Args:
        layers: the layers.
        stream: the summed embeddings, prepared for the first norm.
        attend: the attention.
        eps: of the norms.
        tiles: how each projection is cut.
        workspace: scratch for split projections.

    Returns:
        The stream, prepared for the last norm.
    """
    rows, width = stream.value.shape
    packed = stream.value.new_empty(rows, 3 * width)
    hidden = stream.value.new_empty(rows, layers[0].down.matrix.shape[1])
    for index, layer in enumerate(layers):
        project_normed(stream, layer.packed, packed, eps, tiles.packed, workspace)
        stream = project_onto(
            attend(index, packed), layer.attended, stream, layer.norm_gate,
            tiles.attended, workspace,
        )  # fmt: skip
        project_gated(stream, layer.gate, hidden, eps, tiles.gate, workspace)
        stream = project_onto(hidden, layer.down, stream, layer.norm_next, tiles.down, workspace)
    return stream
