"""From an uploaded file to a clip with its measures: everything that computes, and no database."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from callcenter.admin.voices import audio
from callcenter.admin.voices.quality import Quality, measure


@dataclass(frozen=True, slots=True)
class MeasuredClip:
    """A clip that can be stored.

    Attributes:
        wav: as the engines take it.
        sha256: of that.
        original_sha256: of the file as it was uploaded.
    """

    wav: bytes
    sha256: str
    original_sha256: str
    quality: Quality


def measured(content: bytes) -> MeasuredClip:
    """Decodes and measures a file; computes for a moment, so call it in a thread.

    Raises:
        Problem: it is no clip that can be used.
    """
    clip = audio.decode(content)
    wav = audio.wav_of(audio.normalised(clip))
    return MeasuredClip(
        wav=wav,
        sha256=hashlib.sha256(wav).hexdigest(),
        original_sha256=hashlib.sha256(content).hexdigest(),
        quality=measure(clip),
    )
