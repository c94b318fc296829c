"""Prompts in an engine: known and unknown, in pieces, shared, forgotten; memory that runs out."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.engine import PersonaPlexEngine
from engine.interface import FrameOutput, NoFreeSlot, PromptRejected
from engine.prompts import SILENT_FRAMES
from tests.unit.engine.engine_cases import (
    LIMITS,
    VOICE_FRAMES,
    WINDOW,
    alone,
    engine,
    frame,
    join,
    narrowed,
    spec,
    talk,
    voice,
)

pytestmark = pytest.mark.timeout(60)


def test_known_prompt_is_ready_at_once_and_shares_its_pages() -> None:
    """The second call with a persona needs one prime, no prompt pages and no prompt work."""
    subject = engine()
    assert subject.admit(spec()) == 0
    pieces = 1
    while not subject.prime():
        pieces += 1
    free = subject.stats().pages_free
    pool = subject._step.pool.clone()
    assert subject.admit(spec(seed=9)) == 1
    assert subject.prime() == [1]
    assert subject.stats().pages_free == free
    assert torch.equal(subject._step.pool, pool)
    assert torch.equal(subject.rows.cache.sink_table[0], subject.rows.cache.sink_table[1])


def test_long_prompt_is_computed_in_pieces() -> None:
    """Pieces of 5 positions give the same call as one piece, within a step of rounding."""
    subject = engine(replace(LIMITS, prefill_chunk=5))
    slot = subject.admit(spec())
    pieces = 1
    while slot not in subject.prime():
        pieces += 1
    positions = int(subject.rows.cache.position[slot])
    assert pieces == -(-positions // 5)
    for ours, theirs in zip(talk(subject, slot, range(24)), alone(), strict=True):
        assert ours.text == theirs.text
        assert np.abs(ours.pcm.astype(np.int32) - theirs.pcm).max() <= 1


def test_two_waiting_calls_with_one_prompt_compute_it_once() -> None:
    """Both become ready in the same prime."""
    subject = engine()
    slots = [subject.admit(spec()), subject.admit(spec(seed=1))]
    ready: list[int] = []
    while not ready:
        ready = subject.prime()
    assert ready == slots
    assert subject.prime() == []


def test_release_while_waiting_forgets_the_prompt() -> None:
    """A caller who hangs up during the prompt leaves nothing behind."""
    subject = engine(replace(LIMITS, prefill_chunk=5))
    slot = subject.admit(spec())
    subject.prime()
    subject.release(slot)
    stats = subject.stats()
    assert (stats.pages_free, stats.prompts_known) == (stats.pages, 0)
    assert subject.prime() == []


def test_pages_come_back_after_many_calls() -> None:
    """Only the kept prompts hold pages when all calls are over."""
    subject = engine()
    for seed in range(4):
        slot = join(subject, seed=seed, role_text=f"Ada {seed}")
        talk(subject, slot, range(12))
        subject.release(slot)
    stats = subject.stats()
    assert stats.prompts_known == LIMITS.cached_prompts
    prompt_pages = stats.pages - stats.pages_free
    assert 0 < prompt_pages <= LIMITS.cached_prompts * 6


def test_empty_role_text_is_a_prompt_of_silence() -> None:
    """Zero tokens: the voice and two silences."""
    subject = engine()
    slot = join(subject, role_text="  ")
    assert int(subject.rows.cache.position[slot]) == VOICE_FRAMES + 2 * SILENT_FRAMES
    assert len(talk(subject, slot, range(3))) == 3


def test_compat_prompts_are_private_and_all_pages_come_back() -> None:
    """In compatibility mode a prompt is part of the call's own window."""
    subject = engine(replace(LIMITS, reference_compat=True))
    for _ in range(2):
        slot = join(subject)
        talk(subject, slot, range(WINDOW))
        subject.release(slot)
    waiting = subject.admit(spec())
    subject.release(waiting)
    stats = subject.stats()
    assert (stats.pages_free, stats.prompts_known) == (stats.pages, 0)


def test_memory_that_runs_out_in_prompt_work_is_a_refusal() -> None:
    """The call that waits is turned away, the one in progress goes on, nothing is left behind."""
    subject = engine()
    slot = join(subject)
    piece, free = subject._prefiller._piece, subject.stats().pages_free

    def exhausted(x: Tensor, pages: Tensor, start: int) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    subject._prefiller._piece = exhausted
    late = subject.admit(spec(role_text="Bo at a farm"))
    with pytest.raises(NoFreeSlot, match="no memory for one more prompt: CUDA out of memory"):
        subject.prime()
    subject.release(late)
    assert not subject.tick({slot: frame(0)}).failed
    assert subject.stats().pages_free == free - 1, "but for the call's own first page"
    subject._prefiller._piece = piece
    assert join(subject, role_text="Bo at a farm") == late


LONGEST = VOICE_FRAMES + 2 * SILENT_FRAMES  # a prompt of silence


def sized(page_size: int, window: int) -> list[FrameOutput]:
    """A call past its window, behind the longest prompt; what nobody has written is no number."""
    limits = replace(LIMITS, slots=1, prompt_positions=LONGEST, page_size=page_size)
    subject = PersonaPlexEngine(narrowed(window), limits, {"ada": voice()})
    subject._step.pool.fill_(torch.nan)
    slot = join(subject, role_text="")
    with pytest.raises(PromptRejected, match=f"budget is {LONGEST}"):
        subject.admit(spec(role_text="a"))
    return talk(subject, slot, range(window + 3))


@functools.cache
def smallest_pages(window: int) -> list[FrameOutput]:
    """The same call where every position has a page of its own."""
    return sized(1, window)


@pytest.mark.parametrize(("page_size", "more"), [(7, 0), (16, 5), (LONGEST, 0), (200, 0)])
def test_sizes_at_the_edge_change_no_word(page_size: int, more: int) -> None:
    """Windows that no page divides, a prompt of one page, a page larger than the window.

    A key from a wrong place would be no number or change the sound.
    """
    window = 2 * LONGEST + more
    for ours, theirs in zip(sized(page_size, window), smallest_pages(window), strict=True):
        assert ours.text == theirs.text
        assert np.abs(ours.pcm.astype(np.int32) - theirs.pcm).max() <= 1
