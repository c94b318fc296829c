"""What is measured of a clip, and what a consent means."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from callcenter.admin.voices.audio import Clip
from callcenter.admin.voices.consent import why_blocked
from callcenter.admin.voices.quality import advice, bandwidth_hz, loudness_lufs, measure, snr_db

RATE_HZ = 24_000
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def clip(samples: np.ndarray) -> Clip:
    """A clip of 24 kHz."""
    return Clip("audio/wav", RATE_HZ, samples.astype(np.float32))


def tone(frequency_hz: float, amplitude: float = 0.1, seconds: float = 2.0) -> np.ndarray:
    """A sine."""
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(seconds * RATE_HZ) / RATE_HZ)


def test_bandwidth_of_a_tone() -> None:
    """Just at the tone."""
    assert bandwidth_hz(clip(tone(1_000))) == pytest.approx(1_000, abs=5)
    assert bandwidth_hz(clip(np.zeros(RATE_HZ))) == 0


def test_signal_over_noise() -> None:
    """Half loud, half 40 dB below."""
    quiet = np.concatenate([tone(500, 0.5), tone(500, 0.005)])
    assert snr_db(clip(quiet)) == pytest.approx(40.0, abs=0.5)


def test_loudness_of_the_standard_tone() -> None:
    """A 997 Hz sine at full scale on one channel has -3.01 LUFS (BS.1770-4)."""
    assert loudness_lufs(clip(tone(997, 1.0, 5.0))) == pytest.approx(-3.01, abs=0.1)
    assert loudness_lufs(clip(np.zeros(2 * RATE_HZ))) == -70.0


def test_a_bad_recording_gets_advice() -> None:
    """One line for each fault; a tone is no speech."""
    quality = measure(clip(np.clip(tone(300, 2.0, 12.0), -1, 1)))
    assert quality.clipped_ratio > 0.5
    assert quality.speech_ratio < 0.5
    found = " ".join(quality.advice)
    for words in ("overdriven", "telephone", "long", "less than half"):
        assert words in found
    better = {"speech_ratio": 0.9, "snr_db": 30, "clipped_ratio": 0, "bandwidth_hz": 9_000}
    good = quality.model_copy(update={**better, "loudness_lufs": -23.0, "duration_s": 5.0})
    assert advice(good) == []


def consent(**changes: object) -> dict:
    """A voice with a consent that is good."""
    base = {
        "kind": "written",
        "subject": "Anna",
        "document": "drawer 3",
        "scope": "telephone",
        "granted_at": "2026-01-01T00:00:00Z",
    }
    return {"name": "anna", "consent": {**base, **changes}}


@pytest.mark.parametrize(
    ("voice", "words"),
    [
        (consent(), ""),
        (consent(kind="synthetic", document=None), ""),
        ({"name": "anna", "consent": None}, "no record"),
        ({**consent(), "disabled": True}, "switched off"),
        (consent(document=None), "names no document"),
        (consent(revoked_at="2026-11-01T00:00:00Z"), "was revoked"),
        (consent(granted_at="2027-01-01T00:00:00Z"), "begins later"),
        (consent(expires_at="2026-11-22T00:00:00Z"), "has expired"),
        (consent(expires_at=(NOW + timedelta(seconds=1)).isoformat()), ""),
    ],
)
def test_when_a_voice_may_be_used(voice: dict, words: str) -> None:
    """By its consent, at a moment."""
    found = why_blocked(voice, NOW)
    assert words in found
    assert bool(words) is bool(found)
