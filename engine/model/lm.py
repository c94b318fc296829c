"""The language model: 17 token streams in, text and the agent's codes out.

Its parameters carry the checkpoint's names. It is a function of rows: where keys live and
which position a row stands at is the business of the `attend` that it is given.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.config import AGENT_CODEBOOKS, STREAMS, LMConfig
from engine.model.depth import DepthTransformer
from engine.model.layers import RMSNorm, TokenEmbedding
from engine.model.sampling import Drawn, Draws, SamplingRows, sample
from engine.model.transformer import Attend, TemporalTransformer


@dataclass(frozen=True, slots=True)
class Hidden:
    """What one position of the temporal transformer leads to.

    Attributes:
        state: [N, dim], after the final norm; feeds the depth transformer.
        text_logits: [N, text_card], for the next column's text.
    """

    state: Tensor
    text_logits: Tensor


class LanguageModel(nn.Module):
    """Temporal transformer, text head, and the depth transformer for `depth_steps` codebooks.

    Args:
        config: the sizes.
        depth_steps: 16 for all that is in a checkpoint; 8 for the agent's codebooks alone.
            The user's 8 come last and are known in live use, so leaving them out changes no
            output.
    """

    def __init__(self, config: LMConfig, depth_steps: int | None = None) -> None:
        super().__init__()
        steps = config.depth_steps if depth_steps is None else depth_steps
        audio_rows, text_rows = config.audio_card + 1, config.text_card + 1
        self.config = config
        self.emb = nn.ModuleList(TokenEmbedding(audio_rows, config.dim) for _ in range(STREAMS - 1))
        self.text_emb = TokenEmbedding(text_rows, config.dim)
        self.transformer = TemporalTransformer(config)
        self.out_norm = RMSNorm(config.dim)
        self.text_linear = nn.Linear(config.dim, config.text_card, bias=False)
        self.depformer_in = nn.ModuleList(
            nn.Linear(config.dim, config.depth_dim, bias=False) for _ in range(steps)
        )
        self.depformer_text_emb = TokenEmbedding(text_rows, config.depth_dim)
        self.depformer_emb = nn.ModuleList(
            TokenEmbedding(audio_rows, config.depth_dim) for _ in range(steps - 1)
        )
        self.depformer = DepthTransformer(config, steps)
        self.linears = nn.ModuleList(
            nn.Linear(config.depth_dim, config.audio_card, bias=False) for _ in range(steps)
        )
        self._fused_depth_in: Tensor | None = None

    def prepare(self) -> None:
        """Lays the depth inputs side by side, so that one product serves all steps.

        The parameters become views of the joint matrix: names and values stay as they were.
        """
        joint = torch.cat([linear.weight.detach() for linear in self.depformer_in])
        for linear, rows in zip(
            self.depformer_in, joint.chunk(len(self.depformer_in)), strict=True
        ):
            linear.weight = nn.Parameter(rows, requires_grad=False)
        self._fused_depth_in = joint

    @property
    def joint_depth_in(self) -> Tensor:
        """All depth inputs side by side, [steps * depth_dim, dim]; call `prepare` first."""
        assert self._fused_depth_in is not None  # noqa: S101 - a programmer's mistake
        return self._fused_depth_in

    def embed(self, column: Tensor) -> Tensor:
        """Sums the streams' embeddings, audio first, in the reference's order.

        Args:
            column: int64 [N, 17].

        Returns:
            [N, dim].
        """
        total = self.emb[0](column[:, 1])
        for stream in range(2, STREAMS):
            total = total + self.emb[stream - 1](column[:, stream])
        return total + self.text_emb(column[:, 0])

    def hidden(self, x: Tensor, attend: Attend) -> Tensor:
        """Runs the temporal transformer and the final norm on embedded rows: [N, dim]."""
        return self.out_norm(self.transformer(x, attend))

    def with_text(self, state: Tensor) -> Hidden:
        """Adds the text logits to hidden rows, [N, dim]."""
        return Hidden(state=state, text_logits=self.text_linear(state))

    def forward(self, x: Tensor, attend: Attend) -> Hidden:
        """Both: embedded rows [N, dim] to hidden rows and text logits."""
        return self.with_text(self.hidden(x, attend))

    def depth_inputs(self, state: Tensor) -> tuple[Tensor, ...]:
        """What the temporal state adds to each depth step: [B, depth_dim] a step."""
        if self._fused_depth_in is None:
            return tuple(linear(state) for linear in self.depformer_in)
        joint = functional.linear(state, self._fused_depth_in)
        return joint.chunk(len(self.depformer_in), dim=-1)

    def depth_logits(
        self, step: int, depth_input: Tensor, previous: Tensor, cache: Tensor
    ) -> Tensor:
        """One depth step: the logits of codebook `step`.

        Args:
            step: 0 for the agent's first codebook.
            depth_input: [B, depth_dim], from `depth_inputs`.
            previous: int64 [B], the text token for step 0, else the code before this one.
            cache: from `DepthTransformer.new_cache`, one for all steps of a position.

        Returns:
            [B, audio_card].
        """
        table = self.depformer_text_emb if step == 0 else self.depformer_emb[step - 1]
        x = self.depformer(depth_input + table(previous), step, cache)
        return self.linears[step](x)

    def draw_text(self, hidden: Hidden, rows: SamplingRows, draws: Draws) -> Drawn:
        """Draws the next column's text token."""
        return sample(hidden.text_logits, rows.text_temperature, rows.text_top_k, draws.text)

    def draw_agent(
        self,
        state: Tensor,
        text: Tensor,
        rows: SamplingRows,
        draws: Draws,
        steps: int = AGENT_CODEBOOKS,
    ) -> Drawn:
        """Draws the next column's first `steps` agent codes, each given the ones before.

        Args:
            state: [B, dim], `Hidden.state`.
            text: int64 [B], the next column's text token.
            rows: how each row draws.
            draws: the position's draws.
            steps: how many codebooks.

        Returns:
            Codes, int64 [B, steps], and the rows [B] in which any step was broken.
        """
        inputs = self.depth_inputs(state)
        cache = self.depformer.new_cache(state.shape[0])
        codes, broken, previous = [], torch.zeros_like(text, dtype=torch.bool), text
        for step in range(steps):
            logits = self.depth_logits(step, inputs[step], previous, cache)
            drawn = sample(logits, rows.audio_temperature, rows.audio_top_k, draws.audio[:, step])
            previous, broken = drawn.token, broken | drawn.broken
            codes.append(previous)
        return Drawn(token=torch.stack(codes, dim=1), broken=broken)
