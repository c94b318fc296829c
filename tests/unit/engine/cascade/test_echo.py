"""The own voice is told from the caller's."""

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.cascade.echo import EchoGuard
from engine.interface import FRAME_SAMPLES

RNG = np.random.default_rng(7)


def speechlike(frames: int, seed: int) -> NDArray[np.int16]:
    """Syllables of coloured noise, int16 [frames * 1920]."""
    rng = np.random.default_rng(seed)
    length = frames * FRAME_SAMPLES
    noise = np.convolve(rng.standard_normal(length + 40), np.hanning(40), "valid")[:length]
    syllables = np.abs(np.sin(np.arange(length) / 24_000 * 2 * np.pi * rng.uniform(2, 4)))
    return (noise * syllables / np.abs(noise).max() * 12_000).astype(np.int16)


def run(said: NDArray[np.int16], heard: NDArray[np.int16]) -> EchoGuard:
    """Plays both directions in step."""
    guard = EchoGuard()
    for start in range(0, len(said), FRAME_SAMPLES):
        guard.heard(heard[start : start + FRAME_SAMPLES])
        guard.said(said[start : start + FRAME_SAMPLES])
    return guard


def vowel(frames: int, pitch_hz: float, peak: float) -> NDArray[np.int16]:
    """A hum with harmonics, int16 [frames * 1920]."""
    time_s = np.arange(frames * FRAME_SAMPLES) / 24_000
    wave = sum(np.sin(2 * np.pi * k * pitch_hz * time_s) / k for k in range(1, 9))
    return (wave / np.abs(wave).max() * peak).astype(np.int16)


def delayed(said: NDArray[np.int16], samples: int, gain_db: float) -> NDArray[np.int16]:
    """An echo of what was said, with line noise."""
    echo = np.concatenate([np.zeros(samples), said])[: len(said)] * 10 ** (gain_db / 20)
    return (echo + RNG.normal(0, 12, len(said))).astype(np.int16)


@pytest.mark.parametrize("delay_ms", [90, 200, 480])
@pytest.mark.parametrize("gain_db", [-25, -12])
def test_hears_an_echo(delay_ms: int, gain_db: float) -> None:
    """At -25 dB and any usual delay."""
    said = speechlike(20, 1)
    guard = run(said, delayed(said, 24 * delay_ms, gain_db))
    likeness, gain = guard.likeness()
    assert likeness > 0.6
    assert gain == pytest.approx(10 ** (gain_db / 20), rel=0.2)
    assert guard.is_echo()


def test_a_caller_is_no_echo() -> None:
    """Other speech, however loud the agent is."""
    guard = run(speechlike(20, 1), speechlike(20, 2))
    assert guard.likeness()[0] < 0.4
    assert not guard.is_echo()


def test_a_caller_of_the_same_pitch_is_no_echo() -> None:
    """Two vowels are much alike, but an echo would be faint."""
    guard = run(vowel(20, 110.0, 12_000), vowel(20, 110.2, 8_000))
    assert guard.likeness()[0] > 0.6
    assert not guard.is_echo()


def test_a_caller_over_an_echo_is_a_caller() -> None:
    """Double talk: the echo below must not hide the voice."""
    said = speechlike(20, 1)
    mixed = delayed(said, 4_800, -25).astype(np.int32) + speechlike(20, 2)
    assert not run(said, mixed.clip(-32_768, 32_767).astype(np.int16)).is_echo()


def test_silence_is_no_echo() -> None:
    """Nothing said or nothing heard: no likeness, and no division by zero."""
    quiet = np.zeros(20 * FRAME_SAMPLES, np.int16)
    assert run(quiet, speechlike(20, 2)).likeness() == (0.0, 0.0)
    assert run(speechlike(20, 1), quiet).likeness() == (0.0, 0.0)
