"""Voices that come while the engine ticks."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import shelf as module
from engine.codes import CodesRejected
from engine.interface import PromptRejected
from engine.shelf import VoiceShelf
from engine.voices import load_voice
from tests.unit.engine import engine_cases

CONFIG = engine_cases.config()


@pytest.fixture(autouse=True)
def breathless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between frames."""
    monkeypatch.setattr(module, "BREATH_S", 0.0)


def shelf(files: dict[str, Path] | None = None) -> VoiceShelf:
    """A shelf with the tiny codec."""
    return VoiceShelf(files or {}, engine_cases.models().mimi, CONFIG)


def clip() -> tuple[bytes, str]:
    """A clip and its SHA-256."""
    content = engine_cases.voice().read_bytes()
    return content, hashlib.sha256(content).hexdigest()


def test_a_clip_taken_in_is_the_voice_of_its_file() -> None:
    """The same frames as if the engine had started with it, in every engine with its codes."""
    content, sha256 = clip()
    first, second = shelf(), shelf()
    codes = first.encode(content, sha256)
    for each in (first, second):
        assert sha256 not in each
        each.take(sha256, codes)
        each.take(sha256, codes)
        assert sha256 in each
    expected = load_voice(engine_cases.voice(), engine_cases.models().mimi, CONFIG)
    assert np.array_equal(second[sha256].frames, expected.frames)
    assert torch.equal(second[sha256].embeddings, expected.embeddings)


def test_another_codecs_codes_are_refused() -> None:
    """One changed number in a codebook makes it another codec."""
    content, sha256 = clip()
    codes = shelf().encode(content, sha256)
    mimi = engine_cases.models().mimi
    other = type(mimi)(mimi.config)
    other.load_state_dict(mimi.state_dict())
    name = next(iter(other.quantizer.state_dict()))
    other.quantizer.state_dict()[name].view(-1)[0] += 1
    with pytest.raises(CodesRejected, match="another codec"):
        VoiceShelf({}, other, CONFIG).take(sha256, codes)


def test_a_clip_that_is_none() -> None:
    """Refused in words, and the shelf goes on."""
    subject = shelf()
    with pytest.raises(PromptRejected, match="cannot be read"):
        subject.encode(b"no sound", "ab" * 32)
    with pytest.raises(PromptRejected, match="unknown voice 'ab"):
        subject["ab" * 32]
    content, sha256 = clip()
    assert subject.encode(content, sha256)


def test_a_session_speaks_with_a_voice_that_came_later() -> None:
    """Coded in another thread while a call ticks on; it sounds like a voice from the start."""
    content, sha256 = clip()
    subject = engine_cases.engine()
    live = engine_cases.join(subject)
    coded: list[bytes] = []
    coding = threading.Thread(target=lambda: coded.append(subject.voices.encode(content, sha256)))
    coding.start()
    ticks = 0
    while coding.is_alive() or ticks < 3:
        assert live in subject.tick({live: np.zeros(1_920, np.int16)}).outputs
        ticks += 1
    subject.voices.take(sha256, coded[0])
    subject.release(live)
    heard = [engine_cases.join(subject, voice=voice) for voice in ("ada", sha256)]
    for _ in range(4):
        outputs = subject.tick({slot: np.zeros(1_920, np.int16) for slot in heard}).outputs
        assert np.array_equal(outputs[heard[0]].pcm, outputs[heard[1]].pcm)
