"""Prompts on the delayed grid."""

from __future__ import annotations

import numpy as np
import pytest

from engine.config import DELAYS, PAD_TEXT, LMConfig
from engine.interface import PromptRejected
from engine.prompts import (
    AGENT_SILENCE,
    SILENT_FRAMES,
    USER_SINE,
    continued,
    count_positions,
    frames,
    from_start,
    role_frames,
    wrap_role,
)

CONFIG = LMConfig()


def numbered(count: int) -> np.ndarray:
    """Frames whose tokens tell frame and stream: 100 * frame + stream."""
    return 100 * np.arange(count)[:, None] + np.arange(17)[None, :]


@pytest.mark.parametrize(
    ("text", "wrapped"),
    [
        ("You work for a bank.", "<system> You work for a bank. <system>"),
        ("  spaced \n", "<system> spaced <system>"),
        ("<system> ready <system>", "<system> ready <system>"),
        ("<system>", "<system> <system> <system>"),
        ("<system> half", "<system> <system> half <system>"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_role_is_wrapped_once(text: str, wrapped: str) -> None:
    """The tag stands on both sides, whatever was given; nothing stays nothing."""
    assert wrap_role(text) == wrapped


def test_role_frames_are_silence_text_silence() -> None:
    """One token a frame, the agent silent, the user a sine."""
    result = role_frames([607, 4831, 578], CONFIG)
    pads = [PAD_TEXT] * SILENT_FRAMES
    assert result[:, 0].tolist() == [*pads, 607, 4831, 578, *pads]
    assert (result[:, 1:9] == AGENT_SILENCE).all()
    assert (result[:, 9:] == USER_SINE).all()


def test_constants_are_the_published_ones() -> None:
    """Silence and sine, spelt out, so that a slip of the hand shows."""
    assert AGENT_SILENCE == (948, 243, 1178, 546, 1736, 1030, 1978, 2008)
    assert USER_SINE == (430, 1268, 381, 1611, 1095, 1495, 56, 472)
    assert SILENT_FRAMES == 6
    assert DELAYS == (0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1)


def test_first_frame_is_lost_to_the_initial_tokens() -> None:
    """Position 0 is all initial; position 1 has initial tokens in the delayed streams."""
    prompt = from_start(numbered(4), CONFIG)
    initial = [32_000] + [2048] * 16
    assert prompt.columns[0].tolist() == initial
    for stream, delay in enumerate(DELAYS):
        assert prompt.columns[1, stream] == (2048 if delay else 100 + stream)
        assert prompt.columns[2, stream] == (100 if delay else 200) + stream
        assert prompt.columns[3, stream] == (200 if delay else 300) + stream
    assert prompt.pending.tolist() == [300 + stream for stream in range(17)]


def test_continued_frames_follow_their_predecessor() -> None:
    """The delayed streams of the first column are those of the frame before."""
    prompt = continued(numbered(2), before=np.full(17, 7))
    for stream, delay in enumerate(DELAYS):
        assert prompt.columns[0, stream] == (7 if delay else stream)
        assert prompt.columns[1, stream] == (0 if delay else 100) + stream


def test_grid_equals_the_reference_rule() -> None:
    """Written cell by cell as frames arrive, a frame's token lands at frame + delay."""
    count = 9
    grid: dict[tuple[int, int], int] = {}
    for stream, delay in enumerate(DELAYS):
        for position in range(delay + 1):
            grid[stream, position] = 32_000 if stream == 0 else 2048
    for index, frame in enumerate(numbered(count)):
        for stream, delay in enumerate(DELAYS):
            grid.setdefault((stream, index + delay), int(frame[stream]))
    prompt = from_start(numbered(count), CONFIG)
    for position in range(count):
        assert prompt.columns[position].tolist() == [grid[s, position] for s in range(17)]
    for stream, delay in enumerate(DELAYS):
        if delay:
            assert prompt.pending[stream] == grid[stream, count]


def test_budget_names_the_numbers() -> None:
    """112 positions fit into 112, not into 111."""
    assert count_positions(50, 50, 112) == 112
    with pytest.raises(
        PromptRejected,
        match=r"takes 112 positions \(50 voice, 50 role text tokens, 12 silence\) "
        r"and the budget is 111: shorten the role text by 1 tokens",
    ):
        count_positions(50, 50, 111)


def test_small_codebooks_cannot_carry_the_constants() -> None:
    """A model with fewer codes than the silence needs is refused."""
    with pytest.raises(ValueError, match="audio_card above 100"):
        frames([3], AGENT_SILENCE, LMConfig(audio_card=100))
