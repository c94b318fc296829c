"""Reads an uploaded clip within limits and brings it to one form: mono, 24 kHz, 16 bit.

What comes from outside is never trusted: the format is told by the content, not by a name; the
length is bounded before and while it is decoded, so that a small file cannot become hours of audio;
nothing is unpickled and no path is used.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from callcenter.admin.problems import Problem, invalid
from callcenter.admin.voices.faults import fault
from callcenter.admin.voices.formats import TAKEN, describe
from callcenter.media.units import SAMPLE_RATE_HZ

MIN_CLIP_S = 1.0
MAX_CLIP_S = 20.0
MAX_UPLOAD_BYTES = 12_000_000  # 20 s of stereo at 96 kHz and 24 bit
MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 192_000
MAX_CHANNELS = 2
_BLOCK_SAMPLES = 65_536
_FORMATS = {
    ("WAV", ""): "audio/wav",
    ("WAVEX", ""): "audio/wav",
    ("RF64", ""): "audio/wav",
    ("AIFF", ""): "audio/aiff",
    ("FLAC", ""): "audio/flac",
    ("MP3", ""): "audio/mpeg",
    ("MPEG", ""): "audio/mpeg",
    ("OGG", "OPUS"): "audio/ogg",
    ("OGG", "VORBIS"): "audio/ogg",
}

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """A decoded clip.

    Attributes:
        media_type: of the upload.
        rate_hz: of the upload.
        samples: float32 [n], mono, at the upload's rate.
    """

    media_type: str
    rate_hz: int
    samples: Samples

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate_hz


def decode(content: bytes) -> Clip:
    """Decodes what `formats.TAKEN` names, with any codec that libsndfile knows in them.

    Raises:
        Problem: no audio, another format, outside the limits, or no sound in it.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            media_type = _media_type(file, content)
            _check_form(file)
            channels = _read(file)
            rate_hz = int(file.samplerate)
    except (soundfile.SoundFileError, ValueError, OverflowError):
        # No audio, cut off, another codec, or a header that no file can have.
        raise _bad_format(describe(content)) from None
    clip = Clip(media_type, rate_hz, channels.mean(axis=1))
    if clip.duration_s < MIN_CLIP_S:
        raise _bad_length(f"{clip.duration_s:.1f} s")
    if why_not := fault(channels):
        raise invalid(f"the clip cannot be a voice: {why_not}", "/file", "bad_audio")
    return clip


def normalised(clip: Clip) -> NDArray[np.int16]:
    """The clip as the engines take it: int16 [n], 24 kHz mono."""
    resampled: Samples = soxr.resample(clip.samples, clip.rate_hz, SAMPLE_RATE_HZ)
    pcm: NDArray[np.int16] = (np.clip(resampled, -1.0, 1.0) * 32_767).astype(np.int16)
    return pcm


def wav_of(pcm: NDArray[np.int16]) -> bytes:
    """A WAV file of 24 kHz samples."""
    file = io.BytesIO()
    soundfile.write(file, pcm, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _media_type(file: soundfile.SoundFile, content: bytes) -> str:
    codec = file.subtype if file.format == "OGG" else ""
    try:
        return _FORMATS[(file.format, codec)]
    except KeyError:
        known = describe(content)
        raise _bad_format(f"a {file.format} file" if known == "no audio file" else known) from None


def _bad_format(what: str) -> Problem:
    return invalid(
        f"this is {what}, which cannot be read as a voice; send {TAKEN}", "/file", "bad_audio"
    )


def _check_form(file: soundfile.SoundFile) -> None:
    if not MIN_RATE_HZ <= file.samplerate <= MAX_RATE_HZ:
        raise invalid(f"a rate of {file.samplerate} Hz is not taken", "/file", "bad_audio")
    if not 1 <= file.channels <= MAX_CHANNELS:
        raise invalid(f"{file.channels} channels are too many", "/file", "bad_audio")
    if file.frames > MAX_CLIP_S * file.samplerate:
        raise _bad_length(f"{file.frames / file.samplerate:.0f} s")


def _read(file: soundfile.SoundFile) -> Samples:
    """Float32 [n, channels], read block by block: a header may promise less than comes."""
    blocks: list[Samples] = []
    room = int(MAX_CLIP_S * file.samplerate)
    while True:
        block = file.read(_BLOCK_SAMPLES, dtype="float32", always_2d=True)
        if not len(block):
            break
        room -= len(block)
        if room < 0:
            raise _bad_length(f"more than {MAX_CLIP_S:g} s")
        blocks.append(block)
    if not blocks:
        raise _bad_length("0 s")
    samples = np.concatenate(blocks)
    if not np.isfinite(samples).all():
        raise invalid("the file holds samples that are no numbers", "/file", "bad_audio")
    return samples


def _bad_length(length: str) -> Problem:
    return invalid(
        f"the clip lasts {length}; {MIN_CLIP_S:g} to {MAX_CLIP_S:g} s of speech are needed",
        "/file",
        "bad_length",
    )
