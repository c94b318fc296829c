"""The grid of token streams, and each session's place in it.

Column n of the grid is what the model reads at position n. The acoustic codebooks (2 to 8 of
either side) lie one column later than the frame they belong to:

    column n:  text n | agent semantic n, acoustic n-1 | user semantic n, acoustic n-1

A tick that brings user frame n completes column n, runs the model on it, draws column n + 1's
text and agent codes, and with them completes agent frame n: semantic from column n, acoustic
from column n + 1. That is the early form: the answer leaves in the tick that brought the frame.

This module knows no transformer and no codec.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from engine.config import AGENT_CODEBOOKS, USER_CODEBOOKS


@dataclass(frozen=True, slots=True)
class GridRows:
    """What is known of each row's next column before the user's frame arrives.

    Attributes:
        text: int64 [B], the text token of the next column.
        agent: int64 [B, 8], the agent's codes of the next column.
        user_acoustic: int64 [B, 7], the user's codes 2..8, of the frame before.
    """

    text: Tensor
    agent: Tensor
    user_acoustic: Tensor

    @staticmethod
    def allocate(rows: int, device: torch.device) -> GridRows:
        """Zeroed rows; a session's row is set when its prompt is done."""

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=torch.int64, device=device)

        return GridRows(
            text=zeros(rows),
            agent=zeros(rows, AGENT_CODEBOOKS),
            user_acoustic=zeros(rows, USER_CODEBOOKS - 1),
        )

    def rows(self, start: int, stop: int) -> GridRows:
        """Views of the rows [start, stop)."""
        return GridRows(*(getattr(self, field.name)[start:stop] for field in fields(self)))

    def column(self, user_codes: Tensor) -> Tensor:
        """The complete next column: int64 [B, 17].

        Args:
            user_codes: int64 [B, 8], the codes of the user's new frame.
        """
        return torch.cat(
            [self.text[:, None], self.agent, user_codes[:, :1], self.user_acoustic], dim=1
        )

    def agent_frame(self, next_agent: Tensor) -> Tensor:
        """The agent's frame that the newly drawn codes complete: int64 [B, 8]."""
        return torch.cat([self.agent[:, :1], next_agent[:, 1:]], dim=1)

    def advance(self, text: Tensor, agent: Tensor, user_codes: Tensor, live: Tensor) -> None:
        """Moves the live rows on by one column, in place; the others stay as they are.

        Args:
            text: int64 [B], the newly drawn text token.
            agent: int64 [B, 8], the newly drawn agent codes.
            user_codes: int64 [B, 8], the codes of the user's new frame.
            live: bool [B].
        """
        self.text.copy_(torch.where(live, text, self.text))
        self.agent.copy_(torch.where(live[:, None], agent, self.agent))
        acoustic = torch.where(live[:, None], user_codes[:, 1:], self.user_acoustic)
        self.user_acoustic.copy_(acoustic)
