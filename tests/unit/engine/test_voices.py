"""Voices from audio clips and from published files."""

from __future__ import annotations

import contextlib
import io
import itertools
import pickle
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile
import torch

from engine.config import DELAYS, PAD_TEXT
from engine.interface import PromptRejected
from engine.prompts import USER_SINE, from_start, role_frames
from engine.voices import decode_clip, load_voice, published_voice, read_clip
from tests.unit.engine import engine_cases

CONFIG = engine_cases.config()


def speech(seconds: float, rate_hz: int = 24_000) -> np.ndarray:
    """Noise that comes and goes three times a second."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    noise = np.random.default_rng(0).standard_normal(len(time))
    return 0.05 * noise * (1.1 + np.sin(2 * np.pi * 3 * time))


def test_clip_becomes_mono_24_khz_at_24_lufs(tmp_path: Path) -> None:
    """Stereo at 44.1 kHz and too quiet: right rate, length and loudness, whatever the format."""
    sound = speech(2.0, 44_100)
    for suffix in ("wav", "flac", "ogg"):
        path = tmp_path / f"clip.{suffix}"
        soundfile.write(path, np.stack([sound, 0.3 * sound], axis=1), 44_100)
        clip = read_clip(path)
        assert clip.dtype == np.float32
        assert clip.ndim == 1
        assert abs(len(clip) - 48_000) <= 24
        loudness = pyloudnorm.Meter(24_000).integrated_loudness(clip)
        assert loudness == pytest.approx(-24.0, abs=0.1)


def test_tone_keeps_its_pitch(tmp_path: Path) -> None:
    """440 Hz at 16 kHz is 440 Hz at 24 kHz."""
    path = tmp_path / "tone.wav"
    soundfile.write(path, 0.2 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000), 16_000)
    spectrum = np.abs(np.fft.rfft(read_clip(path)))
    assert np.argmax(spectrum) == 440


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.1, "lasts 0.10 s; it must be 0.4 to 60 s"), (60.5, "lasts 60.50 s")],
)
def test_clip_of_wrong_length_is_refused(tmp_path: Path, seconds: float, words: str) -> None:
    """Too short to measure, too long to remember."""
    path = tmp_path / "clip.wav"
    soundfile.write(path, speech(seconds, 8000), 8000)
    with pytest.raises(PromptRejected, match=words):
        read_clip(path)


@pytest.mark.parametrize("level", [0.0, 1e-7])
def test_silent_clip_is_refused(tmp_path: Path, level: float) -> None:
    """Digital silence, and a hiss below the gate of BS.1770."""
    path = tmp_path / "mute.wav"
    soundfile.write(path, level * speech(1.0), 24_000, subtype="FLOAT")
    with pytest.raises(PromptRejected, match=r"mute\.wav is silent"):
        read_clip(path)


def test_file_that_is_no_audio_is_refused(tmp_path: Path) -> None:
    """Text with a .wav name, and a name without a file."""
    path = tmp_path / "note.wav"
    path.write_text("not a sound")
    with pytest.raises(PromptRejected, match=r"note\.wav cannot be read"):
        read_clip(path)
    with pytest.raises(PromptRejected, match=r"gone\.wav cannot be read"):
        read_clip(tmp_path / "gone.wav")


@pytest.mark.parametrize("codec", ["GSM610", "G721_32", "NMS_ADPCM_16", "ALAW", "ULAW"])
def test_old_telephone_codecs_are_read(codec: str) -> None:
    """Also those that cannot be sought in."""
    file = io.BytesIO()
    soundfile.write(file, speech(1.0, 8_000), 8_000, format="WAV", subtype=codec)
    file.seek(0)
    assert len(decode_clip(file, codec)) == pytest.approx(24_000, abs=960)  # a block of GSM


def test_odd_headers_are_read_or_refused() -> None:
    """Every single byte of a WAV header at its extremes; nothing else is ever raised."""
    file = io.BytesIO()
    soundfile.write(file, speech(1.0, 8_000), 8_000, format="WAV")
    for place, value in itertools.product(range(44), (0, 1, 0x7F, 0x80, 0xFF)):
        content = bytearray(file.getvalue())
        content[place] = value
        with contextlib.suppress(PromptRejected):
            assert len(decode_clip(io.BytesIO(content), "odd")) <= 60 * 24_000 + 1


def test_clip_becomes_frames_of_its_codes(tmp_path: Path) -> None:
    """Padded to whole frames; text is padding, the user a sine, the agent the clip's codes."""
    path = tmp_path / "clip.wav"
    soundfile.write(path, speech(0.5), 24_000)
    mimi = engine_cases.models().mimi
    voice = load_voice(path, mimi, CONFIG)
    assert voice.positions == 7  # 12,000 samples are 6.25 frames
    padded = np.pad(read_clip(path), (0, 7 * 1920 - 12_000))
    codes = mimi.encode(torch.from_numpy(padded)[None, None])[0].T.numpy()
    assert np.array_equal(voice.frames[:, 1:9], codes)
    assert (voice.frames[:, 0] == PAD_TEXT).all()
    assert (voice.frames[:, 9:] == USER_SINE).all()
    assert voice.embeddings.shape == (0, CONFIG.dim)


def write_published(path: Path, frame_count: int) -> np.ndarray:
    """Writes a voice as the reference saves it, from random frames; returns the frames."""
    lm = engine_cases.models().lm
    generator = np.random.default_rng(5)
    said = generator.integers(0, 2048, (frame_count, 17))
    said[:, 0] = PAD_TEXT
    grid = from_start(said, CONFIG)
    count = frame_count - 1
    embeddings = lm.embed(torch.from_numpy(grid.columns[:count]))
    ring = torch.full((1, 17, 4), -2)
    ring[0, :, count % 4] = torch.from_numpy(grid.columns[count])
    delayed = torch.tensor(DELAYS, dtype=torch.bool)
    ring[0, delayed, (count + 1) % 4] = torch.from_numpy(grid.pending)[delayed]
    torch.save({"embeddings": embeddings[:, None, None], "cache": ring}, path)
    return said


@pytest.mark.parametrize("frame_count", [2, 5, 8, 51])
def test_published_voice_is_the_clip_it_was_made_from(tmp_path: Path, frame_count: int) -> None:
    """Inputs and columns, followed by a role text, equal those of the frames themselves."""
    said = write_published(tmp_path / "NAT.pt", frame_count)
    voice = load_voice(tmp_path / "NAT.pt", engine_cases.models().mimi, CONFIG)
    assert voice.positions == frame_count
    role = [10, 11]
    expected = from_start(np.concatenate([said, role_frames(role, CONFIG)]), CONFIG)
    prompt = voice.prompt(role, CONFIG)
    given = frame_count - 1
    assert np.array_equal(prompt.columns, expected.columns[given:])
    assert np.array_equal(prompt.pending, expected.pending)
    embedded = engine_cases.models().lm.embed(torch.from_numpy(expected.columns[:given]))
    assert torch.equal(voice.embeddings, embedded)


def saved(path: Path, content: object) -> Path:
    """A file made by torch.save."""
    torch.save(content, path)
    return path


def test_published_voice_of_another_model_is_refused(tmp_path: Path) -> None:
    """Shapes, missing entries and impossible tokens are told apart."""
    ring = torch.zeros(1, 17, 4, dtype=torch.int64)
    embeddings = torch.zeros(3, 1, 1, CONFIG.dim)
    path = tmp_path / "v.pt"
    with pytest.raises(PromptRejected, match=r"another model: embeddings \[3, 1, 1, 8\]"):
        published_voice(saved(path, {"embeddings": embeddings[..., :8], "cache": ring}), CONFIG)
    with pytest.raises(PromptRejected, match="holds no 'embeddings' and 'cache'"):
        published_voice(saved(path, {"cache": ring}), CONFIG)
    with pytest.raises(PromptRejected, match="holds no 'embeddings' and 'cache'"):
        published_voice(saved(path, [1, 2]), CONFIG)
    for token in (-2, 2049):
        saved(path, {"embeddings": embeddings, "cache": torch.full_like(ring, token)})
        with pytest.raises(PromptRejected, match="tokens that this model does not have"):
            published_voice(path, CONFIG)


def test_published_voice_cannot_run_code(tmp_path: Path) -> None:
    """A pickle that would call a function is refused unread; so is a file of noise."""
    path = tmp_path / "evil.pt"
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (marker,))

    with path.open("wb") as file:
        pickle.dump(Evil(), file, protocol=2)
    with pytest.raises(PromptRejected, match=r"evil\.pt cannot be read"):
        published_voice(path, CONFIG)
    assert not marker.exists()
    path.write_bytes(b"noise")
    with pytest.raises(PromptRejected, match=r"evil\.pt cannot be read"):
        published_voice(path, CONFIG)
