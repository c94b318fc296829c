"""What a recogniser hears in a recording of a call, for tests of the whole system."""

from pathlib import Path

import numpy as np
from faster_whisper import WhisperModel

from callcenter.evaluation.wav import read_wav
from callcenter.media.resample import resampler
from engine.cascade.models import find_models


def words(recording: Path) -> str:
    """What is said in a telephone recording, in small letters."""
    samples = resampler(8_000, 16_000).process(read_wav(recording))
    whisper = WhisperModel(str(find_models().whisper), device="cpu", compute_type="int8")
    segments, _ = whisper.transcribe(samples.astype(np.float32) / 32_768, language="en")
    return " ".join(segment.text for segment in segments).lower()
