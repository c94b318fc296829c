"""The depth transformer's steps."""

from __future__ import annotations

import torch

from engine.model.depth import DepthTransformer
from tests.unit.engine.oracle_lm import TINY, tiny_model

CPU = torch.device("cpu")


def test_step_sees_the_steps_before_it() -> None:
    """Step k sees places 0..k; the last, like the reference's, no longer sees the first."""
    depth = DepthTransformer(TINY, 16)
    for step in range(15):
        visible = depth.visible_places(step, CPU)
        assert visible.tolist() == [True] * (step + 1) + [False] * (15 - step)
    assert depth.visible_places(15, CPU).tolist() == [False] + [True] * 15


def test_steps_have_weights_of_their_own() -> None:
    """The same input gives another output in another step."""
    depth = tiny_model().depformer
    x = torch.ones(1, TINY.depth_dim)
    first, third = depth(x, 0, depth.new_cache(1)), depth(x, 2, depth.new_cache(1))
    assert not torch.allclose(first, third)


def test_rows_are_independent_and_steps_remember() -> None:
    """A row's second step depends on its own first step, and on no other row's."""
    depth = tiny_model().depformer
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, TINY.depth_dim, generator=generator)

    def second_step(first: torch.Tensor) -> torch.Tensor:
        cache = depth.new_cache(2)
        depth(first, 0, cache)
        return depth(x, 1, cache)

    base = second_step(x)
    changed = x.clone()
    changed[1] += 1
    other = second_step(changed)
    assert torch.equal(base[0], other[0])
    assert not torch.allclose(base[1], other[1])
