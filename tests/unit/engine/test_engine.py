"""The engine's slots: joining, leaving, idling, prompts known and unknown, refusals, failures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from engine.engine import PersonaPlexEngine
from engine.interface import FrameOutput, NoFreeSlot, PhasedEngine, PromptRejected, Sampling
from engine.model import kv
from engine.prompts import SILENT_FRAMES
from engine.seating import signed_64
from engine.weights import load_language_model, open_checkpoint
from tests.unit.engine import engine_cases
from tests.unit.engine.engine_cases import LIMITS, VOICE_FRAMES, WINDOW, engine, frame, join, spec

pytestmark = pytest.mark.timeout(60)


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


@pytest.fixture(scope="module")
def alone() -> list[FrameOutput]:
    """What caller 0 hears in a call without company: 24 frames."""
    subject = engine()
    return talk(subject, join(subject), range(24))


def test_engine_is_an_engine() -> None:
    """It keeps the worker's contract and says what it is."""
    subject: PhasedEngine = engine()
    assert (subject.kind, subject.slots) == ("personaplex", LIMITS.slots)
    assert isinstance(subject, PhasedEngine)
    assert (subject.phases, subject.phase_of(LIMITS.slots - 1)) == (1, 0)
    assert subject.tick({}).outputs == {}


def test_call_speaks(alone: list[FrameOutput]) -> None:
    """Frames are 80 ms of sound that changes, and some carry text."""
    assert {output.pcm.shape for output in alone} == {(1920,)}
    assert {output.pcm.dtype for output in alone} == {np.dtype(np.int16)}
    assert len({output.pcm.tobytes() for output in alone}) == len(alone)
    assert any(output.text for output in alone)


def test_same_seed_replays_whatever_else_is_in_the_batch(alone: list[FrameOutput]) -> None:
    """A neighbour joins, idles, speaks and leaves, another takes its slot; nothing changes."""
    subject = engine()
    slot = join(subject)
    heard = talk(subject, slot, range(4))
    second = join(subject, seed=99, role_text="Bo at a farm")
    for tick in range(4, 16):
        inputs = {slot: frame(tick)}
        if tick % 3:
            inputs[second] = frame(tick, caller=1)
        heard.append(subject.tick(inputs).outputs[slot])
    subject.release(second)
    assert join(subject, seed=1) == second
    for tick in range(16, 24):
        both = subject.tick({second: frame(tick, caller=2), slot: frame(tick)})
        heard.append(both.outputs[slot])
    assert same(heard, alone)


def test_another_slot_says_the_same(alone: list[FrameOutput]) -> None:
    """Nothing depends on which slot a call got, nor on who sat there before."""
    subject = engine()
    first, second = join(subject, seed=4), join(subject, seed=5)
    talk(subject, second, range(10), caller=3)
    subject.release(second)
    slot = join(subject)
    assert slot == second != first
    assert same(talk(subject, slot, range(24)), alone)


def test_idle_slot_does_not_advance(alone: list[FrameOutput]) -> None:
    """A slot that is left out of some ticks goes on where it was."""
    subject = engine()
    slot, other = join(subject), join(subject, seed=2)
    heard = talk(subject, slot, range(6))
    talk(subject, other, range(7), caller=5)
    assert same(heard + talk(subject, slot, range(6, 24)), alone)


def test_another_seed_says_something_else(alone: list[FrameOutput]) -> None:
    """The seed matters."""
    subject = engine()
    assert not same(talk(subject, join(subject, seed=8), range(24)), alone)


def test_lowest_free_slot_is_given_first() -> None:
    """Live slots stay together at the front of the batch."""
    subject = engine()
    assert [join(subject) for _ in range(3)] == [0, 1, 2]
    subject.release(1)
    subject.release(0)
    assert [join(subject) for _ in range(2)] == [0, 1]


def test_buckets_cover_the_live_slots() -> None:
    """A call alone in slot 0 runs at batch 1; a row's frame does not hang on the bucket's size."""
    subject = engine(replace(LIMITS, buckets=(1, 2, 3)))
    first, second = join(subject), join(subject, seed=3)
    result = subject.tick({first: frame(0), second: frame(0, caller=1)})
    assert result.outputs.keys() == {first, second}
    assert subject.tick({first: frame(1)}).outputs.keys() == {first}
    assert subject.tick({second: frame(1, caller=1)}).outputs.keys() == {second}


@pytest.mark.parametrize("buckets", [(), (1, 2)])
def test_two_phase_groups_say_what_one_says(buckets: tuple[int, ...]) -> None:
    """Four calls, the two groups ticked one after the other or together: the same, bit for bit."""
    whole = engine(replace(LIMITS, slots=4))
    halves = engine(replace(LIMITS, slots=4, phases=2, buckets=buckets))
    whole_slots = [join(whole, seed=seed) for seed in range(4)]
    half_slots = [join(halves, seed=seed) for seed in range(4)]
    assert [halves.phase_of(slot) for slot in half_slots] == [0, 1, 0, 1]
    for tick in range(16):
        sound = [frame(tick, caller) for caller in range(4)]
        expected = whole.tick(dict(zip(whole_slots, sound, strict=True))).outputs
        heard: dict[int, FrameOutput] = {}
        for group in ((0, 2), (1, 3)) if tick < 12 else ((0, 1, 2, 3),):
            heard |= halves.tick({half_slots[n]: sound[n] for n in group}).outputs
        assert heard.keys() == set(half_slots)
        for ours, theirs in zip(half_slots, whole_slots, strict=True):
            assert same([heard[ours]], [expected[theirs]])


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


def test_long_prompt_is_computed_in_pieces(alone: list[FrameOutput]) -> None:
    """Pieces of 5 positions give the same call as one piece, within a step of rounding."""
    subject = engine(replace(LIMITS, prefill_chunk=5))
    slot = subject.admit(spec())
    pieces = 1
    while slot not in subject.prime():
        pieces += 1
    positions = int(subject.rows.cache.position[slot])
    assert pieces == -(-positions // 5)
    for ours, theirs in zip(talk(subject, slot, range(24)), alone, strict=True):
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


def test_call_longer_than_three_windows_still_attends_its_prompt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At every tick: all prompt positions, and the newest that fill the window; never more."""
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


def test_prompt_still_matters_after_three_windows() -> None:
    """Late in a call the attention depends on the prompt's keys, and on no free page."""
    subject = engine(replace(LIMITS, slots=1))
    slot = join(subject)
    talk(subject, slot, range(3 * WINDOW))
    pages = subject.scheduler.sink_pages(slot)
    attend = kv.DecodeAttend(
        engine_cases.config(), subject._step.pool, subject.rows.cache, torch.tensor([True])
    )
    q, k, v = torch.randn(3, 1, 4, 16, generator=torch.Generator().manual_seed(0))
    before = attend(0, q, k, v)
    subject._step.pool[:, list(subject.scheduler.pool.pages())] = 7.0
    assert torch.equal(attend(0, q, k, v), before)
    subject._step.pool[:, list(pages)] = 0.0
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


def test_broken_session_fails_alone(alone: list[FrameOutput]) -> None:
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
    assert same(heard, alone)


def test_empty_role_text_is_a_prompt_of_silence() -> None:
    """Zero tokens: the voice and two silences."""
    subject = engine()
    slot = join(subject, role_text="  ")
    assert int(subject.rows.cache.position[slot]) == VOICE_FRAMES + 2 * SILENT_FRAMES
    assert len(talk(subject, slot, range(3))) == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"voice": "eve"}, "unknown voice 'eve'; this engine has: ada"),
        ({"role_text": "a very long story " * 20}, "budget is 48: shorten the role text by"),
        ({"sampling": Sampling(audio_top_k=251)}, "audio_top_k is 251; this engine takes 1 to 250"),
        ({"sampling": Sampling(text_top_k=0)}, "text_top_k is 0"),
        ({"sampling": Sampling(text_temperature=-1.0)}, "text_temperature is -1.0"),
        ({"sampling": Sampling(audio_temperature=float("nan"))}, "audio_temperature is nan"),
    ],
)
def test_impossible_session_is_refused(changes: dict[str, object], words: str) -> None:
    """The message says what is wrong; no slot is lost."""
    subject = engine()
    with pytest.raises(PromptRejected, match=words):
        subject.admit(spec(**changes))
    assert [join(subject) for _ in range(3)] == [0, 1, 2]


def test_unusable_voice_is_refused_when_asked_for(tmp_path: Path) -> None:
    """A silent clip is known at start, refuses its own sessions and leaves the others alone."""
    silent = tmp_path / "mute.wav"
    soundfile.write(silent, np.zeros(24_000), 24_000)
    voices = {"ada": engine_cases.voice(), "mute": silent}
    subject = PersonaPlexEngine(engine_cases.models(), LIMITS, voices)
    assert subject.rejected_voices.keys() == {"mute"}
    with pytest.raises(PromptRejected, match=r"mute\.wav is silent"):
        subject.admit(spec(voice="mute"))
    assert join(subject) == 0


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


def test_wrong_use_is_an_error_and_changes_nothing(alone: list[FrameOutput]) -> None:
    """Unknown slots and odd frames raise; the calls in progress go on as if nothing had been."""
    subject = engine()
    slot = join(subject)
    waiting = subject.admit(spec(role_text="Bo"))
    for wrong in (waiting, 2, 77):
        with pytest.raises(KeyError, match=f"slot {wrong} is not live"):
            subject.tick({slot: frame(0), wrong: frame(0)})
    with pytest.raises(ValueError, match=r"slot 0 got float32 \[1920\], not int16"):
        subject.tick({slot: frame(0).astype(np.float32)})
    with pytest.raises(ValueError, match=r"slot 0 got int16 \[960\]"):
        subject.tick({slot: frame(0)[:960]})
    with pytest.raises(KeyError, match="slot 2 is free"):
        subject.release(2)
    assert same(talk(subject, slot, range(8)), alone[:8])


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


@pytest.mark.parametrize(("seed", "stored"), [(0, 0), (-1, -1), (2**63, -(2**63)), (2**64 + 5, 5)])
def test_any_integer_is_a_seed(seed: int, stored: int) -> None:
    """The low 64 bits count."""
    assert signed_64(seed) == stored
