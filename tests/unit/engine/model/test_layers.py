"""The small layers."""

from __future__ import annotations

import pytest
import torch

from engine.model.layers import (
    NORM_EPS,
    GatedFeedForward,
    RMSNorm,
    TokenEmbedding,
    gated_feed_forward,
    rms_norm,
)


def random(*shape: int) -> torch.Tensor:
    """Seeded normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_norm_is_the_formula() -> None:
    """The result is x * alpha / sqrt(mean(x^2) + eps), in float64."""
    x, alpha = random(5, 16), random(1, 1, 16)
    wide = x.double()
    scale = alpha.view(-1).double()
    expected = wide * scale / torch.sqrt((wide**2).mean(-1, keepdim=True) + NORM_EPS)
    torch.testing.assert_close(rms_norm(x, alpha).double(), expected, rtol=1e-6, atol=1e-6)


def test_norm_of_half_precision_is_computed_wide() -> None:
    """bfloat16 in and out, rounded once: the squares of large values do not overflow the mean."""
    x, norm = (300 * random(2, 4096)).bfloat16(), RMSNorm(4096)
    out = norm(x)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, rms_norm(x.float(), norm.alpha).bfloat16())


def test_norm_of_zeros_is_zero() -> None:
    """No division by zero."""
    assert not RMSNorm(8)(torch.zeros(2, 8)).any()


def test_feed_forward_gates_with_the_first_half() -> None:
    """The upper rows, through silu, times the lower rows."""
    layer = GatedFeedForward(4, 6)
    with torch.no_grad():
        layer.linear_in.weight.copy_(random(12, 4))
        layer.linear_out.weight.copy_(random(4, 6))
    x = random(3, 4)
    a, b = x @ layer.linear_in.weight[:6].T, x @ layer.linear_in.weight[6:].T
    expected = (a * torch.sigmoid(a) * b) @ layer.linear_out.weight.T
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(
        gated_feed_forward(x, layer.linear_in.weight, layer.linear_out.weight), expected
    )


@pytest.mark.parametrize(("token", "row"), [(0, 0), (4, 4)])
def test_embedding_is_a_lookup(token: int, row: int) -> None:
    """The token's row; token -1 is the zero vector, not a row."""
    table = TokenEmbedding(5, 3)
    with torch.no_grad():
        table.weight.copy_(random(5, 3))
    out = table(torch.tensor([token, -1]))
    assert torch.equal(out[0], table.weight[row])
    assert not out[1].any()
