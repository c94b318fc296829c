"""Trains the judge of short bursts: `engine/cascade/assets/bursts.npz`.

Backchannels and the beginnings of interruptions are spoken by synthetic voices, sent through the
telephone (mu-law, some noise) into the real ears and turn machine; what these would ask the judge
about is what it learns from. Four voices never take part: the benchmark's recordings are theirs.

    python tests/data/cascade_callers/bursts.py

Needs the programs of `voices.py` and espeak-ng; runs for about ten minutes.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soxr
import voices
import yaml
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from engine.cascade.bursts import _WEIGHTS, BurstJudge
from engine.cascade.ears import RATE_HZ, Ears
from engine.cascade.models import find_models
from engine.cascade.turns import LEAD_IN_S, TurnTracker
from engine.cascade.voicing import VoiceDetector
from engine.interface import FRAME_SAMPLES

Floats = NDArray[np.float32]

ESPEAK = (("en-us", 50, 160), ("en-us+f3", 60, 180), ("en-gb", 40, 150), ("en-us+m4", 30, 170))
FLITE = ("rms", "awb", "kal16")
KOKORO = {
    "kokoro-a": {"jf_alpha": 1.0},
    "kokoro-b": {"jm_kumo": 1.0},
    "kokoro-d": {"jf_gongitsune": 1.0},
    "kokoro-f": {"jf_nezumi": 0.5, "jm_kumo": 0.5},
}
HUMS = {"mm-hm": "mˈhəm", "uh-huh": "ʌhˈʌ", "hmm": "hˈm", "mhm": "mhˈm", "mm": "mː", "aha": "ɑhˈɑ"}
LONGEST_S = 0.6  # what a judge still has to decide


def espeak(text: str, voice: str, pitch: int, speed: int) -> Floats:
    """Speaks with eSpeak NG; float32 [n] at 8 kHz."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        options = ["-v", voice, "-p", str(pitch), "-s", str(speed), "-w", file.name]
        subprocess.run(["espeak-ng", *options, text], check=True)
        return voices.read(file.name)


def spoken(text: str, kokoro: voices.Kokoro) -> Iterator[Floats]:
    """Yields one text in every training voice; only Kokoro can hum."""
    for voice in KOKORO:
        yield soxr.resample(kokoro.say(text, voice), 24_000, voices.RATE_HZ)
    if text in HUMS:
        return
    for name in FLITE:
        yield voices.flite(text, name)
    for voice, pitch, speed in ESPEAK:
        yield espeak(text, voice, pitch, speed)


def telephone(wave: Floats, rng: np.random.Generator) -> NDArray[np.int16]:
    """Random level, start and line noise, then mu-law; int16 at 24 kHz."""
    loud = np.flatnonzero(np.abs(wave) > 0.05 * np.abs(wave).max())
    wave = wave[loud[0] : loud[-1]] / np.abs(wave).max() * rng.uniform(0.1, 0.6)
    wave = np.concatenate([np.zeros(8_000 + rng.integers(640)), wave, np.zeros(4_000)])
    wave = np.clip(wave + rng.normal(0, rng.choice([0.0005, 0.002, 0.006]), len(wave)), -1, 1)
    coded = np.round(np.sign(wave) * np.log1p(255 * np.abs(wave)) / np.log1p(255) * 127) / 127
    decoded = np.sign(coded) * np.expm1(np.abs(coded) * np.log1p(255)) / 255
    wide = soxr.resample(decoded.astype(np.float32), voices.RATE_HZ, 24_000)
    return (wide * 32_767).clip(-32_768, 32_767).astype(np.int16)


def bursts(sound: NDArray[np.int16], detector: VoiceDetector) -> Iterator[Floats]:
    """Yields what the judge would be asked about while the agent speaks."""
    ears, tracker = Ears(detector.stream()), TurnTracker()
    for start in range(0, len(sound) - FRAME_SAMPLES + 1, FRAME_SAMPLES):
        at_s = 0.0
        for chunk in ears.hear(sound[start : start + FRAME_SAMPLES], eager=True):
            at_s = chunk.end_sample / RATE_HZ
            tracker.update(chunk.voiced, True, at_s)
        if burst := tracker.open_burst(at_s):
            if burst.end_s - burst.start_s - LEAD_IN_S > LONGEST_S:
                return
            yield ears.samples(int(burst.start_s * RATE_HZ), int(burst.end_s * RATE_HZ))


def main() -> None:
    """Trains on all texts of `bursts.yaml` and writes the weights."""
    texts = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    files = find_models("tiny")
    voices.KOKORO.update(KOKORO)
    kokoro = voices.Kokoro()
    kokoro._lexicon.update(HUMS)
    judge, detector = BurstJudge(files.burst_whisper), VoiceDetector(files.voicing)
    rng = np.random.default_rng(0)
    summaries, labels = [], []
    for kind, repeats in (("backchannels", 3), ("interruptions", 2)):
        for text in texts[kind]:
            for wave in spoken(text, kokoro):
                for _ in range(repeats):
                    found = [judge.summary(b) for b in bursts(telephone(wave, rng), detector)]
                    summaries += found
                    labels += [kind == "backchannels"] * len(found)
    scaler = StandardScaler().fit(summaries)
    model = LogisticRegression(C=0.003, max_iter=3_000, class_weight="balanced")
    model.fit(scaler.transform(summaries), labels)
    weight = (model.coef_[0] / scaler.scale_).astype(np.float32)
    bias = np.float32(model.intercept_[0] - weight @ scaler.mean_)
    np.savez(_WEIGHTS, weight=weight, bias=bias)


if __name__ == "__main__":
    main()
