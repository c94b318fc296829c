"""WAV files of many kinds become telephone audio."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from callcenter.errors import ConfigurationError
from callcenter.evaluation.wav import read_wav, write_wav


def write(path: Path, raw: bytes, rate_hz: int, width: int = 2, channels: int = 1) -> Path:
    """A WAV file with the given bytes."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(raw)
    return path


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_any_rate_becomes_8_khz(tmp_path: Path, rate_hz: int) -> None:
    """A 1 kHz tone of one second keeps frequency, level and length."""
    tone = (10_000 * np.sin(2 * np.pi * 1_000 / rate_hz * np.arange(rate_hz))).astype("<i2")
    heard = read_wav(write(tmp_path / "a.wav", tone.tobytes(), rate_hz))
    assert 8_000 <= heard.size <= 8_500
    middle = heard[1_000:7_000].astype(np.float64)
    assert np.argmax(np.abs(np.fft.rfft(middle))) == 750
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(10_000, rel=0.02)


def test_every_sample_width(tmp_path: Path) -> None:
    """8-bit is unsigned, 24 and 32 bits keep their high bytes."""
    level = 0x1200
    raw = {1: bytes([0x80 + 0x12]), 2: b"\x00\x12", 3: b"\xff\x00\x12", 4: b"\xff\xff\x00\x12"}
    for width, sample in raw.items():
        heard = read_wav(write(tmp_path / f"{width}.wav", sample * 800, 8_000, width))
        assert heard[:800].tolist() == [level] * 800


def test_stereo_is_mixed(tmp_path: Path) -> None:
    """Both channels are heard, without overflow."""
    both = np.tile(np.array([30_000, 20_000], "<i2"), 400)
    heard = read_wav(write(tmp_path / "s.wav", both.tobytes(), 8_000, channels=2))
    assert heard[0] == 25_000


def test_written_channels_are_read_back(tmp_path: Path) -> None:
    """Left and right keep their sides."""
    left, right = np.full(160, 1, np.int16), np.full(160, -2, np.int16)
    write_wav(tmp_path / "out.wav", [left, right])
    with wave.open(str(tmp_path / "out.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 8_000, 160)
        assert np.frombuffer(file.readframes(1), "<i2").tolist() == [1, -2]


@pytest.mark.parametrize("content", [None, b"", b"not audio at all", b"RIFF\x24\x00\x00\x00WAVE"])
def test_what_is_no_wav_is_named(tmp_path: Path, content: bytes | None) -> None:
    """Missing, empty, text or torn: the error names the file."""
    path = tmp_path / "broken.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"broken\.wav"):
        read_wav(path)
