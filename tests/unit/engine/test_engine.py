"""The engine's slots: joining, leaving, idling, replaying; what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.engine import PersonaPlexEngine
from engine.interface import FrameOutput, PhasedEngine, PromptRejected, Sampling
from engine.seating import signed_64
from tests.unit.engine import engine_cases
from tests.unit.engine.engine_cases import LIMITS, engine, frame, join, same, spec, talk

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(name="alone")
def _alone() -> list[FrameOutput]:
    """What caller 0 hears in a call without company: 24 frames."""
    return engine_cases.alone()


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


@pytest.mark.parametrize(("seed", "stored"), [(0, 0), (-1, -1), (2**63, -(2**63)), (2**64 + 5, 5)])
def test_any_integer_is_a_seed(seed: int, stored: int) -> None:
    """The low 64 bits count."""
    assert signed_64(seed) == stored


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
