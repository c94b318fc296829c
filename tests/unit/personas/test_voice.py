"""Voices: a file that says where the clip is from, and a clip that can be used."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from personas.errors import PersonaError
from personas.voice import VoiceFile, voice_of

Write = Callable[..., Path]


def _voice_file(clip: str = "ann.wav", **changes: str) -> VoiceFile:
    fields = {
        "name": "ann",
        "title": "Ann",
        "gender": "female",
        "licence": "CC0",
        "source": "recorded at home",
        "consent": "letter of 3 May",
        "transcript": "Hello.",
        "clip": clip,
    }
    return VoiceFile.model_validate(fields | changes)


def test_a_good_clip_becomes_a_voice(tmp_path: Path, write_wav: Write) -> None:
    """All fields are there, and the clip as a path."""
    clip = write_wav(tmp_path / "ann.wav")
    voice = voice_of(_voice_file(), tmp_path)
    assert voice.clip == clip
    assert (voice.name, voice.gender, voice.consent) == ("ann", "female", "letter of 3 May")


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 48_000])
def test_other_rates_are_left_to_the_engine(tmp_path: Path, write_wav: Write, rate_hz: int) -> None:
    """Length is measured in seconds, whatever the rate."""
    write_wav(tmp_path / "ann.wav", duration_s=1.5, rate_hz=rate_hz)
    assert voice_of(_voice_file(), tmp_path).clip.is_file()


@pytest.mark.parametrize(("duration_s", "said"), [(0.1, "0.1 s long"), (21.0, "21.0 s long")])
def test_too_short_and_too_long_are_refused(
    tmp_path: Path, write_wav: Write, duration_s: float, said: str
) -> None:
    """The message gives the length and the limits."""
    write_wav(tmp_path / "ann.wav", duration_s=duration_s)
    with pytest.raises(PersonaError, match=f"{said}; 1 to 20 s"):
        voice_of(_voice_file(), tmp_path)


@pytest.mark.parametrize("peak", [0.0, 0.005])
def test_silence_is_refused(tmp_path: Path, write_wav: Write, peak: float) -> None:
    """Digital silence, and the hiss of an open microphone."""
    write_wav(tmp_path / "ann.wav", peak=peak)
    with pytest.raises(PersonaError, match="is silent"):
        voice_of(_voice_file(), tmp_path)


def test_a_full_scale_negative_peak_is_loud(tmp_path: Path) -> None:
    """The most negative sample has no positive twin in 16 bits."""
    with wave.open(str(tmp_path / "ann.wav"), "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(24_000)
        audio.writeframes(b"\x00\x80" * 48_000)
    assert voice_of(_voice_file(), tmp_path).name == "ann"


def test_missing_clip_is_named(tmp_path: Path) -> None:
    """The file is there, the sound is not."""
    with pytest.raises(PersonaError, match=r"ann\.wav: the clip is missing"):
        voice_of(_voice_file(), tmp_path)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not audio at all, but long enough"])
def test_what_is_no_wav_is_refused(tmp_path: Path, content: bytes) -> None:
    """An empty file, a cut one, another one."""
    (tmp_path / "ann.wav").write_bytes(content)
    with pytest.raises(PersonaError, match="is not a PCM WAV file"):
        voice_of(_voice_file(), tmp_path)


def test_unknown_format_is_refused(tmp_path: Path) -> None:
    """The message lists what is known."""
    (tmp_path / "ann.docx").write_bytes(b"x")
    with pytest.raises(PersonaError, match=r"format is none of \.flac"):
        voice_of(_voice_file("ann.docx"), tmp_path)


def test_other_audio_formats_are_taken_unseen(tmp_path: Path) -> None:
    """The engine decodes them, and says so if it can't."""
    (tmp_path / "ann.flac").write_bytes(b"fLaC")
    assert voice_of(_voice_file("ann.flac"), tmp_path).clip.suffix == ".flac"


@pytest.mark.parametrize("clip", ["../ann.wav", "/etc/passwd", ".hidden.wav", "a/b.wav", ""])
def test_the_clip_stays_in_its_folder(clip: str) -> None:
    """A file name, never a path."""
    with pytest.raises(ValidationError, match="clip"):
        _voice_file(clip)


@pytest.mark.parametrize("missing", ["licence", "source", "consent"])
def test_origin_is_never_left_out(missing: str) -> None:
    """An empty licence, source or consent is none."""
    with pytest.raises(ValidationError, match=missing):
        _voice_file(**{missing: ""})
