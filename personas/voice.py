"""A voice: a few seconds of one speaker that the model is prompted with, and where it is from.

Knows what a usable clip looks like; does not decode anything but WAV (the engine reads the
other formats) and does not judge how a voice sounds.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, StringConstraints

from personas.dialogue import Line, Slug, Strict
from personas.errors import PersonaError

MIN_CLIP_S = 1.0
MAX_CLIP_S = 20.0
_SILENCE_PEAK = 0.01  # of full scale: -40 dBFS
_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".pt"})


class VoiceFile(Strict):
    """A voice, as its file states it.

    Attributes:
        name: slug; also the file's name.
        title: for people: "Clara, warm and clear".
        gender: lets an engine with voices of its own pick the nearest.
        language: BCP 47 tag of what is spoken in the clip.
        licence: under which the clip may be used and passed on.
        source: who or what spoke it and how the clip was made.
        consent: `synthetic` (no real person is imitated on purpose), or where the speaker's
            written consent is kept.
        transcript: the words of the clip.
        clip: file name beside this file.
    """

    name: Slug
    title: Line
    gender: Literal["female", "male", "neutral"]
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")] = "en"
    licence: Line
    source: Annotated[str, Field(min_length=1, max_length=2_000)]
    consent: Line
    transcript: Annotated[str, Field(max_length=2_000)]
    clip: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice whose clip is there and was looked at; fields as in `VoiceFile`."""

    name: str
    title: str
    gender: str
    language: str
    licence: str
    source: str
    consent: str
    transcript: str
    clip: Path


def voice_of(file: VoiceFile, folder: Path) -> Voice:
    """Joins a voice file with the clip beside it.

    Raises:
        PersonaError: the clip is missing, of an unknown format or unusable.
    """
    clip = folder / file.clip
    _check_clip(clip)
    return Voice(**file.model_dump(exclude={"clip"}), clip=clip)


def _check_clip(clip: Path) -> None:
    if clip.suffix not in _SUFFIXES:
        raise PersonaError(f"{clip}: format is none of {', '.join(sorted(_SUFFIXES))}")
    if not clip.is_file():
        raise PersonaError(f"{clip}: the clip is missing")
    if clip.suffix == ".wav":
        _check_wav(clip)


def _check_wav(clip: Path) -> None:
    try:
        with wave.open(str(clip)) as audio:
            width_bytes, rate_hz, count = (
                audio.getsampwidth(),
                audio.getframerate(),
                audio.getnframes(),
            )
            pcm = audio.readframes(count)
    except (wave.Error, EOFError) as error:  # float samples, a cut header, another format inside
        raise PersonaError(f"{clip}: is not a PCM WAV file ({error}); convert it") from error
    duration_s = count / rate_hz
    if not MIN_CLIP_S <= duration_s <= MAX_CLIP_S:
        limits = f"{MIN_CLIP_S:g} to {MAX_CLIP_S:g} s"
        raise PersonaError(f"{clip}: is {duration_s:.1f} s long; {limits} of speech are needed")
    if width_bytes == 2 and _peak(pcm) < _SILENCE_PEAK:
        raise PersonaError(f"{clip}: is silent; record it again")


def _peak(pcm: bytes) -> float:
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.int32)
    return float(np.abs(samples).max(initial=0)) / 32_768
