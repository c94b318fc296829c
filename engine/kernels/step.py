"""The tick with the language model and the codec in fused kernels."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from engine.kernels.mimi import FusedCodec
from engine.kernels.model import FusedModel
from engine.model.lm import Hidden
from engine.model.sampling import SamplingRows
from engine.step import Codec, NextColumn, Rows, Step


@dataclass(frozen=True, slots=True)
class FusedStep(Step):
    """As `Step`, and draws the same tokens but for rounding.

    Attributes:
        model: the language model in kernels.
        fused_codec: the codec in kernels.
    """

    model: FusedModel
    fused_codec: FusedCodec

    @property
    def codec(self) -> Codec:
        """What encodes and decodes the tick's frames."""
        return self.fused_codec

    def next_column(self, column: Tensor, rows: Rows) -> NextColumn:
        """Draws what the model says of the next column."""
        attend = self.attend(rows)
        return self.model.next_column(column, attend, rows.sampling, (self.text_k, self.audio_k))

    def prompt(self, x: Tensor, pages: Tensor, start: int) -> Tensor:
        """Computes a piece of a prompt."""
        return self.model.prompt(x, self.pool, self.scales, pages, start)

    def first_tokens(
        self, last: Hidden, sampling: SamplingRows, position: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Draws what follows a prompt."""
        ks = (self.text_k, self.audio_k)
        drawn = self.model.first_column(last, position, sampling, ks)
        return drawn.text, drawn.agent
