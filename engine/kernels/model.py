"""The language model as a chain of fused kernels, over the same weights.

Built from a loaded `LanguageModel`, whose parameters it shares; with 8-bit weights it takes the
temporal layers over, and the plain model can no longer run them. A step is about 500 launches:
7 x 32 for the temporal layers (10 x 32 for many rows), 32 for each of the 8 depth steps, and a few
around them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.config import AGENT_CODEBOOKS, Format
from engine.device import Device
from engine.formats import Weight, quantise_weight
from engine.kernels.depth import DepthLayer, DepthStep, run_depth
from engine.kernels.embedding import embed
from engine.kernels.kv_write import Rotation
from engine.kernels.linear import Stream, Workspace, project_normed
from engine.kernels.sampler import DepthStart, Draw, sample
from engine.kernels.temporal import AttendPacked, DecodePages, TemporalLayer, run_temporal
from engine.kernels.tiles import depth_tiles, temporal_tiles
from engine.kernels.wide import run_wide
from engine.model.attention import rotary_angles
from engine.model.kv import DecodeAttend
from engine.model.layers import NORM_EPS
from engine.model.lm import Hidden, LanguageModel
from engine.model.sampling import SamplingRows
from engine.model.transformer import Attend
from engine.step import NextColumn

WIDE_ROWS = 64  # above it the library's products are faster than our own; see `wide.py`


class FusedModel:
    """The model's decode step and its prompt work, in kernels.

    Args:
        lm: the loaded model, on a CUDA device, `prepare`d.
        rows: the largest number of rows that will ever be given; more are refused.
        device: the card.
        weights: how to keep the temporal layers' weights; in 8 bits their plain form is freed.
    """

    def __init__(
        self, lm: LanguageModel, rows: int, device: Device, weights: Format = "bf16"
    ) -> None:
        self._lm = lm
        self._most_rows = rows
        self._device = device
        self._quantised = weights != "bf16"
        self._audio_table = _joined_tables(lm)
        self._layers = _temporal_layers(lm, weights)
        self._first_norm = lm.transformer.layers[0].norm1.alpha.view(-1)
        self._depth = tuple(_depth_step(lm, step) for step in range(AGENT_CODEBOOKS))
        widest = max(lm.config.dim, lm.config.text_card)
        self._workspace = Workspace.allocate(widest, rows, lm.text_linear.weight.device)

    def hidden(self, x: Tensor, attend: Attend) -> Tensor:
        """Temporal transformer and final norm: the same as `LanguageModel.hidden`.

        Args:
            x: [N, dim], embedded rows.
            attend: the attention over unpacked queries, keys and values.
        """
        heads = self._lm.config.heads

        def attend_packed(layer: int, packed: Tensor) -> Tensor:
            query, key, projected = packed.unflatten(-1, (3, heads, -1)).unbind(1)
            return attend(layer, query, key, projected).flatten(1).contiguous()

        return self._through_layers(x, attend_packed)

    def prompt(
        self, x: Tensor, pool: Tensor, scales: Tensor | None, pages: Tensor, start: int
    ) -> Tensor:
        """A piece of a prompt: every position is a row that sees the prompt's pages up to itself.

        Args:
            x: [T, dim], inputs at positions start .. start + T - 1.
            pool: [layers, pages, 2, H, S, D].
            scales: for 8-bit pages; see `DecodePages`.
            pages: int32 [n], the prompt's pages from its beginning.
            start: the piece's first position; the keys of those before are there.

        Returns:
            [T, dim], after the final norm.
        """
        config, size = self._lm.config, pool.shape[4]
        position = torch.arange(start, start + len(x), dtype=torch.int32, device=x.device)
        nothing = torch.zeros_like(position)
        cos, sin = rotary_angles(position, config.head_dim, config.rope_period)
        attend = DecodePages(
            pool=pool,
            scales=scales,
            sink_table=nothing[:, None],
            sink_length=nothing,
            live_table=pages.expand(len(x), -1).contiguous(),
            live_start=nothing,
            live_stop=position + 1,
            page_of=pages[(position // size).long()],
            slot_of=position % size,
            rotation=Rotation(cos, sin, cos, sin),
        )
        return self._through_layers(x, attend)

    def _check_rows(self, rows: int) -> None:
        """Refuses more rows than the scratch of split projections holds: it would be overrun."""
        if rows > self._most_rows:
            raise ValueError(f"{rows} rows, and the kernels were made for {self._most_rows}")

    def _through_layers(self, x: Tensor, attend: AttendPacked) -> Tensor:
        self._check_rows(len(x))
        value = x.contiguous().clone()
        if self._wide(len(x)):
            return run_wide(self._layers, value, self._first_norm, attend, NORM_EPS)
        squares = value.float().square().sum(-1)[None]
        stream = run_temporal(
            self._layers, Stream(value, value * self._first_norm, squares), attend, eps=NORM_EPS,
            tiles=temporal_tiles(len(x), self._quantised, self._device),
            workspace=self._workspace,
        )  # fmt: skip
        return self._lm.out_norm(stream.value)

    def _wide(self, rows: int) -> bool:
        """Whether the library's products serve so many rows; they take plain weights alone."""
        return rows > WIDE_ROWS and not self._quantised

    def next_column(
        self, column: Tensor, attend: DecodeAttend, sampling: SamplingRows, ks: tuple[int, int]
    ) -> NextColumn:
        """One tick of the language model.

        Args:
            column: int64 [B, 17], complete.
            attend: where the rows' keys lie.
            sampling: how they draw.
            ks: the largest text and audio top-k of any row.
        """
        rows = len(column)
        self._check_rows(rows)
        stream = embed(column, self._lm.text_emb.weight, self._audio_table, self._first_norm)
        pages = _decode_pages(attend)
        logits, projected = (self._wide_heads if self._wide(rows) else self._heads)(stream, pages)
        views = projected.view(rows, AGENT_CODEBOOKS, -1)
        return self._draw(logits, views, attend.rows.position + 1, sampling, ks)

    def _heads(self, stream: Stream, pages: DecodePages) -> tuple[Tensor, Tensor]:
        """Text logits [B, V] and all depth inputs [B, K * D] of a step's embedded columns."""
        rows, config, work = len(stream.value), self._lm.config, self._workspace
        tiles = temporal_tiles(rows, self._quantised, self._device)
        stream = run_temporal(
            self._layers, stream, pages, eps=NORM_EPS, tiles=tiles, workspace=work
        )
        logits = stream.value.new_empty(rows, config.text_card)
        projected = stream.value.new_empty(rows, AGENT_CODEBOOKS * config.depth_dim)
        text_head, depth_in = Weight(self._lm.text_linear.weight), Weight(self._lm.joint_depth_in)
        project_normed(stream, text_head, logits, NORM_EPS, tiles.heads, work)
        project_normed(stream, depth_in, projected, NORM_EPS, tiles.heads, work)
        return logits, projected

    def _wide_heads(self, stream: Stream, pages: DecodePages) -> tuple[Tensor, Tensor]:
        """The same for many rows."""
        state = run_wide(self._layers, stream.value, self._first_norm, pages, NORM_EPS)
        return (
            functional.linear(state, self._lm.text_linear.weight),
            functional.linear(state, self._lm.joint_depth_in),
        )

    def first_column(
        self, last: Hidden, position: Tensor, sampling: SamplingRows, ks: tuple[int, int]
    ) -> NextColumn:
        """Draws the first text token and the first agent code [1, 1] after a prompt.

        Args:
            last: the prompt's last position, one row.
            position: int [1], where the tokens will stand.
            sampling: how the row draws.
            ks: the largest text and audio top-k of any row.
        """
        first = functional.linear(last.state, self._lm.depformer_in[0].weight)
        return self._draw(last.text_logits, first[:, None], position, sampling, ks)

    def _draw(
        self,
        logits: Tensor,
        projected: Tensor,
        position: Tensor,
        sampling: SamplingRows,
        ks: tuple[int, int],
    ) -> NextColumn:
        """Draws text from `logits` [B, V], then the codes that start from `projected` [B, K, D]."""
        rows, count, _ = projected.shape
        text = torch.empty(rows, dtype=torch.int64, device=logits.device)
        broken = torch.zeros(rows, dtype=torch.bool, device=logits.device)
        seed, step = sampling.seed, self._depth[0]
        start = DepthStart(projected[:, 0], step.table, step.layers[0].norm_in)
        draw = Draw(sampling.text_temperature, sampling.text_top_k, seed, position, ks[0])
        stream = sample(logits, draw, 0, text, broken, start)
        draw = Draw(sampling.audio_temperature, sampling.audio_top_k, seed, position, ks[1])
        agent = run_depth(
            self._depth[:count], projected, stream, draw, broken,
            heads=self._lm.config.depth_heads, eps=NORM_EPS,
            tiles=depth_tiles(rows, self._device), workspace=self._workspace,
        )  # fmt: skip
        return NextColumn(text, agent, broken)


def _decode_pages(attend: DecodeAttend) -> DecodePages:
    """The kernels' view of where the rows stand; an idle row sees nothing and costs no reads."""
    rows, live = attend.rows, attend.live
    nothing = torch.zeros_like(rows.sink_length)
    (cos_live, sin_live), (cos_sink, sin_sink) = attend.angles, attend.sink_angles
    return DecodePages(
        pool=attend.pool,
        scales=attend.scales,
        sink_table=rows.sink_table,
        sink_length=torch.where(live, rows.sink_length, nothing),
        live_table=rows.live_table,
        live_start=torch.where(live, attend.live_start, nothing),
        live_stop=torch.where(live, attend.live_stop, nothing),
        page_of=attend.page.int(),
        slot_of=attend.place.int(),
        rotation=Rotation(cos_live, sin_live, cos_sink, sin_sink),
    )


def _joined_tables(lm: LanguageModel) -> Tensor:
    """The audio embeddings side by side, [16, rows, dim]; the parameters become views of it."""
    joint = torch.stack([table.weight.detach() for table in lm.emb])
    for table, view in zip(lm.emb, joint, strict=True):
        table.weight = nn.Parameter(view, requires_grad=False)
    return joint


def _temporal_layers(lm: LanguageModel, weights: Format) -> tuple[TemporalLayer, ...]:
    layers = list(lm.transformer.layers)
    norms = [layer.norm1.alpha.view(-1) for layer in layers[1:]] + [lm.out_norm.alpha.view(-1)]
    made = []
    for layer, norm_next in zip(layers, norms, strict=True):
        attention, gating = layer.self_attn, layer.gating
        packed = _weight(attention.in_proj_weight, weights)
        attended = _weight(attention.out_proj.weight, weights)
        gate = _weight(gating.linear_in.weight, weights)
        down = _weight(gating.linear_out.weight, weights)
        norm_gate = layer.norm2.alpha.view(-1)
        made.append(TemporalLayer(packed, attended, norm_gate, gate, down, norm_next))
    return tuple(made)


def _weight(parameter: nn.Parameter, kind: Format) -> Weight:
    """The parameter's values; in 8 bits, the plain ones are freed at once."""
    if kind == "bf16":
        return Weight(parameter.detach())
    weight = quantise_weight(parameter.detach(), kind)
    parameter.data = parameter.data.new_empty(0)
    return weight


def _depth_step(lm: LanguageModel, step: int) -> DepthStep:
    table = lm.depformer_text_emb if step == 0 else lm.depformer_emb[step - 1]
    layers = []
    for layer in lm.depformer.layers:
        attention, gating = layer.self_attn, layer.gating[step]
        packed = attention.in_proj_weight.detach().unflatten(0, (attention.steps, -1))[step]
        attended = attention.out_proj.weight.detach().unflatten(0, (attention.steps, -1))[step]
        layers.append(
            DepthLayer(
                norm_in=layer.norm1.alpha.view(-1),
                packed=Weight(packed),
                attended=Weight(attended),
                norm_gate=layer.norm2.alpha.view(-1),
                gate=Weight(gating.linear_in.weight.detach()),
                down=Weight(gating.linear_out.weight.detach()),
            )
        )
    return DepthStep(table.weight.detach(), tuple(layers), Weight(lm.linears[step].weight.detach()))
