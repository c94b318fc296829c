"""The codec in kernels says what the plain codec says, and leaves the same state."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engine.kernels.mimi import FusedCodec
from engine.model.mimi import Mimi, MimiState
from tests.unit.engine.model.mimi_cases import TINY, randomise

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning"),
    pytest.mark.timeout(120),  # the interpreter takes its time
]

SIZES = replace(TINY, context=10)


def codec(*, compat: bool) -> Mimi:
    """A tiny codec with random weights."""
    mimi = Mimi(replace(SIZES, reference_compat=compat)).eval()
    randomise(mimi, torch.Generator().manual_seed(3))
    mimi.prepare(fused=True)
    return mimi


@pytest.mark.parametrize("compat", [False, True], ids=["window", "reference_compat"])
def test_frames_and_state_are_the_plain_codecs(compat: bool) -> None:
    """Past a full ring, beside a row that idles at times: codes, sound and every carry."""
    mimi = codec(compat=compat)
    fused = FusedCodec(mimi)
    ours, theirs = (MimiState.allocate(SIZES, 2, "cpu") for _ in range(2))
    generator = torch.Generator().manual_seed(4)
    for frame in range(7):
        live = torch.tensor([True, frame not in (2, 3)])
        pcm = 0.3 * torch.randn(2, SIZES.frame_samples, generator=generator)
        codes = torch.randint(SIZES.codebook_size, (2, SIZES.codebooks), generator=generator)
        expected = mimi.encode_frame(pcm, theirs, live)
        assert torch.equal(fused.encode_frame(pcm, ours, live)[live], expected[live])
        expected = mimi.decode_frame(codes, theirs, live)
        sound = fused.decode_frame(codes, ours, live)
        torch.testing.assert_close(sound[live], expected[live], rtol=1e-4, atol=1e-5)
    for name, tensor in theirs.tensors.items():
        found, wanted = ours[name], tensor
        if name.endswith("ring"):  # behind it idle rows leave what nobody reads
            found, wanted = found[..., : SIZES.context, :], wanted[..., : SIZES.context, :]
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
