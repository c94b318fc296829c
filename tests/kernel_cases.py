"""Checks of the kernels against their definitions, at any size and on any device.

The same checks run small through Triton's interpreter on a CPU and at full size on a GPU. Inputs
are fresh random numbers in every run; whatever a kernel must write is poisoned before it runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.config import Format
from engine.device import typical
from engine.formats import SCALE, Weight, dequantised, quantise_weight, to_int8
from engine.kernels import reference
from engine.kernels.attention import decode_attention
from engine.kernels.depth import attend_steps
from engine.kernels.embedding import embed
from engine.kernels.kv_write import Rotation, write_kv
from engine.kernels.linear import (
    Stream,
    Workspace,
    project,
    project_gated,
    project_normed,
    project_onto,
)
from engine.kernels.model import FusedModel
from engine.kernels.sampler import DepthStart, Draw, sample
from engine.kernels.tiles import Tile
from engine.kernels.wide import add_and_norm, gate
from engine.model.kv import PrefillAttend, new_pool, position_scales
from engine.model.lm import LanguageModel

EPS = 1e-8
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 8e-3}


@dataclass(frozen=True)
class On:
    """Where a check runs and in which type."""

    device: str
    dtype: torch.dtype

    def randn(self, *shape: int, scale: float = 1.0) -> torch.Tensor:
        """Fresh normal numbers."""
        return (torch.randn(*shape, device=self.device) * scale).to(self.dtype)

    def poison(self, *shape: int) -> torch.Tensor:
        """Memory that no correct result can contain."""
        return torch.full(shape, float("nan"), device=self.device, dtype=self.dtype)

    def same(self, result: torch.Tensor, expected: torch.Tensor) -> None:
        """Asserts equality; the interpreter truncates to bf16, so there it asserts closeness."""
        if self.device == "cpu" and self.dtype == torch.bfloat16:
            self.close(result, expected)
        else:
            assert torch.equal(result, expected)

    def close(self, result: torch.Tensor, expected: torch.Tensor, slack: float = 1.0) -> None:
        """Asserts ||result - expected|| <= tolerance * ||expected||; NaN never passes."""
        difference = (result.double() - expected.double()).norm()
        error = float(difference / expected.double().norm())
        assert error <= slack * TOLERANCE[self.dtype], f"relative error {error:.2e}"


def guarded(table: torch.Tensor, page: int) -> torch.Tensor:
    """A copy of a page table in memory where everything around it names `page`."""
    around = torch.full((table.numel() + 128,), page, dtype=table.dtype, device=table.device)
    inside = around[64 : 64 + table.numel()].view(table.shape)
    return inside.copy_(table)


def check_attention(on: On, heads: int, dim: int, slots: int, window: int, kind: Format) -> None:
    """Five rows: sink and wrapped ring, no sink, idle, sink alone, one single position.

    The first row's window begins and ends in one page. Behind the tables stands a page full of NaN.
    """
    ring = -(-window // slots)
    pages = torch.randperm(5 * ring + 7, device=on.device).int()
    nobodys = int(pages[-1])
    live_table = guarded(pages[: 5 * ring].view(5, ring), nobodys)
    sink_pages = pages[5 * ring :]
    sink_table = sink_pages[[0, 1, 2, 0, 1, 2, 6, 6, 6, 0, 1, 2, 3, 4, 5]].view(5, 3)
    sink_table = guarded(sink_table, nobodys)
    numbers = {"dtype": torch.int32, "device": on.device}
    sink_length = torch.tensor([2 * slots + 3, 0, 0, 2 * slots, 0], **numbers)
    live_start = torch.tensor([window + slots // 2, 5, 0, 0, 7], **numbers)
    live_stop = torch.tensor([2 * window + slots // 2, window, 0, 0, 8], **numbers)
    query_live, query_sink = on.randn(5, heads, dim), on.randn(5, heads, dim)
    pool = on.randn(len(pages), 2, heads, slots, dim)
    pool[nobodys] = float("nan")
    seen = pool
    scales = None
    if kind == "int8":
        pool, scales = to_int8(pool)
        seen = pool.double() * scales.double()[..., None]
        assert bool(scales[nobodys].isnan().all())
    if kind == "fp8":
        scales = torch.rand(2, heads, device=on.device) * 0.02 + 0.01
        wide = scales[None, :, :, None, None]
        pool = (pool / wide).clamp(-448, 448).to(torch.float8_e4m3fn)
        seen = pool.double() * wide
    tables = (sink_table, sink_length, live_table, live_start, live_stop)
    expected = reference.decode_attention(
        query_live.double(), query_sink.double(), seen.double(), *tables
    )
    if kind == "bf16":  # what nobody may see is poisoned, as an ended call may leave it
        pool[sink_table[0, 2], :, :, 3:] = float("nan")
        alone = pool[live_table[4, 0], :, :, 7].clone()
        pool[live_table[4]] = float("nan")
        pool[live_table[4, 0], :, :, 7] = alone
    result = decode_attention(query_live, query_sink, pool, *tables, scales)
    on.close(result, expected)
    assert not result[2].any()


def check_write(on: On, heads: int, dim: int, slots: int) -> None:
    """Writes exactly one slot of each row's page; queries are turned twice."""
    rows = 3
    packed = on.randn(rows, 3 * heads * dim)
    live, sink = (torch.rand(rows, dim // 2, device=on.device) * 6.3 for _ in range(2))
    rotation = Rotation(live.cos(), live.sin(), sink.cos(), sink.sin())
    pool = on.poison(9, 2, heads, slots, dim)
    page = torch.tensor([4, 7, 0], dtype=torch.int32, device=on.device)
    slot = torch.tensor([3, slots - 1, 0], dtype=torch.int32, device=on.device)
    query_live, query_sink = write_kv(packed, rotation, pool, page, slot, heads)
    query, key, value = packed.double().view(rows, 3, heads, dim).unbind(1)
    on.close(query_live, reference.rotate(query, rotation.cos_live, rotation.sin_live))
    on.close(query_sink, reference.rotate(query, rotation.cos_sink, rotation.sin_sink))
    written = pool[page.long(), :, :, slot.long()]  # [B, 2, H, D]
    on.close(written[:, 0], reference.rotate(key, rotation.cos_live, rotation.sin_live))
    on.close(written[:, 1], value)
    assert int((~pool.isnan()).sum()) == rows * 2 * heads * dim


def check_write_quantised(on: On, heads: int, dim: int, slots: int) -> None:
    """Stored values are the nearest e4m3 ones; what is out of range saturates; NaN stays."""
    packed = on.randn(2, 3 * heads * dim)
    packed[1, -1] = float("nan")
    packed[1, -2] = 1e4
    still = torch.zeros(2, dim // 2, device=on.device)
    rotation = Rotation(still + 1, still, still + 1, still)
    scales = torch.rand(2, heads, device=on.device) * 0.02 + 0.01
    pool = torch.zeros(3, 2, heads, slots, dim, device=on.device, dtype=torch.float8_e4m3fn)
    page = torch.tensor([2, 1], dtype=torch.int32, device=on.device)
    slot = torch.tensor([1, 0], dtype=torch.int32, device=on.device)
    write_kv(packed, rotation, pool, page, slot, heads, scales)
    written = pool[page.long(), :, :, slot.long()].float()
    plain = packed.view(2, 3, heads, dim)[:, 1:].float() / scales[..., None]
    expected = plain.clamp(-448, 448).to(torch.float8_e4m3fn).float()
    assert float(written[1, 1, -1, -2]) == 448.0
    assert bool(written[1, 1, -1, -1].isnan())
    assert torch.equal(written.nan_to_num(), expected.nan_to_num())


def check_write_int8(on: On, heads: int, dim: int, slots: int) -> None:
    """Each vector of each position has its own scale; a NaN makes it NaN, and no neighbour's."""
    packed = on.randn(2, 3 * heads * dim)
    packed[1, -1] = float("nan")
    turned = torch.rand(2, dim // 2, device=on.device) * 6.3
    rotation = Rotation(turned.cos(), turned.sin(), turned.cos(), turned.sin())
    pool = torch.zeros(3, 2, heads, slots, dim, device=on.device, dtype=torch.int8)
    scales = torch.zeros(pool.shape[:-1], device=on.device, dtype=SCALE)
    page = torch.tensor([2, 1], dtype=torch.int32, device=on.device)
    slot = torch.tensor([1, 0], dtype=torch.int32, device=on.device)
    write_kv(packed, rotation, pool, page, slot, heads, scales)
    place = (page.long(), slice(None), slice(None), slot.long())
    _, key, value = packed.float().view(2, 3, heads, dim).unbind(1)
    plain = torch.stack([reference.rotate(key, turned.cos(), turned.sin()), value], dim=1)
    worth = scales[place].float()
    assert worth.isnan().sum() == 1
    assert bool(worth[1, 1, -1].isnan())
    error = pool[place].float() * worth[..., None] - plain
    steps = 1.01 if on.device == "cpu" else 0.51  # the interpreter truncates the scale to bf16
    assert bool((error.abs() <= steps * worth[..., None])[~plain.isnan().any(-1)].all())
    assert int(scales.count_nonzero()) == 2 * 2 * heads


def check_wide(on: On, rows: int, width: int) -> None:
    """The two kernels between the library's products."""
    value, added, norm = on.randn(rows, width), on.randn(rows, width), on.randn(width)
    before = value.clone()
    normed = add_and_norm(value, added, norm, EPS)
    on.close(value, before.double() + added.double())
    on.close(normed, reference.rmsnorm(value.double(), norm.double(), EPS))
    on.close(add_and_norm(value, None, norm, EPS), normed)
    halves = on.randn(rows, 2 * width)
    a, b = halves.double().chunk(2, dim=-1)
    on.close(gate(halves), torch.nn.functional.silu(a) * b)


def check_projections(
    on: On, rows: int, outputs: int, depth: int, tile: Tile, kind: Format
) -> None:
    """All four forms, from one stream."""
    work = Workspace.allocate(2 * outputs, rows, on.device)
    x, norm = on.randn(rows, depth), on.randn(depth)
    parts = x.float().view(rows, 2, -1).square().sum(-1).T.contiguous()
    stream = Stream(x, x * norm, parts)
    normed = reference.rmsnorm(x.double(), norm.double(), EPS)

    def weight(wide: int, deep: int) -> tuple[Weight, torch.Tensor]:
        plain = Weight(on.randn(wide, deep, scale=deep**-0.5))
        made = plain if kind == "bf16" else quantise_weight(plain.matrix, kind)
        return made, dequantised(made).double()

    made, wide = weight(outputs, depth)
    out = on.poison(rows, outputs)
    project(x, made, out, tile, work)
    on.close(out, x.double() @ wide.T)
    out = on.poison(rows, outputs)
    project_normed(stream, made, out, EPS, tile, work)
    on.close(out, normed @ wide.T)

    made, wide = weight(2 * outputs, depth)
    out = on.poison(rows, outputs)
    project_gated(stream, made, out, EPS, tile, work)
    on.close(out, reference.gated(normed, wide), slack=2)

    made, wide = weight(outputs, depth)
    before, following = on.randn(rows, outputs), on.randn(outputs)
    onto = Stream(before.clone(), on.poison(rows, outputs), on.poison(1, rows).float())
    after = project_onto(x, made, onto, following, tile, work)
    expected = before.double() + x.double() @ wide.T
    on.close(after.value, expected)
    on.close(after.weighted, expected * following.double())
    on.close(after.squares.sum(0), expected.square().sum(-1), slack=2)
    assert int(work.arrivals.sum()) == 0


def check_embedding(on: On, dim: int, streams: int) -> None:
    """Rounded sum in order, zero vectors, and the first norm's inputs."""
    tokens = torch.randint(-1, 9, (4, streams + 1), device=on.device)
    text, audio, norm = on.randn(11, dim), on.randn(streams, 9, dim), on.randn(dim)
    stream = embed(tokens, text, audio, norm)
    expected = reference.embed(tokens, text, audio)
    on.same(stream.value, expected)
    on.close(stream.weighted, expected * norm)
    on.close(stream.squares.sum(0), expected.float().square().sum(-1))


def check_depth_attention(on: On, rows: int, heads: int, dim: int) -> None:
    """Every step sees itself and the steps before, nothing after."""
    packed = on.randn(8, rows, 3 * heads * dim)
    for step in (0, 3, 7):
        seen = packed.clone()
        seen[step + 1 :] = float("nan")
        expected = reference.attend_steps(packed.double(), step, heads)
        on.close(attend_steps(seen, step, heads), expected)


def check_sampler(
    on: On, vocabulary: int, rows: int, most: int, clocks: torch.Tensor, draw: Draw
) -> None:
    """Same tokens as the definition, with ties; NaN is reported for its row alone."""
    logits = on.randn(rows, vocabulary, scale=3.0)
    logits[0] = logits[0].round()  # full of ties
    chosen = torch.full((rows, 2), -9, device=on.device)
    broken = torch.zeros(rows, dtype=torch.bool, device=on.device)
    start = DepthStart(on.randn(rows, 3, 64)[:, 1], on.randn(vocabulary, 64), on.randn(64))
    stream = sample(logits, draw, 3, chosen[:, 1], broken, start)
    expected = reference.sample(logits, draw.temperature, draw.top_k, clocks)
    assert chosen[:, 1].tolist() == expected.tolist()
    assert chosen[:, 0].tolist() == [-9] * rows
    assert not broken.any()
    assert stream is not None
    value = start.projected + start.table[expected]
    on.same(stream.value, value)
    on.close(stream.weighted, value * start.norm_weight, slack=2)  # rounded once, here twice
    on.close(stream.squares[0], value.float().square().sum(-1))

    logits[1, 5] = float("nan")
    sample(logits, draw, 3, chosen[:, 1], broken)
    assert broken.tolist() == [row == 1 for row in range(rows)]
    assert chosen[2:, 1].tolist() == expected[2:].tolist()


def check_prompt(lm: LanguageModel, positions: int, cut: int, kind: Format) -> None:
    """A prompt in two pieces over scattered pages: hidden states and what the pages hold.

    In 8 bits a number at the edge of two steps may fall the other way, and its position then lies
    that much further off: most positions are held to rounding, all to a step.
    """
    sizes, size = lm.config, 4
    like = lm.text_linear.weight
    x = torch.randn(positions, sizes.dim, device=like.device).to(like)
    count = -(-positions // size)
    pages = torch.randperm(count, device=like.device).int() + 1
    plain_pool, pool = (new_pool(sizes, 1 + count, size, like, kind) for _ in range(2))
    plain_scales = scales = None
    if kind == "fp8":
        scales = torch.full((sizes.layers, 2, sizes.heads), 0.05, device=like.device)
        plain_scales = scales
    if kind == "int8":
        plain_scales, scales = position_scales(plain_pool), position_scales(pool)
    fused = FusedModel(lm, positions, typical((9, 0)))
    for start, stop in ((0, cut), (cut, positions)):
        attend = PrefillAttend(sizes, plain_pool, pages, start, stop, plain_scales)
        expected = lm.hidden(x[start:stop], attend)
        result = fused.prompt(x[start:stop], pool, scales, pages, start)
        apart = (result - expected).norm(dim=-1) / expected.norm(dim=-1)
        assert float(apart.median()) < (1e-3 if kind == "bf16" else 0.01)
        assert float(apart.max()) < (1e-3 if kind == "bf16" else 0.1)
    rounding = {"bf16": (1e-3, 1e-3), "fp8": (0.13, 5e-3), "int8": (0.0, 1.01)}[kind]
    found, wanted = pool.float()[:, 1:], plain_pool.float()[:, 1:]
    far = (found - wanted).abs() > rounding[0] * wanted.abs() + rounding[1]
    assert float(far.float().mean()) < (1e-9 if kind == "bf16" else 0.05)
