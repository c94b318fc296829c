"""Audio frames in the call's form."""

import numpy as np
import pytest

from callcenter.errors import ProtocolError
from callcenter.telephony.pipecat.form import AudioForm, call_rate


def tone(rate_hz: int, channels: int, seconds: float = 1.0) -> bytes:
    """440 Hz on every channel."""
    time_s = np.arange(round(rate_hz * seconds)) / rate_hz
    one = (8_000 * np.sin(2 * np.pi * 440 * time_s)).astype("<i2")
    return np.repeat(one[:, None], channels, axis=1).tobytes()


def pieces(audio: bytes, size: int) -> list[bytes]:
    """The same in frames of so many bytes."""
    return [audio[at : at + size] for at in range(0, len(audio), size)]


@pytest.mark.parametrize("to_hz", [8_000, 16_000, 24_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("from_hz", [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_every_form_keeps_its_length_and_its_pitch(from_hz, channels, to_hz) -> None:
    """A second stays one, a tone its pitch and its level."""
    form = AudioForm(to_hz)
    frames = pieces(tone(from_hz, channels), 2 * channels * (from_hz // 50))
    made = b"".join(form.take(frame, from_hz, channels) for frame in frames)
    samples = np.frombuffer(made, "<i2").astype(float)
    assert abs(samples.size - to_hz) < to_hz / 50
    middle = samples[to_hz // 4 : to_hz * 3 // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(middle.size)))
    assert np.argmax(spectrum) * to_hz / middle.size == pytest.approx(440, abs=4)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(8_000 / np.sqrt(2), rel=0.02)


@pytest.mark.parametrize("size", [1, 3, 321, 1_001])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_sample_may_be_cut_in_two(size, channels) -> None:
    """Its parts come in two frames; nothing shifts."""
    form, audio = AudioForm(24_000), tone(24_000, channels, 0.1)
    made = b"".join(form.take(frame, 24_000, channels) for frame in pieces(audio, size))
    assert made == tone(24_000, 1, 0.1)


def test_the_form_may_change_in_mid_call() -> None:
    """What is left of a sample belongs to no other form."""
    form = AudioForm(8_000)
    assert form.take(b"\x01", 8_000, 1) == b""
    assert form.take(b"\x64\x00\x2c\x01" * 80, 8_000, 2) == b"\xc8\x00" * 80
    assert form.take(b"\x07\x00" * 160, 8_000, 1) == b"\x07\x00" * 160


@pytest.mark.parametrize(
    ("rate_hz", "channels"), [(0, 1), (-8, 1), (7_919, 1), (8_000, 0), (8_000, 9)]
)
def test_what_cannot_be_converted_is_refused(rate_hz, channels) -> None:
    """And what comes next is taken."""
    form = AudioForm(24_000)
    with pytest.raises(ProtocolError):
        form.take(bytes(320), rate_hz, channels)
    assert form.take(bytes(960), 24_000, 1) == bytes(960)


def test_the_rate_of_the_call() -> None:
    """The pipeline's own, or the model's."""
    assert [call_rate(hz) for hz in (8_000, 16_000, 24_000, 48_000)] == [
        8_000, 16_000, 24_000, 24_000,
    ]  # fmt: skip
