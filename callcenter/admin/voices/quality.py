"""Measures a voice clip: would a listener, and the model, take it for a clean voice.

Pure numbers on samples; whether they are good enough is said in words beside them, and decided by
people.
"""

from __future__ import annotations

import warnings

import numpy as np
import pyloudnorm
from numpy.typing import NDArray
from pydantic import BaseModel

from callcenter.admin.voices.audio import Clip, normalised
from callcenter.events import SpeechStarted
from callcenter.media.units import FRAME_SAMPLES, SAMPLE_RATE_HZ
from callcenter.media.vad import SpeechDetector

_WINDOW_S = 0.02
_SILENCE_DBFS = -60.0
_CLIPPED = 0.999
_ROLL_OFF = 0.999  # share of the energy below the bandwidth
_FLOOR = 1e-10


class Quality(BaseModel):
    """What was measured.

    Attributes:
        duration_s: length.
        rate_hz: of the upload.
        bandwidth_hz: 99.9 % of the energy is below.
        snr_db: level of the loud windows over that of the quiet ones.
        clipped_ratio: share of samples at full scale.
        speech_ratio: share of the time in which somebody speaks.
        loudness_lufs: integrated, ITU-R BS.1770.
        advice: what could be better; empty if nothing.
    """

    duration_s: float
    rate_hz: int
    bandwidth_hz: int
    snr_db: float
    clipped_ratio: float
    speech_ratio: float
    loudness_lufs: float
    advice: list[str]


def measure(clip: Clip) -> Quality:
    """Measures a clip; takes some tens of milliseconds."""
    quality = Quality(
        duration_s=round(clip.duration_s, 2),
        rate_hz=clip.rate_hz,
        bandwidth_hz=bandwidth_hz(clip),
        snr_db=round(snr_db(clip), 1),
        clipped_ratio=round(float(np.mean(np.abs(clip.samples) >= _CLIPPED)), 5),
        speech_ratio=round(speech_ratio(normalised(clip)), 2),
        loudness_lufs=round(loudness_lufs(clip), 1),
        advice=[],
    )
    return quality.model_copy(update={"advice": advice(quality)})


def advice(quality: Quality) -> list[str]:
    """What a person should do better in the next recording."""
    found = [
        (quality.speech_ratio < 0.5, "less than half of the clip is speech; cut the pauses out"),
        (quality.snr_db < 20.0, "there is noise; record in a quiet room"),
        (quality.clipped_ratio > 0.001, "it is overdriven; record it more quietly"),
        (quality.bandwidth_hz < 5_000, "it sounds like a telephone; record with a microphone"),
        (quality.loudness_lufs < -40.0, "it is very quiet; go nearer to the microphone"),
        (quality.duration_s > 10.0, "it is long; 4 to 8 s are enough and save memory on each call"),
    ]
    return [words for applies, words in found if applies]


def bandwidth_hz(clip: Clip) -> int:
    """Frequency below which nearly all energy is."""
    power = np.abs(np.fft.rfft(clip.samples)) ** 2
    total = np.cumsum(power)
    if total[-1] < _FLOOR:
        return 0
    index = int(np.searchsorted(total, _ROLL_OFF * total[-1]))
    return round(index * clip.rate_hz / len(clip.samples))


def snr_db(clip: Clip) -> float:
    """Level of the loudest tenth of windows over that of the quietest tenth."""
    levels = _levels_db(clip)
    return float(np.percentile(levels, 90) - np.percentile(levels, 10))


def speech_ratio(pcm: NDArray[np.int16]) -> float:
    """Share of the frames in which the detector hears speech; int16 [n] at 24 kHz."""
    detector, speaking_frames, frames = SpeechDetector(), 0, len(pcm) // FRAME_SAMPLES
    speaking = False
    for index in range(frames):
        frame = pcm[index * FRAME_SAMPLES : (index + 1) * FRAME_SAMPLES]
        for edge in detector.push(frame, index * FRAME_SAMPLES / SAMPLE_RATE_HZ):
            speaking = isinstance(edge, SpeechStarted)
        speaking_frames += speaking
    return speaking_frames / frames if frames else 0.0


def loudness_lufs(clip: Clip) -> float:
    """Integrated loudness; -70 (the gate of BS.1770) for silence."""
    meter = pyloudnorm.Meter(clip.rate_hz)
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore")
        loudness = float(meter.integrated_loudness(clip.samples.astype(np.float64)))
    return max(-70.0, loudness) if np.isfinite(loudness) else -70.0


def _levels_db(clip: Clip) -> NDArray[np.float64]:
    size = max(1, round(_WINDOW_S * clip.rate_hz))
    windows = clip.samples[: len(clip.samples) // size * size].reshape(-1, size)
    power = np.mean(windows.astype(np.float64) ** 2, axis=1)
    levels: NDArray[np.float64] = 10.0 * np.log10(np.maximum(power, _FLOOR))
    return levels.clip(min=_SILENCE_DBFS)
