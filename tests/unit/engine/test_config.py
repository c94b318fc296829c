"""Sizes and limits."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from engine.config import (
    AGENT_STREAMS,
    DELAYS,
    STREAMS,
    USER_STREAMS,
    CheckpointConfig,
    EngineLimits,
    LMConfig,
    MimiConfig,
)


def test_streams_are_text_agent_user() -> None:
    """17 streams; each side has one undelayed codebook and seven delayed ones."""
    assert (STREAMS, len(DELAYS)) == (17, 17)
    assert DELAYS[AGENT_STREAMS] == DELAYS[USER_STREAMS] == (0, 1, 1, 1, 1, 1, 1, 1)


def test_defaults_are_the_published_model() -> None:
    """Widths of heads and the ids that stand before the first frame."""
    config = LMConfig()
    assert (config.head_dim, config.depth_steps) == (128, 16)
    assert (config.initial_audio, config.initial_text) == (2048, 32_000)


def test_config_survives_its_file() -> None:
    """What is written can be read; tuples come back from JSON's lists."""
    config = CheckpointConfig(LMConfig(layers=2), MimiConfig(filters=3))
    sizes = asdict(config)
    sizes["mimi"]["ratios"] = list(sizes["mimi"]["ratios"])
    assert CheckpointConfig.parse(sizes) == config
    assert CheckpointConfig.parse({}) == CheckpointConfig()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"codec": {}}, "unknown section 'codec'; known are lm and mimi"),
        ({"lm": 3}, "must be an object of objects"),
        ({"lm": {"depth": 3}}, r"unknown size lm\.depth; known are audio_card, depth_dim"),
        ({"lm": {"layers": 2.0}}, r"lm\.layers is 2\.0; it must be int"),
        ({"lm": {"layers": True}}, r"lm\.layers is True; it must be int"),
        ({"mimi": {"ratios": 4}}, r"mimi\.ratios is 4; it must be tuple"),
        ({"lm": {"dim": 12, "heads": 4}}, "heads of even width"),
        ({"lm": {"audio_card": 1024}}, "codebook_size is 2048 and lm.audio_card 1024: not equal"),
        ({"mimi": {"codebooks": 16}}, r"mimi\.codebooks is 16, not 8"),
    ],
)
def test_slip_in_the_sizes_is_named(data: dict[str, object], words: str) -> None:
    """Unknown names, wrong types and impossible sizes."""
    with pytest.raises(ValueError, match=words):
        CheckpointConfig.parse(data)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"prefill_chunk": 129}, "prefill_chunk is 129; it must be 1 to 128"),
        ({"prefill_chunk": 0}, "prefill_chunk is 0"),
        ({"slots": 0}, "must be positive"),
        ({"slots": 5, "buckets": (1, 4)}, r"largest of buckets \(1, 4\) is below 5 slots"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(
    limits: dict[str, object], words: str
) -> None:
    """At once, not at the first call."""
    with pytest.raises(ValueError, match=words):
        EngineLimits(**limits)  # type: ignore[arg-type]
