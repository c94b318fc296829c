"""Windows and pages of an engine's calls: long calls, pressure, broken rows, half precision."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engine.engine import PersonaPlexEngine
from engine.interface import NoFreeSlot
from engine.model import kv
from engine.weights import load_language_model, open_checkpoint
from tests.unit.engine import engine_cases
from tests.unit.engine.engine_cases import (
    LIMITS,
    WINDOW,
    alone,
    engine,
    frame,
    join,
    same,
    spec,
    talk,
)

pytestmark = pytest.mark.timeout(60)


def test_call_longer_than_three_windows_still_attends_its_prompt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At every tick: all prompt positions, and the newest that fill the window; never more.

    Late in the call the attention hangs on the prompt's keys, and on no free page.
    """
    seen: list[tuple[int, int, int]] = []
    attention = kv.decode_attention

    def watch(*tensors: torch.Tensor) -> torch.Tensor:
        sink, start, stop = (int(tensor[0]) for tensor in (tensors[4], tensors[6], tensors[7]))
        seen.append((sink, start, stop))
        return attention(*tensors)

    subject = engine(replace(LIMITS, slots=1))
    slot = join(subject)
    prompt = int(subject.rows.cache.position[slot])
    monkeypatch.setattr(kv, "decode_attention", watch)
    ticks = 3 * WINDOW + 20
    talk(subject, slot, range(ticks))
    layers = engine_cases.config().layers
    for tick, (sink, start, stop) in enumerate(seen[::layers]):
        assert sink == prompt
        assert stop == tick + 1
        assert start == max(0, stop - (WINDOW - prompt))
    assert int(subject.rows.cache.position[slot]) == prompt + ticks
    monkeypatch.undo()

    attend = kv.DecodeAttend(
        engine_cases.config(), subject._step.pool, subject.rows.cache, torch.tensor([True])
    )
    q, k, v = torch.randn(3, 1, 4, 16, generator=torch.Generator().manual_seed(0))
    before = attend(0, q, k, v)
    subject._step.pool[:, list(subject.scheduler.pool.pages())] = 7.0
    assert torch.equal(attend(0, q, k, v), before)
    subject._step.pool[:, list(subject.scheduler.sink_pages(slot))] = 0.0
    assert not torch.allclose(attend(0, q, k, v), before)


def test_pages_under_pressure_shorten_the_longest_call() -> None:
    """With memory for less than all windows, calls go on and the loss is counted."""
    tight = replace(LIMITS, slots=2, pages=1 + 6 + 12, cached_prompts=0)
    subject, told = engine(tight), []
    subject.on_shortened = told.append
    long = join(subject, session_id="long")
    talk(subject, long, range(70))
    late = join(subject, seed=3)
    for tick in range(70):
        result = subject.tick({long: frame(tick), late: frame(tick, caller=1)})
        assert not result.failed
    stats = subject.stats()
    assert stats.pages_shortened > 0
    assert sum(loss.pages for loss in told) == stats.pages_shortened
    ours = [loss for loss in told if loss.session_id == "long"]
    assert ours[-1].pages_in_all == sum(loss.pages for loss in ours) > 0
    assert int(subject.rows.cache.live_floor[long]) > 0


def test_broken_session_fails_alone() -> None:
    """NaN in one call's keys ends that call; its neighbour, and who gets its pages next, live."""
    subject = engine()
    slot, sick = join(subject), join(subject, seed=6)
    heard = []
    for tick in range(6):
        result = subject.tick({slot: frame(tick), sick: frame(tick, caller=1)})
        heard.append(result.outputs[slot])
    pages = [page for page in subject.scheduler.live(sick).table if page]
    subject._step.pool[:, pages] = torch.nan
    result = subject.tick({slot: frame(6), sick: frame(6, caller=1)})
    assert result.failed.keys() == {sick}
    assert "no numbers" in result.failed[sick]
    heard.append(result.outputs[slot])
    subject.release(sick)
    healed = join(subject, seed=6)
    assert healed == sick
    for tick in range(7, 24):
        result = subject.tick({slot: frame(tick), healed: frame(tick, caller=1)})
        assert not result.failed
        heard.append(result.outputs[slot])
    assert same(heard, alone())


def test_no_free_slot() -> None:
    """The fourth call of three is refused, and taken once a slot is free."""
    subject = engine()
    for _ in range(3):
        subject.admit(spec())
    with pytest.raises(NoFreeSlot, match="all 3 slots are taken"):
        subject.admit(spec())
    subject.release(1)
    assert subject.admit(spec()) == 1


def test_no_pages_is_a_refusal() -> None:
    """A call that memory cannot hold is refused before anything is taken."""
    subject = engine(replace(LIMITS, pages=1 + 6 + 4))
    subject.admit(spec())
    free = subject.stats().pages_free
    with pytest.raises(NoFreeSlot, match="KV pages cannot hold one more call"):
        subject.admit(spec(role_text="Bo at a farm"))
    assert subject.stats().pages_free == free


def test_half_precision_as_on_a_gpu() -> None:
    """The language model in bfloat16 and the codec in float32 go through the same step."""
    loaded = engine_cases.models()
    checkpoint = open_checkpoint(engine_cases.folder() / f"checkpoint-{WINDOW}")
    lm = load_language_model(checkpoint, torch.device("cpu"), torch.bfloat16)
    voices = {"ada": engine_cases.voice()}
    subject = PersonaPlexEngine(replace(loaded, lm=lm), LIMITS, voices)
    slot = join(subject)
    heard = talk(subject, slot, range(2 * WINDOW))
    assert len({output.pcm.tobytes() for output in heard}) == len(heard)
    assert subject.rows.sampling.text_temperature.dtype == torch.float32
