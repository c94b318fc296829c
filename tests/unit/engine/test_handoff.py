"""A session that moves between engines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.engine import PersonaPlexEngine
from engine.handoff import HandoffRefused, SessionState, page_kind, read_pages, write_pages
from engine.interface import FrameOutput, NoFreeSlot
from engine.weights import load_language_model, open_checkpoint
from tests.unit.engine.engine_cases import (
    LIMITS,
    WINDOW,
    engine,
    folder,
    frame,
    join,
    models,
    spec,
    voice,
)


def talk(subject: PersonaPlexEngine, slot: int, ticks: range) -> list[FrameOutput]:
    """One caller's frames, one tick each."""
    return [subject.tick({slot: frame(tick)}).outputs[slot] for tick in ticks]


def assert_same(one: list[FrameOutput], other: list[FrameOutput]) -> None:
    """Bit for bit."""
    for first, second in zip(one, other, strict=True):
        assert np.array_equal(first.pcm, second.pcm)
        assert first.text == second.text


@pytest.mark.timeout(60)  # a whole window in single steps
@pytest.mark.parametrize("before", [3, WINDOW + 21], ids=["young", "past the window"])
@pytest.mark.parametrize("known", [False, True], ids=["prompt unknown", "prompt known"])
def test_moved_session_goes_on_as_if_it_had_stayed(before: int, known: bool) -> None:
    """As bytes, into another slot of an engine with another history."""
    here, there = engine(), engine()
    join(there, **({} if known else {"role_text": "another role"}))
    slot = join(here, seed=3)
    talk(here, slot, range(before))
    data = here.export_session(slot).to_bytes()
    moved = there.import_session(SessionState.from_bytes(data))
    assert moved == 1
    ticks = range(before, before + 20)
    assert_same(talk(there, moved, ticks), talk(here, slot, ticks))


@pytest.mark.timeout(60)
def test_moved_session_goes_on_in_half_precision() -> None:
    """As on a GPU: bf16 pages, two engines over one model, a neighbour and two phase groups."""
    whole = models()
    checkpoint = open_checkpoint(folder() / f"checkpoint-{WINDOW}")
    lm = load_language_model(checkpoint, torch.device("cpu"), torch.bfloat16)
    halves = replace(LIMITS, slots=4, phases=2)
    here, there = (
        PersonaPlexEngine(replace(whole, lm=lm), halves, {"ada": voice()}) for _ in range(2)
    )
    neighbour = join(there, seed=9, role_text="another role")
    slot = join(here, seed=3)
    talk(here, slot, range(30))
    moved = there.import_session(here.export_session(slot))
    assert there.phase_of(moved) != there.phase_of(neighbour)
    for tick in range(30, 50):
        heard = there.tick({moved: frame(tick), neighbour: frame(tick, caller=1)}).outputs[moved]
        assert_same([heard], talk(here, slot, range(tick, tick + 1)))


def test_exporting_changes_nothing() -> None:
    """A session that was copied goes on as one that was not."""
    subject, other = engine(), engine()
    slot, twin = join(subject), join(other)
    talk(subject, slot, range(4))
    talk(other, twin, range(4))
    subject.export_session(slot)
    assert_same(talk(subject, slot, range(4, 9)), talk(other, twin, range(4, 9)))


def test_prompt_that_came_along_serves_new_sessions() -> None:
    """The next call with that persona needs no prompt work, and starts as it would have."""
    here, there = engine(), engine()
    slot = join(here)
    there.import_session(here.export_session(slot))
    fresh = there.admit(spec(seed=11))
    assert there.prime() == [fresh]
    assert_same(talk(there, fresh, range(5)), talk(here, join(here, seed=11), range(5)))


def test_release_gives_everything_back() -> None:
    """After the moved session nothing of it is left but its prompt."""
    here, there = engine(), engine()
    slot = join(here)
    talk(here, slot, range(30))
    free = there.stats().pages_free
    moved = there.import_session(here.export_session(slot))
    sink = len(there.scheduler.sink_pages(moved))
    there.release(moved)
    assert there.stats().pages_free == free - sink


def test_waiting_session_cannot_be_exported() -> None:
    """Before its prompt is in there is nothing to move."""
    subject = engine()
    with pytest.raises(HandoffRefused, match="waits for its prompt"):
        subject.export_session(subject.admit(spec()))
    with pytest.raises(KeyError):
        subject.export_session(2)


def test_full_engine_refuses_and_stays_whole() -> None:
    """No slot: the usual refusal."""
    here, there = engine(), engine(replace(LIMITS, slots=1))
    resident = join(there)
    with pytest.raises(NoFreeSlot):
        there.import_session(here.export_session(join(here)))
    talk(there, resident, range(2))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"weights_id": "other"}, "other weights"),
        ({"pages": "bfloat16 1 x 1 x 1 x 1"}, "pages are bfloat16"),
        ({"prompt": 8}, "voice 'ada' is another one in this engine"),
        ({"prompt_sha256": "other"}, "voice 'ada' is another one in this engine"),
        ({"stop": 4000}, "with 500 pages from 0 on; this engine's calls hold up to 12"),
        ({"first_page": 5}, "with -4 pages from 5 on"),
        ({"stop": 40}, r"session's live is torch\.uint8 \[3, 1, .*this engine's .* \[3, 5, "),
    ],
)
def test_foreign_state_is_refused(change: dict[str, str], why: str) -> None:
    """Said before anything is taken; a page too few would be read from somebody else's."""
    subject = engine()
    slot = join(subject)
    talk(subject, slot, range(3))
    state = subject.export_session(slot)
    with pytest.raises(HandoffRefused, match=why):
        subject.import_session(replace(state, standing=replace(state.standing, **change)))
    assert subject.scheduler.seats.keys() == {0}


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("grid.text", torch.tensor(401), "grid.text lies outside 0 .. 400"),
        ("grid.agent", torch.full((8,), -1), "grid.agent lies outside 0 .. 2048"),
        ("grid.agent", torch.zeros(7, dtype=torch.int64), r"grid.agent is torch.int64 \[7\]"),
        ("last.state", torch.zeros(1, 64, dtype=torch.float16), "last.state is torch.float16"),
        ("sink", None, "not this engine's: sink"),
        ("more", torch.zeros(1), "not this engine's: more"),
    ],
)
def test_damaged_state_is_refused(name: str, value: torch.Tensor | None, why: str) -> None:
    """Tokens without an embedding, other shapes, something missing or too much."""
    subject = engine()
    state = subject.export_session(join(subject))
    tensors = {**state.tensors, name: value} if value is not None else dict(state.tensors)
    if value is None:
        del tensors[name]
    with pytest.raises(HandoffRefused, match=why):
        subject.import_session(replace(state, tensors=tensors))
    assert subject.scheduler.seats.keys() == {0}


def test_long_session_moves_into_an_engine_with_few_pages() -> None:
    """It loses its oldest there, like any call under pressure; all calls go on."""
    here, there = engine(), engine(replace(LIMITS, pages=1 + 6 + 8))
    resident, slot = join(there), join(here, seed=3)
    talk(here, slot, range(60))
    talk(there, resident, range(30))
    there._step.pool[:, list(there.scheduler.pool.pages())] = torch.nan
    moved = there.import_session(here.export_session(slot))
    for tick in range(60, 90):
        heard = there.tick({moved: frame(tick), resident: frame(tick, caller=1)})
        assert not heard.failed
    assert there.stats().pages_shortened > 0
    assert int(there.rows.cache.live_floor[moved]) >= 60 - 5 * LIMITS.page_size


def test_session_whose_prompt_scrolls_away_stays_where_it_is() -> None:
    """With the reference's window there is no shared prompt to find elsewhere."""
    subject = engine(replace(LIMITS, reference_compat=True))
    with pytest.raises(HandoffRefused, match="stays where it is"):
        subject.export_session(join(subject))


def test_numbers_that_are_none() -> None:
    """A header that was tampered with is no session."""
    subject = engine()
    data = subject.export_session(join(subject)).to_bytes()
    with pytest.raises(HandoffRefused, match="floor is not int"):
        SessionState.from_bytes(data.replace(b'\\"floor\\": 0', b'\\"floor\\":[]'))


@pytest.mark.parametrize("data", [b"", b"\x05", b"\x02\0\0\0\0\0\0\0{}", b"x" * 100])
def test_bytes_that_are_no_session(data: bytes) -> None:
    """Cut or foreign bytes get a clear refusal."""
    with pytest.raises(HandoffRefused, match="no exported session"):
        SessionState.from_bytes(data)


def test_pages_travel_bit_for_bit() -> None:
    """Whatever the type of a page, NaN included."""
    pool = torch.randint(0, 256, (2, 5, 2, 1, 4, 8), dtype=torch.uint8).view(torch.float8_e4m3fn)
    other = torch.zeros_like(pool.view(torch.uint8)).view(pool.dtype)
    write_pages(other, [4, 1], read_pages(pool, [0, 3]))
    assert torch.equal(other.view(torch.uint8)[:, [4, 1]], pool.view(torch.uint8)[:, [0, 3]])
    assert not other.view(torch.uint8)[:, [0, 2, 3]].any()
    assert page_kind(pool) == "float8_e4m3fn 2 x 1 x 4 x 8"


def test_session_that_does_not_come_in_whole_leaves_no_seat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory that runs out in between: slot and pages are free again, and the next try succeeds."""
    here, there = engine(), engine()
    slot = join(here, seed=3)
    talk(here, slot, range(3))
    state = here.export_session(slot)
    free = there.stats()

    def no_memory(*arguments: object, **named: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(there.seating, "resume", no_memory)
        with pytest.raises(torch.OutOfMemoryError):
            there.import_session(state)
    assert there.stats() == free
    moved = there.import_session(state)
    assert_same(talk(there, moved, range(3, 6)), talk(here, slot, range(3, 6)))
