"""The temporal transformer for one position of each row: seven kernels a layer.

Floor: 13.15 GB of weights and 512 KiB of keys and values (bf16) for each visible position.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.kernels.attention import decode_attention
from engine.kernels.kv_write import Rotation, write_kv
from engine.kernels.linear import Stream, Workspace, project_gated, project_normed, project_onto
from engine.kernels.quantise import Weight
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


@dataclass(frozen=True, slots=True)
class Visible:
    """What each row sees and where it writes; see `decode_attention` and `write_kv`."""

    sink_table: torch.Tensor
    sink_length: torch.Tensor
    live_table: torch.Tensor
    live_start: torch.Tensor
    live_stop: torch.Tensor
    page_of: torch.Tensor
    slot_of: torch.Tensor
    rotation: Rotation


def run_temporal(
    layers: tuple[TemporalLayer, ...],
    stream: Stream,
    pool: torch.Tensor,
    visible: Visible,
    scales: torch.Tensor | None,
    *,
    heads: int,
    eps: float,
    tiles: TemporalTiles,
    workspace: Workspace,
) -> Stream:
    """Advances every row by one position.

    Args:
        layers: the layers.
        stream: the summed embeddings, prepared for the first norm.
        pool: [layers, pages, 2, H, S, D]; this position is written.
        visible: pages and lengths of this tick.
        scales: float32 [layers, 2, H] for fp8 pages.
        heads: H.
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
        scale = scales[index] if scales is not None else None
        project_normed(stream, layer.packed, packed, eps, tiles.packed, workspace)
        query_live, query_sink = write_kv(
            packed, visible.rotation, pool[index], visible.page_of, visible.slot_of, heads, scale
        )
        attended = decode_attention(
            query_live, query_sink, pool[index], visible.sink_table, visible.sink_length,
            visible.live_table, visible.live_start, visible.live_stop, scale,
        )  # fmt: skip
        stream = project_onto(
            attended.view(rows, width), layer.attended, stream, layer.norm_gate,
            tiles.attended, workspace,
        )  # fmt: skip
        project_gated(stream, layer.gate, hidden, eps, tiles.gate, workspace)
        stream = project_onto(hidden, layer.down, stream, layer.norm_next, tiles.down, workspace)
    return stream
