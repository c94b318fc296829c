"""What is taken as a voice's clip, and what a refusal says."""

import contextlib
import io
import struct

import numpy as np
import pytest
import soundfile

from callcenter.admin.problems import Problem
from callcenter.admin.voices.audio import decode

RATE_HZ = 16_000
SECONDS = np.arange(2 * RATE_HZ) / RATE_HZ
# A tone of 180 Hz that comes and goes three times a second.
SPEECH = 0.3 * np.sin(2 * np.pi * 180 * SECONDS) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * SECONDS))


def file(samples: np.ndarray, form: str = "WAV", codec: str = "PCM_16") -> bytes:
    """Samples as a file."""
    content = io.BytesIO()
    soundfile.write(content, samples, RATE_HZ, format=form, subtype=codec)
    return content.getvalue()


def refusal(content: bytes) -> str:
    """What the answer says."""
    with pytest.raises(Problem) as refused:
        decode(content)
    (error,) = refused.value.errors
    assert error.pointer == "/file"
    assert "0x7" not in error.detail
    assert "object at" not in error.detail
    return error.detail


@pytest.mark.parametrize(
    ("form", "codec"),
    [
        ("WAV", "PCM_U8"), ("WAV", "DOUBLE"), ("WAV", "ULAW"), ("WAV", "ALAW"), ("WAV", "GSM610"),
        ("WAV", "G721_32"), ("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"), ("WAV", "NMS_ADPCM_16"),
        ("WAVEX", "PCM_24"), ("RF64", "PCM_16"), ("AIFF", "PCM_16"), ("AIFF", "ULAW"),
        ("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("OGG", "OPUS"),
    ],
)  # fmt: skip
def test_formats_that_are_read(form: str, codec: str) -> None:
    """All of the sound comes out, also of codecs that cannot be sought in."""
    clip = decode(file(SPEECH, form, codec))
    assert len(clip.samples) == pytest.approx(len(SPEECH), abs=1_020)  # one block of IMA ADPCM
    assert np.std(clip.samples) == pytest.approx(np.std(SPEECH), rel=0.2)


def test_a_stereo_recording_is_added_up() -> None:
    """Two channels of one sound, a silent one among them, and two that know nothing of another."""
    noise = 0.1 * np.random.default_rng(1).standard_normal((len(SPEECH), 2))
    for channels in (np.stack([SPEECH, SPEECH], 1), np.stack([SPEECH, 0 * SPEECH], 1), noise):
        assert np.allclose(decode(file(channels)).samples, channels.mean(axis=1), atol=1e-3)


@pytest.mark.parametrize(
    ("what", "samples", "words"),
    [
        ("digital silence", 0 * SPEECH, "it is silent"),
        ("a hiss far below hearing", SPEECH / 1_000, "silent, or nearly so: -7"),
        ("one channel inverted", np.stack([SPEECH, -SPEECH], 1), "cancel each other out"),
        ("one inverted and weaker", np.stack([SPEECH, -0.8 * SPEECH], 1), "cancel each other out"),
        ("a broken microphone", 0 * SPEECH + 0.4, "constant level (DC)"),
        ("hard clipping", np.clip(20 * SPEECH, -1, 1), "overdriven"),
        ("clipping, made quieter since", 0.2 * np.clip(20 * SPEECH, -1, 1), "overdriven"),
    ],
)
def test_recordings_that_cannot_be_a_voice(what: str, samples: np.ndarray, words: str) -> None:
    """Each is told what is wrong with it."""
    assert words in refusal(file(samples)), what


def test_a_little_of_a_fault_is_no_fault() -> None:
    """A constant part beside the voice, some clipped peaks, and one plain tone."""
    for samples in (SPEECH + 0.1, np.clip(3.0 * SPEECH, -0.85, 0.85), np.sin(SECONDS * 1_000)):
        decode(file(samples))


def wave_with(tag: int) -> bytes:
    """A WAV file with a codec by its number, and bytes of no meaning."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, 1, 8_000, 4_000, 1, 4)
    data = struct.pack("<4sI", b"data", 8_000) + bytes(8_000)
    return struct.pack("<4sI4s", b"RIFF", 4 + len(form) + len(data), b"WAVE") + form + data


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0\0\0\x20ftypM4A \0\0\2\0isomiso2" + bytes(900), "an M4A or MP4 file (AAC)"),
        (b"\x1a\x45\xdf\xa3" + bytes(900), "a WebM or Matroska file"),
        (b"\xff\xf1\x50\x80" + bytes(900), "an AAC file"),
        (b"#!AMR\n" + bytes(900), "an AMR file"),
        (wave_with(0x0045), "a WAV file with G.726 ADPCM inside"),
        (wave_with(0x0161), "a WAV file with WMA inside"),
        (wave_with(0x1234), "a WAV file with codec 0x1234 inside"),
        (file(SPEECH)[:30], "a damaged WAV file"),
        (b"RIFF\x10\0\0\0AVI " + bytes(90), "no WAV file"),
        (file(SPEECH, "CAF"), "a CAF file"),
        (file(SPEECH, "AU"), "an AU file"),
        (file(SPEECH, "W64"), "a Wave64 file"),
        (b"<!doctype html><p>no such file", "a page"),
        (b"", "an empty file"),
        (b"hello, here is my voice", "no audio file"),
    ],
)
def test_other_formats_are_named(content: bytes, words: str) -> None:
    """With those that are taken."""
    said = refusal(content)
    assert words in said
    assert "send WAV, AIFF, FLAC, MP3 or Ogg" in said


def test_odd_headers_never_raise_anything_else() -> None:
    """Every single byte of a header, at its extremes: read, or refused in our words."""
    good = file(SPEECH)
    for place in range(44):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            content = bytearray(good)
            content[place] = value
            with contextlib.suppress(Problem):
                assert len(decode(bytes(content)).samples) <= 20 * 192_000
