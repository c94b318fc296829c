"""Sizes of the models as frozen dataclasses; the defaults are those of the published checkpoint.

This module knows no tensor and no file: it imports without torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# --- Mimi, the audio codec ---------------------------------------------------------------------

STEPS_PER_FRAME = 2  # latent steps: the codec's transformers run at twice the frame rate


@dataclass(frozen=True, slots=True)
class MimiConfig:
    """Sizes of the Mimi codec (Défossez et al. 2024, "Moshi", section 3.3).

    Attributes:
        sample_rate_hz: rate of the audio on both sides.
        filters: channels of the outermost convolution; doubled at every ratio.
        dimension: channels of the latent, and width of both transformers.
        ratios: strides of the decoder's stages, outermost last; the encoder has them reversed.
        kernel: taps of the first convolution of encoder and decoder.
        residual_kernel: taps of the first convolution in a residual block.
        last_kernel: taps of the last convolution of encoder and decoder.
        compress: a residual block narrows its channels by this factor inside.
        layers: layers of each of the two transformers.
        heads: attention heads of a layer.
        feedforward: inner width of a layer's feed-forward part.
        context: latent steps that attention can look back, this step included.
        max_period: longest wavelength of the rotary embedding, in steps.
        codebook_dim: width of a centroid.
        codebook_size: centroids in a codebook.
        codebooks: codebooks in use: one semantic, the others acoustic.
        codebooks_stored: codebooks that the checkpoint carries.
        reference_compat: once the window is full, hide its oldest key, as the reference
            implementation does; for comparisons with it only.
    """

    sample_rate_hz: int = 24_000
    filters: int = 64
    dimension: int = 512
    ratios: tuple[int, ...] = (8, 6, 5, 4)
    kernel: int = 7
    residual_kernel: int = 3
    last_kernel: int = 3
    compress: int = 2
    layers: int = 8
    heads: int = 8
    feedforward: int = 2048
    context: int = 250
    max_period: float = 10_000.0
    codebook_dim: int = 256
    codebook_size: int = 2048
    codebooks: int = 8
    codebooks_stored: int = 32
    reference_compat: bool = False

    def __post_init__(self) -> None:
        """Refuses sizes that no model can have.

        Raises:
            ValueError: names the field, its value and the rule.
        """
        if self.dimension % (2 * self.heads):
            raise ValueError(
                f"dimension {self.dimension} must be a multiple of 2 * heads = {2 * self.heads}"
            )
        if not 2 <= self.codebooks <= self.codebooks_stored:
            raise ValueError(
                f"codebooks is {self.codebooks}; it must lie between 2 and codebooks_stored = "
                f"{self.codebooks_stored}"
            )
        if self.context < STEPS_PER_FRAME:
            raise ValueError(f"context is {self.context}; a frame alone has {STEPS_PER_FRAME}")

    @property
    def hop_samples(self) -> int:
        """Samples of one latent step before the resampler: 960 at 24 kHz, 25 Hz."""
        return math.prod(self.ratios)

    @property
    def frame_samples(self) -> int:
        """Samples of one frame: 1920 at 24 kHz, 12.5 Hz."""
        return STEPS_PER_FRAME * self.hop_samples

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dimension // self.heads
