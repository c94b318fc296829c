"""What the model reads before a call is live: voice, silence, role text, silence.

A prompt is a list of frames, each with one text token, the agent's 8 codes and the user's 8.
Here it is laid out on the model's delayed grid. This module knows no tensor, no tokenizer and
no audio file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.config import (
    AGENT_STREAMS,
    DELAYS,
    PAD_TEXT,
    STREAMS,
    TEXT_STREAM,
    USER_STREAMS,
    LMConfig,
)
from engine.interface import PromptRejected

AGENT_SILENCE = (948, 243, 1178, 546, 1736, 1030, 1978, 2008)
"""Codes of a silent agent frame."""

USER_SINE = (430, 1268, 381, 1611, 1095, 1495, 56, 472)
"""Codes that stand for the user during a prompt: a 440 Hz sine of amplitude 0.5."""

SILENT_FRAMES = 6  # 0.5 s, rounded down, before and after the role text

ROLE_TAG = "<system>"

Columns = NDArray[np.int64]  # [T, 17]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt on the grid.

    Attributes:
        columns: int64 [T, 17], what the model reads, position by position.
        pending: int64 [17], what is known of the position after: the delayed streams of the
            last frame. The text and the agent's first code are still to be drawn.
    """

    columns: Columns
    pending: NDArray[np.int64]


def wrap_role(text: str) -> str:
    """The role text as the model was trained to read it; "" stays ""."""
    text = text.strip()
    if not text or (text.startswith(ROLE_TAG) and text.endswith(ROLE_TAG) and text != ROLE_TAG):
        return text
    return f"{ROLE_TAG} {text} {ROLE_TAG}"


def frames(text: Sequence[int], agent: Columns | Sequence[int], config: LMConfig) -> Columns:
    """Prompt frames with the given text tokens and agent codes; the user's are the sine.

    Args:
        text: one token a frame.
        agent: [T, 8] or [8], the agent's codes.
        config: gives the number of codes.

    Returns:
        int64 [T, 17].
    """
    result = np.empty((len(text), STREAMS), dtype=np.int64)
    result[:, TEXT_STREAM] = text
    result[:, AGENT_STREAMS] = agent
    result[:, USER_STREAMS] = USER_SINE
    if result.size and result[:, 1:].max() >= config.audio_card:
        raise ValueError(f"the prompt's codes need an audio_card above {config.audio_card}")
    return result


def role_frames(role_ids: Sequence[int], config: LMConfig) -> Columns:
    """Silence, the role text at one token a frame, silence: int64 [T, 17]."""
    silence = [PAD_TEXT] * SILENT_FRAMES
    return frames([*silence, *role_ids, *silence], AGENT_SILENCE, config)


def from_start(all_frames: Columns, config: LMConfig) -> Prompt:
    """Lays out frames 0, 1, ... of a new session.

    Nothing can stand at position 0 but the initial tokens, so frame 0 is lost; its delayed
    streams are too.
    """
    initial = np.full(STREAMS, config.initial_audio, dtype=np.int64)
    initial[TEXT_STREAM] = config.initial_text
    return continued(np.concatenate([initial[None], all_frames[1:]]), before=initial)


def continued(later_frames: Columns, before: NDArray[np.int64]) -> Prompt:
    """Lays out frames whose predecessor is `before`, int64 [17]."""
    previous = np.concatenate([before[None], later_frames[:-1]])
    delayed = np.array(DELAYS, dtype=bool)
    return Prompt(
        columns=np.where(delayed, previous, later_frames),
        pending=later_frames[-1].copy(),
    )


def count_positions(role_tokens: int, voice_positions: int, budget: int) -> int:
    """How many positions a prompt takes.

    Raises:
        PromptRejected: names the numbers.
    """
    total = role_tokens + voice_positions + 2 * SILENT_FRAMES
    if total > budget:
        raise PromptRejected(
            f"the prompt takes {total} positions ({voice_positions} voice, {role_tokens} role text "
            f"tokens, {2 * SILENT_FRAMES} silence) and the budget is {budget}: shorten the role "
            f"text by {total - budget} tokens or use a shorter voice clip"
        )
    return total
