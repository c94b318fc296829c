"""Sizes that must agree, and what counts as silence."""

from __future__ import annotations

import numpy as np

from callcenter.media import units


def test_a_frame_is_four_packets() -> None:
    """The constants fit each other."""
    assert 4 * units.PACKET_S == units.FRAME_S == 0.08


def test_rms_of_a_sine_is_its_peak_over_root_two() -> None:
    """And of nothing, nothing."""
    sine = (10_000 * np.sin(np.arange(8_000) * 0.7)).astype(np.int16)
    assert abs(units.rms(sine) - 10_000 / 2**0.5) < 20
    assert units.rms(np.zeros(0, np.int16)) == 0.0


def test_full_scale_does_not_overflow() -> None:
    """The loudest block has the largest RMS."""
    assert units.rms(np.full(1_920, -32_768, np.int16)) == 32_768


def test_line_noise_is_silence_and_a_whisper_is_not() -> None:
    """-60 dBFS noise counts as silence, -40 dBFS does not."""
    noise = np.random.default_rng(0).standard_normal(480)
    assert units.is_silent((noise * 33).astype(np.int16))
    assert not units.is_silent((noise * 330).astype(np.int16))
