"""The whole step against the reference: same prompt, same caller, same draws, same sound."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.config import EngineLimits
from engine.interface import Sampling
from engine.model.sampling import Draws
from engine.prompts import role_frames
from engine.step import pcm16
from engine.text import TextStream
from engine.voices import load_voice
from tests.unit.engine import engine_cases
from tests.unit.engine.engine_cases import GREEDY, LIMITS, WINDOW
from tests.unit.engine.model.mimi_cases import reference
from tests.unit.engine.oracle_generation import ReferenceGeneration
from tests.unit.engine.oracle_lm import reference_model

COMPAT = replace(LIMITS, slots=1, reference_compat=True, prefill_chunk=1)
TICKS = 110  # past the window of the language model and four times past the codec's


class ReferenceNoise:
    """Draws in the reference's order: text, then 16 codebooks, of which 8 are thrown away."""

    def draw(self, seed: Tensor, position: Tensor, text_k: int, audio_k: int) -> Draws:
        rows = len(seed)
        text = torch.empty(rows, text_k).exponential_(1)
        audio = [torch.empty(rows, audio_k).exponential_(1) for _ in range(16)]
        return Draws(text=text, audio=torch.stack(audio[:8], dim=1))


@contextlib.contextmanager
def streaming(*parts: Any) -> Iterator[None]:
    """Enters the streaming mode of the reference's parts."""
    with torch.no_grad(), contextlib.ExitStack() as stack:
        for part in parts:
            stack.enter_context(part.streaming(1))
        yield


@dataclass(frozen=True)
class Said:
    """One frame of the agent: its 9 tokens, text first, and its sound."""

    tokens: list[int]
    pcm: np.ndarray


@functools.cache
def reference_call(seed: int, greedy: bool) -> list[Said]:
    """What the reference says, without the frame that it says before ours begins."""
    loaded = engine_cases.models(compat=True)
    config, mimi = loaded.lm.config, loaded.mimi
    voice = load_voice(engine_cases.voice(), mimi, config)
    role_ids = TextStream(loaded.tokenizer).role_ids(engine_cases.ROLE)
    codec = reference(mimi)
    oracle = reference_model(config, engine_cases.whole_state_dict(loaded))
    session = ReferenceGeneration(oracle, greedy=greedy)
    said = []
    with streaming(oracle, codec):
        session.prompt(voice.frames)
        session.prompt(role_frames(role_ids, config))
        torch.manual_seed(seed)
        for index in range(TICKS + 1):
            tokens = session.hear(codec.encode(float_frame(index))[0, :, 0])
            spoken = codec.decode(torch.tensor(tokens[1:9])[None, :, None])
            said.append(Said(tokens[:9], pcm16(spoken[0, 0]).numpy()))
    return said[1:]


def float_frame(index: int) -> Tensor:
    """The caller's frame as the codec takes it, [1, 1, 1920]."""
    return torch.from_numpy(engine_cases.frame(index)).float()[None, None] / 32_768


def our_call(seed: int, sampling: Sampling, limits: EngineLimits) -> list[Said]:
    """What our engine says to the same caller."""
    subject = engine_cases.engine(limits, ReferenceNoise())
    torch.manual_seed(seed)
    slot = engine_cases.join(subject, sampling=sampling)
    grid = subject.rows.grid
    said = []
    for index in range(TICKS):
        text, semantic = int(grid.text[slot]), int(grid.agent[slot, 0])
        output = subject.tick({slot: engine_cases.frame(index)}).outputs[slot]
        assert output.text == subject.text.piece(text)
        said.append(Said([text, semantic, *grid.agent[slot, 1:].tolist()], output.pcm))
    return said


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("sampling", "chunk"), [(GREEDY, 1), (Sampling(), 1), (Sampling(), 128)])
def test_call_is_the_references_one_call_earlier(sampling: Sampling, chunk: int) -> None:
    """Every token equals the reference's, through and past the window; the sound follows."""
    theirs = reference_call(11, greedy=sampling == GREEDY)
    ours = our_call(11, sampling, replace(COMPAT, prefill_chunk=chunk))
    assert TICKS > WINDOW
    assert [said.tokens for said in ours] == [said.tokens for said in theirs]
    assert len({tuple(said.tokens) for said in ours}) > TICKS / 2
    for our, their in zip(ours, theirs, strict=True):
        # Rounding to 16 bits may turn the last bit of a float into one step.
        assert np.abs(our.pcm.astype(np.int32) - their.pcm).max() <= 1


def test_pcm_is_rounded_and_clipped() -> None:
    """Full scale is 32,768; what is louder is clipped, not wrapped."""
    sound = torch.tensor([0.0, 0.5, -1.0, 1.0, 7.0, -7.0, 1.4 / 32_768])
    assert pcm16(sound).tolist() == [0, 16384, -32768, 32767, 32767, -32768, 1]
