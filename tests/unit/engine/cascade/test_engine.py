"""The engine's contract: slots, readiness, failures that stay in their slot."""

from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.cascade.lines import LineCache
from engine.cascade.script import parse
from engine.cascade.standin import stand_in
from engine.interface import FRAME_SAMPLES, NoFreeSlot, PromptRejected, SessionSpec
from tests.unit.engine.cascade.rooms import Room, recording, said
from tests.unit.engine.cascade.scripts import SECTION, changed

SILENCE = np.zeros(FRAME_SAMPLES, np.int16)


def spec(name: str, section: object = SECTION) -> SessionSpec:
    """A session of the small persona."""
    return SessionSpec(name, "test", "You are Alex.", "", "Hi.", dialogue=section)  # type: ignore[arg-type]


def test_says_what_it_is() -> None:
    """The label that operators and metrics see."""
    engine = Room().engine
    assert engine.kind == "cascade"
    assert engine.slots == 2


def test_slots_run_out_and_come_back() -> None:
    """A third call is refused until one is released."""
    engine = Room().engine
    second = engine.admit(spec("b"))
    with pytest.raises(NoFreeSlot, match="all 2 slots"):
        engine.admit(spec("c"))
    engine.release(second)
    assert engine.admit(spec("c")) == second


def test_releasing_a_free_slot_is_an_error() -> None:
    """The worker must not lose count."""
    with pytest.raises(KeyError):
        Room().engine.release(1)


def test_a_bad_dialogue_takes_no_slot() -> None:
    """The message names the place; the next call finds the slot free."""
    engine = Room().engine
    with pytest.raises(PromptRejected, match=r"dialogue\.fallbacks"):
        engine.admit(spec("b", changed(SECTION, ("fallbacks",), [])))
    assert engine.admit(spec("c")) == 1


def test_calls_do_not_hear_each_other() -> None:
    """Each slot gets its own answer from its own sound."""
    room = Room()
    other = room.engine.admit(spec("b"))
    room.engine.prime()
    result = room.engine.tick({room.slot: SILENCE, other: SILENCE})
    assert not result.outputs[room.slot].pcm.any()
    assert result.outputs[other].pcm.any()  # its greeting


def test_one_failing_call_does_not_end_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is given for that slot only."""
    room = Room()
    other = room.engine.admit(spec("b"))
    room.engine.prime()

    def broken(frame: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(room.engine._taken[room.slot].session, "tick", broken)
    result = room.engine.tick({room.slot: SILENCE, other: SILENCE})
    assert result.failed == {room.slot: "RuntimeError in the cascade session"}
    assert other in result.outputs


def test_a_slot_that_is_not_primed_fails_its_tick() -> None:
    """Only ready slots may be named."""
    room = Room()
    other = room.engine.admit(spec("b"))
    assert room.engine.tick({other: SILENCE}).failed == {other: "the slot is not ready"}


def test_a_persona_is_prepared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for each call; dialogues that a call's values are filled in do not pile up."""
    room = Room()
    trained: list[object] = []
    train = room.engine._parts.matcher
    monkeypatch.setattr(
        room.engine,
        "_parts",
        replace(room.engine._parts, matcher=lambda s: trained.append(s) or train(s)),
    )
    for index in range(70):
        section = changed(SECTION, ("goodbye",), f"Goodbye, number {index}.")
        for _ in range(2):
            room.engine.release(room.engine.admit(spec("next", section)))
    assert len(trained) == 70
    assert len(room.engine._personas) == 64


def test_a_greeting_by_name_stays_off_the_disk(tmp_path: Path) -> None:
    """Only lines that were named as the same for everybody are kept."""
    kept = LineCache(Room(), "v", tmp_path, frozenset({"Hi."}))
    room = Room()
    room.engine._parts = replace(room.engine._parts, voices={"": kept})
    room.engine.admit(replace(spec("b"), greeting="Hello, Anna Lopez."))
    assert list(tmp_path.iterdir()) == []
    room.engine.release(1)
    room.engine.admit(spec("c"))
    assert len(list(tmp_path.iterdir())) == 1


def test_personas_speak_with_their_voices() -> None:
    """One that has none of its own is spoken for by the default."""
    room, clara = Room(), LineCache(Room(), "clara")
    parts = replace(room.engine._parts, voices={"": room.voice, "clara": clara})
    room.engine._parts = parts
    room.engine.release(room.slot)
    for index, voice in enumerate(("clara", "marcus")):
        room.engine.admit(replace(spec("b"), voice=voice, greeting=f"I am {voice}."))
        assert (clara.ready(f"I am {voice}.") is None) == bool(index)
    assert room.voice.ready("I am marcus.") is not None


def test_the_stand_in_is_a_whole_script() -> None:
    """It has all that a conversation may say."""
    script = stand_in("anything")
    assert script.handoff_offer.yes in script.intents
    assert {"handoff", "hangup"} <= {intent.action for intent in script.intents.values()}
    assert len(script.examples()) == len({example for example, _ in script.examples()})


def test_release_in_the_middle_of_a_turn() -> None:
    """The next call in the slot starts afresh."""
    room = Room(words=deque([said("where can i park")]))
    room.speak(recording("manners/question"))
    room.engine.release(room.slot)
    room.words.clear()
    room.lines.clear()
    room.slot = room.engine.admit(spec("next"))
    room.engine.prime()
    room.wait(1.5)
    assert room.lines == ["Hi."]


def test_the_small_section_is_a_good_one() -> None:
    """What the other tests stand on."""
    assert parse(SECTION).intents.keys() == {"hours", "table", "parking", "human", "bye"}
