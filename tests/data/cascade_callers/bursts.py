"""Trains the judge of short bursts: `engine/cascade/assets/bursts.npz`.

Backchannels and the beginnings of interruptions are spoken by synthetic voices, sent through the
telephone (mu-law, some noise) into the real ears and turn machine; what these would ask the judge
about is what it learns from. The speakers of `manners/` and `unseen/` never take part.

It learns words more than tones of voice: with 66 kinds of backchannels in place of these 20 it took
two more of the 20 interruptions of `manners/` for a nod at first. So it keeps to the usual ones.

    python -m tests.data.cascade_callers.bursts

Needs what `voices.py` needs; runs for about a quarter of an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import soxr
import yaml
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from engine.cascade.bursts import WEIGHTS, BurstJudge
from engine.cascade.ears import RATE_HZ, Ears
from engine.cascade.models import find_models
from engine.cascade.turns import LEAD_IN_S, TurnTracker
from engine.cascade.voicing import VoiceDetector
from engine.interface import FRAME_SAMPLES, SAMPLE_RATE_HZ
from tests.data.cascade_callers import voices
from tests.data.cascade_callers.voices import Floats, Kokoro

ESPEAK = (
    "-v en-us -p 50 -s 160",
    "-v en-us+f3 -p 60 -s 180",
    "-v en-gb -p 40 -s 150",
    "-v en-us+m4 -p 30 -s 170",
)
FLITE = ("rms", "awb", "kal16")
KOKORO = ("kokoro-a", "kokoro-b", "kokoro-d", "kokoro-f")
HUMS = {"mm-hm": "mˈhəm", "uh-huh": "ʌhˈʌ", "hmm": "hˈm", "mhm": "mhˈm", "mm": "mː", "aha": "ɑhˈɑ"}
TAKES = {"backchannels": 3, "interruptions": 2}  # of every recording, on lines of their own
LONGEST_S = 0.6  # what a judge still has to decide


def spoken(text: str, kokoro: Kokoro) -> Iterator[Floats]:
    """Yields one text in every training voice; only Kokoro can hum."""
    for name in KOKORO:
        yield soxr.resample(kokoro.say(text, name), SAMPLE_RATE_HZ, voices.RATE_HZ)
    if text in HUMS:
        return
    for name in FLITE:
        yield voices.flite(text, name)
    for options in ESPEAK:
        yield voices.espeak(text, options)


def telephone(wave: Floats, rng: np.random.Generator) -> NDArray[np.int16]:
    """Random level, start and line noise, then mu-law; int16 at 24 kHz."""
    loud = np.flatnonzero(np.abs(wave) > 0.05 * np.abs(wave).max())
    wave = wave[loud[0] : loud[-1]] / np.abs(wave).max() * rng.uniform(0.1, 0.6)
    wave = np.concatenate([np.zeros(8_000 + rng.integers(640)), wave, np.zeros(4_000)])
    wave = np.clip(wave + rng.normal(0, rng.choice([0.0005, 0.002, 0.006]), len(wave)), -1, 1)
    coded = np.round(np.sign(wave) * np.log1p(255 * np.abs(wave)) / np.log1p(255) * 127) / 127
    decoded = np.sign(coded) * np.expm1(np.abs(coded) * np.log1p(255)) / 255
    wide = soxr.resample(decoded.astype(np.float32), voices.RATE_HZ, SAMPLE_RATE_HZ)
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


def examples() -> Iterator[tuple[Floats, bool]]:
    """Yields (summary, is a backchannel) for the texts of `bursts.yaml`."""
    texts = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    files = find_models("tiny")
    kokoro = Kokoro(HUMS)
    judge, detector = BurstJudge(files.burst_whisper), VoiceDetector(files.voicing)
    rng = np.random.default_rng(0)
    for kind, takes in TAKES.items():
        for text in texts[kind]:
            for wave in chain.from_iterable(repeat(wave, takes) for wave in spoken(text, kokoro)):
                for burst in bursts(telephone(wave, rng), detector):
                    yield judge.summary(burst), kind == "backchannels"


def fit(summaries: Floats, labels: NDArray[np.bool_]) -> tuple[Floats, np.float32]:
    """Returns weight float32 [768] and bias of the log-odds of a backchannel."""
    scaler = StandardScaler().fit(summaries)
    model = LogisticRegression(C=0.003, max_iter=3_000, class_weight="balanced")
    model.fit(scaler.transform(summaries), labels)
    weight = (model.coef_[0] / scaler.scale_).astype(np.float32)
    return weight, np.float32(model.intercept_[0] - weight @ scaler.mean_)


def main() -> None:
    """Trains on all texts of `bursts.yaml` and writes the weights."""
    summaries, labels = zip(*examples(), strict=True)
    weight, bias = fit(np.array(summaries), np.array(labels))
    np.savez(WEIGHTS, weight=weight, bias=bias)


if __name__ == "__main__":
    main()
