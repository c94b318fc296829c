"""Concealment: what is made up sounds on, then fades."""

import numpy as np
import pytest

from callcenter.media.plc import Concealer


def tone(hz: float, samples: int, rate_hz: int = 8_000, start: int = 0) -> np.ndarray:
    """A sine, int16."""
    return (8_000 * np.sin(2 * np.pi * hz * (start + np.arange(samples)) / rate_hz)).astype(
        np.int16
    )


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000])
def test_a_voice_goes_on(rate_hz) -> None:
    """The first 10 ms continue a periodic sound nearly as it would have gone on."""
    conceal, packet = Concealer(rate_hz), rate_hz // 50
    for index in range(5):
        conceal.good(tone(150, packet, rate_hz, index * packet))
    made = conceal.conceal(packet)
    wanted = tone(150, packet, rate_hz, 5 * packet)
    head = slice(0, packet // 2)
    error = made[head].astype(float) - wanted[head]
    assert np.sqrt(np.mean(error**2)) < 0.15 * 8_000


def test_a_long_gap_ends_in_silence() -> None:
    """From 60 ms on there is nothing."""
    conceal = Concealer(8_000)
    conceal.good(tone(150, 800))
    levels = [int(np.abs(conceal.conceal(160)).max()) for _ in range(5)]
    assert levels[0] > 6_000
    assert levels[0] > levels[1] > levels[2]
    assert levels[3:] == [0, 0]


def test_the_seam_is_smooth() -> None:
    """Neither where the gap begins nor where it ends is there a step larger than in speech."""
    conceal = Concealer(8_000)
    before = conceal.good(tone(200, 800))
    made = conceal.conceal(160)
    after = conceal.good(tone(200, 160, start=960))
    stream = np.concatenate((before, made, after)).astype(float)
    assert np.abs(np.diff(stream)).max() < 2_500


def test_audio_that_came_is_not_touched() -> None:
    """Without a gap it is bit-exact."""
    conceal = Concealer(8_000)
    audio = tone(300, 160)
    assert np.array_equal(conceal.good(audio), audio)


def test_nothing_comes_of_nothing() -> None:
    """A gap at the very start is silence."""
    assert not Concealer(8_000).conceal(160).any()
