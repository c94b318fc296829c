"""Sampling: published vectors, the reference's sampler, and the independence of rows."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from engine.model.sampling import CounterNoise, SamplingRows, exponential, philox, sample
from tests.unit.engine.oracle_moshi import NAME, load_moshi


def words(values: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Scalars as the generator takes them."""
    return tuple(torch.tensor(value) for value in values)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF,) * 2,
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    """The known answers of Random123's philox4x32 with 10 rounds."""
    low, high = words(key)
    assert tuple(int(word) for word in philox(words(counter), (low, high))) == expected


def test_exponential_never_reaches_zero_or_infinity() -> None:
    """The smallest and the largest word give finite, positive clocks."""
    clocks = exponential(torch.tensor([0, 0xFFFFFFFF]))
    assert torch.isfinite(clocks).all()
    assert (clocks > 0).all()


def test_draws_are_exponential() -> None:
    """Mean and variance of 100,000 draws are 1, within five standard errors."""
    seeds = torch.arange(50)
    draws = CounterNoise().draw(seeds, torch.full((50,), 9), 25, 250).audio.double()
    assert abs(draws.mean() - 1) < 5 / draws.numel() ** 0.5
    assert abs(draws.var() - 1) < 5 * (8 / draws.numel()) ** 0.5


def test_draws_depend_on_seed_position_and_stream_alone() -> None:
    """A row draws the same alone and in company; another seed, position or stream differs."""
    seed = torch.tensor([5, -5, 5, 5 + 2**32])
    position = torch.tensor([100, 100, 101, 100])
    together = CounterNoise().draw(seed, position, 25, 250)
    alone = CounterNoise().draw(seed[:1], position[:1], 25, 250)
    assert torch.equal(together.audio[:1], alone.audio)
    assert torch.equal(together.text[:1], alone.text)
    for other in (1, 2, 3):
        assert not torch.isclose(together.audio[0], together.audio[other]).any(dim=-1).all()
    assert torch.unique(together.audio[0]).numel() > 1990  # 8 streams of 250, hardly a repeat


def test_fewer_candidates_see_the_same_clocks() -> None:
    """The draw belongs to the candidate's rank, not to how many there are."""
    seed, position = torch.tensor([3]), torch.tensor([4])
    many = CounterNoise().draw(seed, position, 25, 250)
    few = CounterNoise().draw(seed, position, 7, 33)
    assert torch.equal(few.text, many.text[:, :7])
    assert torch.equal(few.audio, many.audio[:, :, :33])


@pytest.mark.parametrize(("temperature", "top_k"), [(0.7, 25), (0.8, 250), (3.0, 1)])
def test_sampler_is_the_references(temperature: float, top_k: int) -> None:
    """Same logits and same clocks give the reference's token."""
    load_moshi()
    sample_token = sys.modules[f"{NAME}.utils.sampling"].sample_token
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(40, 2048, generator=generator)
    torch.manual_seed(1)
    expected = sample_token(logits, use_sampling=True, temp=temperature, top_k=top_k)
    torch.manual_seed(1)
    clocks = torch.empty(40, top_k).exponential_(1)
    rows = torch.full((40,), temperature)
    drawn = sample(logits, rows, torch.full((40,), top_k), clocks)
    assert torch.equal(drawn.token, expected)
    assert not drawn.broken.any()


def test_frequencies_follow_the_softmax() -> None:
    """Drawn by our own noise, a token's share is its probability among the allowed ones."""
    count = 20_000
    logits = torch.log(torch.tensor([0.5, 0.2, 0.2, 0.1])).expand(count, -1)
    clocks = CounterNoise().draw(torch.arange(count), torch.zeros(count), 3, 3).text
    token = sample(logits, torch.ones(count), torch.full((count,), 3), clocks).token
    share = torch.bincount(token, minlength=4) / count
    assert share[3] + share[2] == pytest.approx(0.2 / 0.9, abs=0.02)
    assert share[0] == pytest.approx(0.5 / 0.9, abs=0.02)


def test_rows_draw_each_in_their_own_way() -> None:
    """Greedy, top-1 and wide rows side by side; a narrow row never leaves its candidates."""
    logits = torch.randn(300, 50, generator=torch.Generator().manual_seed(2))
    best = logits.topk(5).indices
    temperature = torch.tensor([0.0, 9.0, 9.0]).repeat(100)
    top_k = torch.tensor([5, 1, 5]).repeat(100)
    clocks = CounterNoise().draw(torch.arange(300), torch.arange(300), 5, 5).text
    token = sample(logits, temperature, top_k, clocks).token
    assert torch.equal(token[0::3], best[0::3, 0])
    assert torch.equal(token[1::3], best[1::3, 0])
    assert (token[2::3, None] == best[2::3]).any(dim=1).all()
    assert len((token[2::3] != best[2::3, 0]).nonzero()) > 20


@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
def test_logits_that_are_no_numbers_break_their_row(poison: float) -> None:
    """One NaN or infinity in a row is reported; the token stays inside the vocabulary."""
    logits = torch.zeros(3, 10)
    logits[1, 4] = poison
    clocks = torch.ones(3, 5)
    drawn = sample(logits, torch.ones(3), torch.full((3,), 5), clocks)
    assert drawn.broken.tolist() == [False, True, False]
    assert 0 <= int(drawn.token[1]) < 10


def test_views_share_memory_with_all_rows() -> None:
    """What is written to a view of rows is written to the rows."""
    rows = SamplingRows.allocate(4, torch.device("cpu"))
    rows.rows(2, 3).seed.fill_(9)
    assert rows.seed.tolist() == [0, 0, 9, 0]
    assert rows.text_top_k.tolist() == [1, 1, 1, 1]
