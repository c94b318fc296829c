"""Voices: an audio clip or a published voice file, as the beginning of a prompt.

A clip becomes mono 24 kHz at -24 LUFS and then Mimi codes. A published voice (`.pt`) holds the
summed embeddings of its positions and the last columns of the token grid. This module knows
which bytes it reads, not where they come from or who may use a voice.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyloudnorm
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.config import DELAYS, PAD_TEXT, STREAMS, LMConfig
from engine.interface import FRAME_SAMPLES, SAMPLE_RATE_HZ, PromptRejected
from engine.model.mimi import Mimi
from engine.prompts import Columns, Prompt, continued, frames, from_start, role_frames

SHORTEST_CLIP_S = 0.4  # one loudness block of ITU-R BS.1770
LONGEST_CLIP_S = 60.0
LOUDNESS_LUFS = -24.0
BLOCK_SAMPLES = 65_536

PUBLISHED_SUFFIX = ".pt"


@dataclass(frozen=True, slots=True)
class Voice:
    """The first positions of a prompt.

    Attributes:
        embeddings: [E, dim], inputs of the first E positions, or [0, dim].
        frames: int64 [N, 17], the frames after them.
        before: int64 [17], the frame that the first of `frames` follows; None if it is frame 0.
    """

    embeddings: Tensor
    frames: Columns
    before: NDArray[np.int64] | None

    @property
    def positions(self) -> int:
        """Positions that the voice takes."""
        return len(self.embeddings) + len(self.frames)

    def prompt(self, role_ids: Sequence[int], config: LMConfig) -> Prompt:
        """The columns after `embeddings`: the rest of the voice, silence, role text, silence."""
        later = np.concatenate([self.frames, role_frames(role_ids, config)])
        if self.before is None:
            return from_start(later, config)
        return continued(later, self.before)


def load_voice(path: Path, mimi: Mimi, config: LMConfig) -> Voice:
    """Reads a clip or a published voice.

    Raises:
        PromptRejected: says what is wrong with the file.
    """
    if path.suffix == PUBLISHED_SUFFIX:
        return published_voice(path, config)
    pcm = whole_frames(read_clip(path)).to(next(mimi.parameters()).device)
    return voice_of_codes(mimi.encode(pcm[None, None])[0].T.cpu().numpy(), config)


def whole_frames(clip: NDArray[np.float32]) -> Tensor:
    """A clip with as much silence after it as its last frame wants: float32 [N]."""
    return torch.from_numpy(np.pad(clip, (0, -len(clip) % FRAME_SAMPLES)))


def voice_of_codes(codes: NDArray[np.int64], config: LMConfig) -> Voice:
    """A clip's voice, from its codes int64 [T, 8]."""
    return Voice(
        embeddings=torch.zeros(0, config.dim),
        frames=frames([PAD_TEXT] * len(codes), codes, config),
        before=None,
    )


def read_clip(path: Path) -> NDArray[np.float32]:
    """Reads any common audio file as mono 24 kHz at -24 LUFS; see `decode_clip`."""
    return decode_clip(path, path.name)


def decode_clip(source: Path | BinaryIO, name: str) -> NDArray[np.float32]:
    """Decodes any common audio file as mono 24 kHz at -24 LUFS.

    Args:
        source: a file, on the disk or in memory.
        name: what errors call it.

    Returns:
        float32 [N], between 0.4 s and 60 s.

    Raises:
        PromptRejected: unreadable, too short, too long or silent.
    """
    try:
        with soundfile.SoundFile(source) as file:
            rate_hz, length = file.samplerate, file.frames
            _check_duration(name, length / rate_hz)
            mono = _mono(file)
    except soundfile.LibsndfileError as error:
        raise PromptRejected(f"voice clip {name} cannot be read: {error.error_string}") from error
    except (soundfile.SoundFileError, OSError, ValueError, OverflowError) as error:
        # Not there, or a header that promises what no file holds.
        raise PromptRejected(f"voice clip {name} cannot be read: {error}") from error
    _check_duration(name, len(mono) / rate_hz)
    if not np.isfinite(mono).all():
        raise PromptRejected(f"voice clip {name} holds samples that are no numbers")
    clip = soxr.resample(mono, rate_hz, SAMPLE_RATE_HZ)
    with np.errstate(divide="ignore"):  # silence: the logarithm of no energy
        loudness = pyloudnorm.Meter(SAMPLE_RATE_HZ).integrated_loudness(clip)
    if not np.isfinite(loudness):
        raise PromptRejected(f"voice clip {name} is silent: record it again")
    gain = 10 ** ((LOUDNESS_LUFS - loudness) / 20)
    return np.asarray(clip * gain, dtype=np.float32)


def _mono(file: soundfile.SoundFile) -> NDArray[np.float32]:
    """All samples, float32 [N], in blocks.

    Old telephone codecs can't be sought in, so that their length is known only at the end, and a
    header may promise less than comes.
    """
    blocks, room = [], int(LONGEST_CLIP_S * file.samplerate) + 1  # one more shows what is too long
    while room > 0 and len(block := file.read(min(room, BLOCK_SAMPLES), "float32", True)):
        blocks.append(block.mean(axis=1))
        room -= len(block)
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _check_duration(name: str, duration_s: float) -> None:
    if not SHORTEST_CLIP_S <= duration_s <= LONGEST_CLIP_S:
        raise PromptRejected(
            f"voice clip {name} lasts {duration_s:.2f} s; it must be "
            f"{SHORTEST_CLIP_S} to {LONGEST_CLIP_S:.0f} s"
        )


def published_voice(path: Path, config: LMConfig) -> Voice:
    """Reads a published voice: {"embeddings": [E, 1, 1, dim], "cache": int [1, 17, 4]}.

    The embeddings are the inputs of positions 0 .. E-1. Column p of the grid is in the cache at
    p % 4, for p = E and, in the delayed streams, for p = E + 1.

    Raises:
        PromptRejected: not such a file, or made for another model.
    """
    content = _load_tensors(path)
    embeddings, cache = content.get("embeddings"), content.get("cache")
    if not isinstance(embeddings, Tensor) or not isinstance(cache, Tensor):
        raise PromptRejected(f"voice {path.name} holds no 'embeddings' and 'cache' tensors")
    if embeddings.shape[1:] != (1, 1, config.dim) or cache.shape != (1, STREAMS, 4):
        raise PromptRejected(
            f"voice {path.name} was made for another model: embeddings {list(embeddings.shape)}, "
            f"cache {list(cache.shape)}; expected [E, 1, 1, {config.dim}] and [1, {STREAMS}, 4]"
        )
    count = len(embeddings)
    grid = cache[0].long().numpy()  # [17, 4]
    column, following = grid[:, count % 4], grid[:, (count + 1) % 4]
    frame = np.where(np.array(DELAYS, dtype=bool), following, column)
    highest = np.array([config.initial_text] + [config.initial_audio] * (STREAMS - 1))
    if (np.minimum(frame, column) < 0).any() or (np.maximum(frame, column) > highest).any():
        raise PromptRejected(f"voice {path.name} holds tokens that this model does not have")
    return Voice(embeddings=embeddings[:, 0, 0], frames=frame[None], before=column)


def _load_tensors(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise PromptRejected(f"voice {path.name} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise PromptRejected(f"voice {path.name} holds no 'embeddings' and 'cache' tensors")
    return content
