"""Voice is told from silence, noise and echo, and the sound is remembered."""

import numpy as np
from numpy.typing import NDArray

from engine.cascade.ears import RATE_HZ, Chunk, Ears
from engine.interface import FRAME_SAMPLES
from tests.unit.engine.cascade.rooms import detector, recording

VOICE = recording("manners/question")
RNG = np.random.default_rng(3)


def hear(ears: Ears, samples: NDArray[np.int16]) -> list[Chunk]:
    """Feeds whole frames."""
    whole = range(0, len(samples) - FRAME_SAMPLES + 1, FRAME_SAMPLES)
    return [chunk for i in whole for chunk in ears.hear(samples[i : i + FRAME_SAMPLES])]


def test_hears_a_voice() -> None:
    """Most chunks of a sentence are voiced."""
    chunks = hear(Ears(detector().stream()), VOICE)
    assert sum(chunk.voiced for chunk in chunks) > 0.5 * len(chunks)


def test_noise_and_silence_are_no_voice() -> None:
    """Hiss, digital silence, a tone."""
    hiss = RNG.normal(0, 2_000, 48_000).astype(np.int16)
    tone = (8_000 * np.sin(np.arange(48_000) * 2 * np.pi * 440 / 24_000)).astype(np.int16)
    for sound in (hiss, np.zeros(48_000, np.int16), tone):
        assert sum(chunk.voiced for chunk in hear(Ears(detector().stream()), sound)) <= 3


def test_chunks_are_counted_on_the_calls_clock() -> None:
    """Every 512 samples at 16 kHz, without a gap."""
    ends = [
        chunk.end_sample for chunk in hear(Ears(detector().stream()), np.zeros(48_000, np.int16))
    ]
    assert ends == [512 * (i + 1) for i in range(len(ends))]
    assert ends[-1] > 1.9 * RATE_HZ


def test_remembers_the_sound() -> None:
    """A stretch of the past at 16 kHz, cut where memory ends."""
    ears = Ears(detector().stream())
    hear(ears, VOICE)
    assert len(ears.samples(1_000, 3_000)) == 2_000
    assert np.abs(ears.samples(0, 16_000)).max() > 0.05
    assert len(ears.samples(0, 10**9)) <= 2 * RATE_HZ
    assert len(Ears(detector().stream()).samples(0, 100)) == 0


def test_the_own_echo_is_silence() -> None:
    """The same voice 200 ms after we said it, 25 dB down."""
    ears = Ears(detector().stream())
    frames = [VOICE[i : i + FRAME_SAMPLES] for i in range(0, len(VOICE) - 1_919, FRAME_SAMPLES)]
    silence = np.zeros(FRAME_SAMPLES, np.int16)
    voiced = 0
    for index, frame in enumerate(frames):
        past = frames[index - 3] if index >= 3 else silence
        voiced += sum(chunk.voiced for chunk in ears.hear((past * 0.056).astype(np.int16)))
        ears.said(frame)
    assert voiced <= 4
