"""Attention over pages against the plain formula in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from engine.model.attention import (
    decode_attention,
    prefill_attention,
    ring_visible,
    rotary_angles,
    rotate,
)

B, H, S, D = 3, 2, 4, 8
PAGES = 20


def plain(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """softmax(q k / sqrt(D)) v in float64: [H, D] over [H, K, D]."""
    score = torch.einsum("hd,hkd->hk", q.double(), keys.double()) / math.sqrt(q.shape[-1])
    return torch.einsum("hk,hkd->hd", torch.softmax(score, -1), values.double())


def random(*shape: int, seed: int) -> Tensor:
    """Seeded normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_rotation_turns_interleaved_pairs() -> None:
    """A pair at position p turns by p * period^(-2i/D), as complex numbers do."""
    x = random(3, H, D, seed=0)
    position = torch.tensor([0, 5, 4000])
    turned = rotate(x, rotary_angles(position, D, 10_000.0))
    rate = 10_000.0 ** (-2 * torch.arange(D // 2).double() / D)
    angle = position[:, None].double() * rate
    expected = torch.view_as_complex(x.double().unflatten(-1, (-1, 2))) * torch.polar(
        torch.ones_like(angle), angle
    ).unsqueeze(1)
    torch.testing.assert_close(
        turned.double(), torch.view_as_real(expected).flatten(-2), rtol=0, atol=2e-3
    )
    torch.testing.assert_close(turned[:2].double(), torch.view_as_real(expected).flatten(-2)[:2],
                               rtol=0, atol=1e-5)  # fmt: skip
    assert torch.equal(turned[0], x[0])


def test_score_depends_on_the_distance_alone() -> None:
    """Query and key moved together give the same product."""
    q, k = random(1, 1, D, seed=1), random(1, 1, D, seed=2)

    def score(at: int, distance: int) -> float:
        angles = [rotary_angles(torch.tensor([p]), D, 100.0) for p in (at, at - distance)]
        return float((rotate(q, angles[0]) * rotate(k, angles[1])).sum())

    assert score(7, 7) == pytest.approx(score(900, 7), abs=1e-3)
    assert score(7, 7) != pytest.approx(score(900, 8), abs=1e-2)


def test_ring_shows_the_newest_lap() -> None:
    """Stop 11 in 8 places: 3..10 lie there; from start 5 on they are visible."""
    visible = ring_visible(torch.tensor([5, 0, 3]), torch.tensor([11, 3, 3]), 8)
    assert visible[0].tolist() == [True, True, True, False, False, True, True, True]
    assert visible[1].tolist() == [True, True, True, False, False, False, False, False]
    assert not visible[2].any()


def case(sink: list[int], start: list[int], stop: list[int], seed: int = 3) -> dict[str, Tensor]:
    """Random pages full of NaN, with numbers only where a row may look."""
    tables = torch.randperm(PAGES - 1, generator=torch.Generator().manual_seed(seed)) + 1
    sink_table, live_table = tables[:6].view(B, 2), tables[6:18].view(B, 4)
    kv = torch.full((PAGES, 2, H, S, D), torch.nan)
    for row in range(B):
        for position in range(sink[row]):
            page = sink_table[row, position // S]
            kv[page, :, :, position % S] = random(2, H, D, seed=100 * row + position)
        for offset in range(start[row], stop[row]):
            page = live_table[row, offset // S % 4]
            kv[page, :, :, offset % S] = random(2, H, D, seed=1000 + 100 * row + offset)
    return {
        "q_live": random(B, H, D, seed=seed + 1),
        "q_sink": random(B, H, D, seed=seed + 2),
        "kv_layer": kv,
        "sink_table": sink_table.int(),
        "sink_length": torch.tensor(sink, dtype=torch.int32),
        "live_table": live_table.int(),
        "live_start": torch.tensor(start, dtype=torch.int32),
        "live_stop": torch.tensor(stop, dtype=torch.int32),
    }


def visible_keys(given: dict[str, Tensor], row: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sink entries, live entries: [2, H, K, D] each, and how many sink entries."""
    kv = given["kv_layer"]
    sink = [
        kv[given["sink_table"][row, position // S], :, :, position % S]
        for position in range(int(given["sink_length"][row]))
    ]
    live = [
        kv[given["live_table"][row, offset // S % 4], :, :, offset % S]
        for offset in range(int(given["live_start"][row]), int(given["live_stop"][row]))
    ]
    return torch.stack(sink + live, dim=2), torch.tensor(len(sink)), torch.tensor(len(live))


@pytest.mark.parametrize(
    ("sink", "start", "stop"),
    [([5, 8, 1], [0, 3, 11], [1, 9, 20]), ([3, 3, 3], [0, 0, 40], [16, 13, 56])],
)
def test_two_queries_over_sink_and_window(
    sink: list[int], start: list[int], stop: list[int]
) -> None:
    """Rows of different lengths; stale NaN beside the visible keys does no harm."""
    given = case(sink, start, stop)
    out = decode_attention(**given)
    for row in range(B):
        entries, sinks, _ = visible_keys(given, row)
        count = int(sinks)
        # One softmax over both groups, each with its own query.
        score = torch.cat(
            [
                torch.einsum("hd,hkd->hk", given["q_sink"][row], entries[0][:, :count]),
                torch.einsum("hd,hkd->hk", given["q_live"][row], entries[0][:, count:]),
            ],
            dim=-1,
        ).double() / math.sqrt(D)
        expected = torch.einsum("hk,hkd->hd", torch.softmax(score, -1), entries[1].double())
        torch.testing.assert_close(out[row].double(), expected, rtol=0, atol=1e-5)


def test_window_alone() -> None:
    """Without a sink table the live keys are all there is."""
    given = case([0, 0, 0], [0, 2, 9], [3, 18, 25])
    given["sink_table"] = given["sink_table"][:, :0]
    out = decode_attention(**given)
    for row in range(B):
        entries, _, _ = visible_keys(given, row)
        expected = plain(given["q_live"][row], entries[0], entries[1])
        torch.testing.assert_close(out[row].double(), expected, rtol=0, atol=1e-5)


def test_row_does_not_depend_on_its_neighbours() -> None:
    """Bit for bit, whatever the other rows look at."""
    one = case([5, 8, 1], [0, 3, 11], [1, 9, 20])
    other = {name: tensor.clone() for name, tensor in one.items()}
    for name in ("q_live", "q_sink"):
        other[name][1:] = 9.0
    other["live_start"][1:] = 4
    other["sink_length"][1:] = 2
    assert torch.equal(decode_attention(**one)[0], decode_attention(**other)[0])


@pytest.mark.parametrize("start", [0, 3, 6])
def test_prompt_chunk_is_causal(start: int) -> None:
    """Each query sees the positions up to its own, from the prompt's beginning."""
    given = case([8, 0, 0], [0, 0, 0], [0, 0, 0])
    kv, pages = given["kv_layer"].nan_to_num(nan=50.0), given["sink_table"][0]
    q = random(2, H, D, seed=8)
    out = prefill_attention(q, kv, pages, start)
    line = kv[pages.long()].permute(1, 2, 0, 3, 4).flatten(2, 3)  # [2, H, positions, D]
    for index in range(2):
        stop = start + index + 1
        expected = plain(q[index], line[0][:, :stop], line[1][:, :stop])
        torch.testing.assert_close(out[index].double(), expected, rtol=0, atol=1e-5)
