"""The streaming resampler against scipy and against itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import upfirdn

from callcenter.media.resample import Passthrough, Resampler, kaiser_lowpass, resampler

RATIOS = [(3, 1), (1, 3), (3, 2), (2, 3), (160, 441)]


def noise(samples: int, seed: int = 1) -> np.ndarray:
    """White, full scale."""
    return np.random.default_rng(seed).integers(-32_768, 32_768, samples).astype(np.int16)


def tone(hz: float, rate_hz: int, seconds: float = 1.0, level: float = 10_000) -> np.ndarray:
    """A sine."""
    return (level * np.sin(2 * np.pi * hz / rate_hz * np.arange(int(rate_hz * seconds)))).astype(
        np.int16
    )


def level_db(samples: np.ndarray, reference: float = 10_000) -> float:
    """A sine's level against the reference."""
    return float(
        20 * np.log10(np.sqrt(2 * np.mean(samples.astype(np.float64) ** 2) + 1e-9) / reference)
    )


@pytest.mark.parametrize(("up", "down"), RATIOS)
@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 700), max_size=12))
def test_chunked_equals_whole(up: int, down: int, cuts: list[int]) -> None:
    """Bit-exact, however the stream is cut."""
    stream = noise(2_000)
    whole = Resampler(up, down).process(stream)
    chunked = Resampler(up, down)
    pieces = np.split(stream, sorted(cuts))
    assert np.array_equal(np.concatenate([chunked.process(piece) for piece in pieces]), whole)


def test_upsampling_is_the_filter_that_scipy_computes() -> None:
    """An independent polyphase implementation gives the same samples, to one step."""
    stream = noise(500) // 2
    expected = upfirdn(kaiser_lowpass(3) * 3, stream.astype(np.float64), up=3)[:1_500]
    assert np.abs(Resampler(3, 1).process(stream) - expected).max() < 1.0


def test_downsampling_is_the_filter_that_scipy_computes() -> None:
    """The same the other way."""
    stream = noise(1_500) // 2
    expected = upfirdn(kaiser_lowpass(3), stream.astype(np.float64), down=3)[:500]
    assert np.abs(Resampler(1, 3).process(stream) - expected).max() < 1.0


def test_three_halves_is_the_filter_that_scipy_computes() -> None:
    """16 -> 24 kHz: several outputs share one window."""
    stream = noise(600) // 2
    expected = upfirdn(kaiser_lowpass(3) * 3, stream.astype(np.float64), up=3, down=2)[:900]
    assert np.abs(Resampler(3, 2).process(stream) - expected).max() < 1.0


def test_a_packet_is_exactly_three_times_as_long() -> None:
    """160 <-> 480 samples, from the very first packet."""
    up, down = Resampler(3, 1), Resampler(1, 3)
    for _ in range(3):
        wide = up.process(noise(160))
        assert wide.size == 480
        assert down.process(wide).size == 160


def test_delay_is_two_and_a_half_milliseconds() -> None:
    """An impulse comes out 20 samples of 8 kHz later: 60 of 24 kHz."""
    impulse = np.zeros(100, np.int16)
    impulse[0] = 30_000
    assert int(np.argmax(Resampler(3, 1).process(impulse))) == 60


@pytest.mark.parametrize("hz", [300, 1_000, 3_000, 3_400])
def test_telephone_band_is_flat_and_free_of_images(hz: int) -> None:
    """Upsampled tones keep their level to 0.05 dB; everything else is 60 dB down."""
    wide = Resampler(3, 1).process(tone(hz, 8_000))[3_000:15_000]
    assert abs(level_db(wide)) < 0.05
    spectrum = np.abs(np.fft.rfft(wide * np.hanning(wide.size))) ** 2
    peak = slice(hz // 2 - 4, hz // 2 + 5)
    wanted = spectrum[peak].sum()
    assert 10 * np.log10((spectrum.sum() - wanted) / wanted) < -60


@pytest.mark.parametrize("hz", [4_600, 6_000, 8_000, 11_000])
def test_tones_above_the_band_do_not_alias(hz: int) -> None:
    """What 8 kHz cannot carry is 60 dB down, not folded into speech."""
    assert level_db(Resampler(1, 3).process(tone(hz, 24_000))[1_000:]) < -60


def test_round_trip_keeps_speech_band() -> None:
    """8 -> 24 -> 8 kHz gives the same tone, 40 samples later."""
    stream = tone(1_000, 8_000)
    back = Resampler(1, 3).process(Resampler(3, 1).process(stream))
    error = back[1_000:7_000].astype(np.float64) - stream[960:6_960]
    assert level_db(error) < -55


def test_overshoot_clips_instead_of_wrapping() -> None:
    """Full-scale steps ring over the top; the samples must not change sign."""
    square = np.repeat(np.array([32_767, -32_768] * 20, np.int16), 10)
    wide = Resampler(3, 1).process(square)
    steady = np.sign(wide[60:]) == np.repeat(np.sign(square), 3)[: wide.size - 60]
    assert steady.mean() > 0.9
    assert wide.max() == 32_767


def test_empty_chunk_gives_nothing() -> None:
    """No input, no output, no error."""
    assert Resampler(3, 1).process(np.zeros(0, np.int16)).size == 0


def test_the_factory_knows_every_wire_rate() -> None:
    """8, 16 and 24 kHz, both ways."""
    assert resampler(8_000, 24_000).process(noise(160)).size == 480
    assert resampler(24_000, 8_000).process(noise(480)).size == 160
    assert isinstance(resampler(24_000, 24_000), Passthrough)
    assert resampler(16_000, 24_000).process(noise(320)).size == 480
    assert resampler(24_000, 16_000).process(noise(480)).size == 320


def test_passthrough_changes_nothing() -> None:
    """24 kHz carriers need no filter and get no delay."""
    stream = noise(77)
    assert np.array_equal(Passthrough().process(stream), stream)
