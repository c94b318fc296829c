"""A tiny engine of the true architecture, with the codec at its true frame of 80 ms."""

from __future__ import annotations

import copy
import functools
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from safetensors.torch import load_file

from engine.checkpoint import TINY, write_tiny
from engine.config import CheckpointConfig, EngineLimits, LMConfig
from engine.engine import PersonaPlexEngine
from engine.interface import FRAME_SAMPLES, Frame, FrameOutput, Sampling, SessionSpec
from engine.model.sampling import Noise
from engine.weights import LM_FILE, Models, load_models, open_checkpoint

ROLE = "Ada at a bank"
GREEDY = Sampling(text_temperature=0.0, audio_temperature=0.0)
WINDOW = 96
VOICE_FRAMES = 7

LIMITS = EngineLimits(
    slots=3, page_size=8, min_window_positions=16, prompt_positions=200, cached_prompts=2
)


@functools.cache
def folder() -> Path:
    """A folder for the checkpoint and the voice of all tests; it goes with the process."""
    keeper = tempfile.TemporaryDirectory(prefix="tiny-")
    _KEEPERS.append(keeper)
    return Path(keeper.name)


_KEEPERS: list[tempfile.TemporaryDirectory[str]] = []


@functools.cache
def tiny_config(window: int = WINDOW) -> CheckpointConfig:
    """The tiny checkpoint's sizes with a short window."""
    return replace(TINY, lm=replace(TINY.lm, window_positions=window))


@functools.cache
def models(compat: bool = False, window: int = WINDOW) -> Models:
    """The tiny checkpoint, loaded."""
    path = folder() / f"checkpoint-{window}"
    if not path.exists():
        write_tiny(path, seed=3, config=tiny_config(window))
    return load_models(open_checkpoint(path), torch.device("cpu"), compat)


def narrowed(window: int) -> Models:
    """The tiny checkpoint with another window; the weights are shared."""
    lm = copy.copy(models().lm)
    lm.config = replace(lm.config, window_positions=window)
    return replace(models(), lm=lm)


@functools.cache
def voice() -> Path:
    """A clip of noise that swells, 6.5 frames long."""
    path = folder() / "voice.wav"
    samples = round((VOICE_FRAMES - 0.5) * FRAME_SAMPLES)
    noise = np.random.default_rng(1).standard_normal(samples) * np.linspace(0.02, 0.2, samples)
    soundfile.write(path, noise, 24_000)
    return path


def whole_state_dict(loaded: Models) -> dict[str, torch.Tensor]:
    """All of the language model's tensors, the user's depth steps included."""
    path = folder() / f"checkpoint-{loaded.lm.config.window_positions}"
    return load_file(path / LM_FILE)


def engine(
    limits: EngineLimits = LIMITS, noise: Noise | None = None, window: int = WINDOW
) -> PersonaPlexEngine:
    """An engine with one voice, "ada"."""
    loaded = models(limits.reference_compat, window)
    return PersonaPlexEngine(loaded, limits, {"ada": voice()}, noise)


def spec(**changes: Any) -> SessionSpec:
    """A session of the bank's persona."""
    return replace(SessionSpec("session", "bank", ROLE, "ada", seed=7), **changes)


def frame(index: int, caller: int = 0) -> Frame:
    """The caller's frame `index`: noise, different for each caller and frame."""
    generator = np.random.default_rng((caller, index))
    return (4000 * generator.standard_normal(FRAME_SAMPLES)).astype(np.int16)


def join(subject: PersonaPlexEngine, **changes: Any) -> int:
    """Admits a session and computes its prompt."""
    slot = subject.admit(spec(**changes))
    while slot not in subject.prime():
        pass
    return slot


def config() -> LMConfig:
    """The language model's sizes."""
    return tiny_config().lm


def talk(
    subject: PersonaPlexEngine, slot: int, ticks: Iterable[int], caller: int = 0
) -> list[FrameOutput]:
    """Lets one slot alone hear its caller's frames."""
    return [subject.tick({slot: frame(tick, caller)}).outputs[slot] for tick in ticks]


def same(ours: list[FrameOutput], theirs: list[FrameOutput]) -> bool:
    """Whether two calls said the same, bit for bit."""
    assert len(ours) == len(theirs)
    return all(
        mine.text == other.text and np.array_equal(mine.pcm, other.pcm)
        for mine, other in zip(ours, theirs, strict=True)
    )


@functools.cache
def alone() -> list[FrameOutput]:
    """What caller 0 hears in a call without company: 24 frames."""
    subject = engine()
    return talk(subject, join(subject), range(24))
